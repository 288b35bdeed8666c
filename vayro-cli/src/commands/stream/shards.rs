//! `vayro stream shards`.

mod set;

use clap::{Args, Subcommand};
use vayro_backends::{Backends, Roles};
use vayro_core::stream::ShardStats;

use super::shard_table::table;
use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{CommonSettings, ConfigArgs, checked, connect};
use crate::ui::Ui;

/// Show or change the streams that clicks are spread over
///
/// Needs Redis, not the API. Every link's clicks go into one shard, and shards are spread over the workers
/// that run. After a change the old shards are read until they are empty, and then removed.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ShardsArgs {
    #[command(subcommand)]
    command: Option<ShardsCommand>,

    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum ShardsCommand {
    Set(set::SetArgs),
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ShardsArgs) -> Result<(), CommandError> {
    match args.command {
        Some(ShardsCommand::Set(set)) => set::run(ui, context, set).await,
        None => {
            let backends = open(context, &args.config).await?;
            let shards = backends.shards().await.map_err(failed);
            backends.close().await;
            show(ui, &shards?)
        }
    }
}

async fn open(context: &Context, config: &ConfigArgs) -> Result<Backends, CommandError> {
    let settings = checked(&config.layers(context, &[])?, CommonSettings::read)?;
    connect(&settings.backend, Roles::TOOLS).await
}

fn failed(error: vayro_core::ports::StreamError) -> CommandError {
    CommandError::failed("the click stream cannot be asked").caused_by(error)
}

fn show(ui: &mut Ui, shards: &[ShardStats]) -> Result<(), CommandError> {
    if ui.is_json() {
        return ui.json(&serde_json::json!({ "shards": shards }));
    }
    if shards.is_empty() {
        ui.note("The embedded set has one stream");
        return Ok(());
    }
    let text = ui.render(&table(shards));
    ui.write(&text)
}
