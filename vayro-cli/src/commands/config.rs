//! Commands about the configuration of servers.

pub mod check;
pub mod show;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Look at the configuration of servers
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    Check(check::CheckArgs),
    Show(show::ShowArgs),
}

impl ConfigCommand {
    /// Runs the command.
    pub fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Check(args) => check::run(ui, context, &args),
            Self::Show(args) => show::run(ui, context, &args),
        }
    }
}
