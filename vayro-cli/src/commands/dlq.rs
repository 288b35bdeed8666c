//! Commands about dead letters, for operators.

pub mod list;
pub mod purge;
pub mod replay;
pub mod selection;
pub mod show;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Look after clicks that could not be stored; for operators
///
/// A click ends here when it can never be stored as it is. An outage puts no click here.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Replay(replay::ReplayArgs),
    Purge(purge::PurgeArgs),
}

impl DlqCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(args) => list::run(ui, context, args).await,
            Self::Show(args) => show::run(ui, context, args).await,
            Self::Replay(args) => replay::run(ui, context, args).await,
            Self::Purge(args) => purge::run(ui, context, args).await,
        }
    }
}
