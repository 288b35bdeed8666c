//! `vayro rollup rebuild`.

use clap::Args;

use super::recount::{DaysArgs, json, recount, sum, table};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, text};

/// Make sums anew from the stored clicks
///
/// Each day is replaced as a whole while writers of that day wait, so it may run at any time. Clicks that
/// are not stored any more are lost to the sums as well.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    #[command(flatten)]
    days: DaysArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: RebuildArgs) -> Result<(), CommandError> {
    let days = recount(ui, context, &args.days, true).await?;
    let found = sum(&days);
    if ui.is_json() {
        ui.json(&serde_json::json!({ "different": found.different, "days": json(&days) }))?;
    } else if found.different > 0 {
        let table = ui.render(&table(&days));
        ui.write(&table)?;
    }
    ui.note(&format!(
        "Counted {} again, {} of {} rollups were different",
        text::plural(days.len(), "day"),
        found.different,
        found.rollups
    ));
    Ok(())
}
