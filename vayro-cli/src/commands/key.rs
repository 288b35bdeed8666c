//! Commands about API keys.

pub mod create;
pub mod list;
pub mod revoke;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Manage API keys
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Revoke(revoke::RevokeArgs),
}

impl KeyCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Create(args) => create::run(ui, context, args).await,
            Self::List(args) => list::run(ui, context, args).await,
            Self::Revoke(args) => revoke::run(ui, context, args).await,
        }
    }
}
