//! Commands about the click stream, for operators.

pub mod lag;
pub mod replay;
mod shard_table;
#[cfg(feature = "server")]
pub mod shards;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Watch and replay the click stream; for operators
#[derive(Debug, Subcommand)]
pub enum StreamCommand {
    Lag(lag::LagArgs),
    Replay(replay::ReplayArgs),
    #[cfg(feature = "server")]
    Shards(shards::ShardsArgs),
}

impl StreamCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Lag(args) => lag::run(ui, context, args).await,
            Self::Replay(args) => replay::run(ui, context, args).await,
            #[cfg(feature = "server")]
            Self::Shards(args) => shards::run(ui, context, args).await,
        }
    }
}
