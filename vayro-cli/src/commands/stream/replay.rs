//! `vayro stream replay`.

use clap::Args;
use vayro_core::stream::BoundedCount;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, text};
use crate::when::When;

/// Count again what the stream still holds
///
/// For a database that was restored to an earlier state. Workers get everything once more that was added to the
/// stream since then, and store what is missing; a click keeps its id, so one that is stored is not counted
/// again. The stream keeps stored clicks for `worker.trim_window`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// From when on, such as 30m or 2026-05-01T12:00:00Z; the time of the backup
    #[arg(long, value_name = "WHEN")]
    since: When,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ReplayArgs) -> Result<(), CommandError> {
    let since = args.since.before(context.now());
    let replayed = context.api()?.replay_stream(since).await?;
    if ui.is_json() {
        ui.json(&serde_json::json!({ "since": since, "replayed": replayed }))?;
    }
    let BoundedCount { count, is_capped } = replayed;
    let more = if is_capped { "more than " } else { "" };
    let count = text::plural(usize::try_from(count).unwrap_or(usize::MAX), "click");
    ui.note(&format!("Handing out {more}{count} again, from {since} on"));
    ui.suggest("vayro stream lag --watch");
    Ok(())
}
