//! `vayro stream shards set`.

use std::num::NonZeroU16;

use clap::Args;
use vayro_backends::SetShardsError;

use super::{failed, open};
use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::ConfigArgs;
use crate::ui::{Ui, text};

/// Change how many shards there are
///
/// Edges and workers follow within about a second. No click is lost whichever of them lags behind: every
/// stream that still has clicks is read.
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// How many, from 1 to 64
    count: NonZeroU16,

    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) async fn run(ui: &mut Ui, context: &Context, args: SetArgs) -> Result<(), CommandError> {
    let backends = open(context, &args.config).await?;
    let set = backends.set_shards(args.count).await;
    let shards = backends.shards().await;
    backends.close().await;
    set.map_err(|error| match error {
        SetShardsError::OneStream => CommandError::failed("the embedded set has one stream")
            .hint("shards are for the clustered set, where several workers read them"),
        SetShardsError::TooMany { .. } => CommandError::usage(error.to_string()),
        SetShardsError::Stream(error) => failed(error),
    })?;
    let shards = shards.map_err(failed)?;
    if ui.is_json() {
        return ui.json(&serde_json::json!({ "shards": shards }));
    }
    let old = shards.iter().filter(|shard| shard.is_retiring).count();
    ui.note(&format!("Clicks go into {} now", text::plural(args.count.get().into(), "shard")));
    if old > 0 {
        let old = text::plural(old, "old shard");
        ui.note(&format!("{old} will be removed when empty; `vayro stream shards` shows how far that is"));
    }
    Ok(())
}
