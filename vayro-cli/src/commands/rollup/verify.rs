//! `vayro rollup verify`.

use clap::Args;

use super::recount::{DaysArgs, json, recount, sum, table};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, text};

/// Compare every sum with the stored clicks
///
/// Changes nothing. Exit status 1 if a sum says something else than the clicks; `vayro rollup rebuild`
/// repairs it. Estimates of visitors may differ by their error.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    days: DaysArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: VerifyArgs) -> Result<(), CommandError> {
    let days = recount(ui, context, &args.days, false).await?;
    let found = sum(&days);
    if ui.is_json() {
        ui.json(&serde_json::json!({ "different": found.different, "days": json(&days) }))?;
    } else if found.different > 0 {
        let table = ui.render(&table(&days));
        ui.write(&table)?;
    }
    let counted = format!(
        "{} on {}",
        text::plural(usize::try_from(found.clicks).unwrap_or(usize::MAX), "click"),
        text::plural(days.len(), "day")
    );
    if found.different > 0 {
        let different = format!("{} of {} rollups differ from {counted}", found.different, found.rollups);
        return Err(CommandError::failed(different).hint("`vayro rollup rebuild` makes them anew"));
    }
    ui.note(&format!("All {} rollups say what {counted} say", found.rollups));
    Ok(())
}
