//! `vayro retention run`.

use clap::Args;
use vayro_worker::retention::{Expired, expire};

use super::{SourceArgs, failed, open, show};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, text};

/// Remove what is too old now
///
/// Does what the worker does by itself from time to time. Sums stay when their clicks go.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Show what would be removed and remove nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    #[command(flatten)]
    source: SourceArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: RunArgs) -> Result<(), CommandError> {
    let (backends, retention) = open(context, &args.source).await?;
    if args.dry_run {
        let cut = retention.cut(context.now());
        let review = backends.retention.review(&cut).await;
        backends.close().await;
        return show::print(ui, &retention, &review.map_err(failed)?, |plan| cut.clicks(plan), cut.rollups());
    }
    let expired = expire(&*backends.retention, &retention, context.now()).await;
    backends.close().await;
    let Expired { months, clicks, rollups } = expired.map_err(|error| {
        CommandError::failed("not everything that is too old could be removed")
            .caused_by(error)
            .hint("what is left goes with the next run; a month that somebody reads waits for them")
    })?;
    if ui.is_json() {
        let months: Vec<_> = months
            .iter()
            .map(|month| serde_json::json!({ "month": month.first, "clicks": month.clicks }))
            .collect();
        return ui.json(&serde_json::json!({ "months": months, "clicks": clicks, "rollups": rollups }));
    }
    let plural = |count: u64, word| text::plural(usize::try_from(count).unwrap_or(usize::MAX), word);
    for month in &months {
        ui.note(&format!("Removed the month from {} with {}", month.first, plural(month.clicks, "click")));
    }
    ui.note(&format!("Removed {} and {}", plural(clicks, "click"), plural(rollups, "rollup")));
    Ok(())
}
