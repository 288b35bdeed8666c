//! Commands about shared statistics.

pub mod create;
pub mod list;
pub mod revoke;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Share statistics with whoever has an address
#[derive(Debug, Subcommand)]
pub enum ShareCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Revoke(revoke::RevokeArgs),
}

impl ShareCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Create(args) => create::run(ui, context, args).await,
            Self::List(args) => list::run(ui, context, args).await,
            Self::Revoke(args) => revoke::run(ui, context, args).await,
        }
    }
}
