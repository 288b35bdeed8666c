//! Commands that check the books, for operators.

pub mod clicks;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Check that everything that was accepted is accounted for; for operators
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    Clicks(clicks::ClicksArgs),
}

impl AuditCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Clicks(args) => clicks::run(ui, context, args).await,
        }
    }
}
