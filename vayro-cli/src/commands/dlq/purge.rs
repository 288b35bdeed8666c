//! `vayro dlq purge`.

use clap::Args;

use super::selection::{self, SelectionArgs};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, text};

/// Remove dead letters for good
///
/// Asks before it does. The clicks in them are lost.
#[derive(Debug, Args)]
pub struct PurgeArgs {
    #[command(flatten)]
    selection: SelectionArgs,

    /// Say how many there are and remove nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: PurgeArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let ids = args.selection.collect(&api, context).await?;
    let selected = text::plural(ids.len(), "dead letter");
    if args.dry_run || ids.is_empty() {
        if ui.is_json() {
            ui.json(&serde_json::json!({ "selected": ids.len(), "purged": 0 }))?;
        }
        ui.note(&format!("{selected} would be removed"));
        return Ok(());
    }
    if !args.yes {
        let question = format!("Remove {selected} for good? The clicks in them are lost.");
        if !ui.confirm(&question, "remove dead letters").await? {
            return Err(CommandError::failed("not confirmed, nothing was removed"));
        }
    }
    let progress = ui.progress("Removing", Some(ids.len() as u64));
    let mut purged = 0;
    for chunk in ids.chunks(selection::pace(None).0) {
        purged += api.purge_letters(chunk).await?;
        progress.advance(chunk.len() as u64);
    }
    drop(progress);
    if ui.is_json() {
        ui.json(&serde_json::json!({ "selected": ids.len(), "purged": purged }))?;
    }
    ui.note(&format!("Removed {purged} of {selected}"));
    Ok(())
}
