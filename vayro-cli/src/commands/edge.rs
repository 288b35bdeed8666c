//! Commands about the edge of this machine.

pub mod upgrade;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Replace the edge of this machine while it runs
#[derive(Debug, Subcommand)]
pub enum EdgeCommand {
    Upgrade(upgrade::UpgradeArgs),
}

impl EdgeCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Upgrade(args) => upgrade::run(ui, context, args).await,
        }
    }
}
