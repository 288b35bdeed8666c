//! `vayro dlq replay`.

use clap::Args;
use tokio::time::Instant;

use super::selection::{self, SelectionArgs};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, text};

/// Put dead letters back into the click stream
///
/// A click keeps its id, so one that was counted before is not counted again. A letter that fails
/// again becomes a new dead letter.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    selection: SelectionArgs,

    /// Say how many there are and replay nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Most letters per second [default: as fast as possible]
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ReplayArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let ids = args.selection.collect(&api, context).await?;
    let selected = text::plural(ids.len(), "dead letter");
    if args.dry_run {
        if ui.is_json() {
            ui.json(&serde_json::json!({ "selected": ids.len(), "replayed": 0 }))?;
        }
        ui.note(&format!("{selected} would be replayed"));
        return Ok(());
    }
    let progress = ui.progress("Replaying", Some(ids.len() as u64));
    let (len, span) = selection::pace(args.rate);
    let mut replayed = 0;
    let mut next = Instant::now();
    for chunk in ids.chunks(len) {
        tokio::time::sleep_until(next).await;
        next = Instant::now() + span;
        replayed += api.replay_letters(chunk).await.map_err(|error| {
            let said =
                format!("{replayed} of {selected} were replayed before this; run it again for the rest");
            CommandError::from(error).hint(said)
        })?;
        progress.advance(chunk.len() as u64);
    }
    drop(progress);
    if ui.is_json() {
        ui.json(&serde_json::json!({ "selected": ids.len(), "replayed": replayed }))?;
    }
    ui.note(&format!("Replayed {replayed} of {selected}"));
    ui.suggest("vayro stream lag");
    Ok(())
}
