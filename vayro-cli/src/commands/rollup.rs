//! Commands about rollups, straight on the database.

pub mod rebuild;
mod recount;
pub mod verify;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Check or remake what charts are drawn from
///
/// Charts are drawn from sums that are kept while clicks are stored. These commands count the stored
/// clicks themselves. They need the database, not the API, and may run beside a running system.
#[derive(Debug, Subcommand)]
pub enum RollupCommand {
    Verify(verify::VerifyArgs),
    Rebuild(rebuild::RebuildArgs),
}

impl RollupCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Verify(args) => verify::run(ui, context, args).await,
            Self::Rebuild(args) => rebuild::run(ui, context, args).await,
        }
    }
}
