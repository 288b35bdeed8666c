//! `vayro rollup rebuild`.

use clap::Args;

use super::recount::{DaysArgs, Found, recount};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, text};

/// Make sums anew from the stored clicks
///
/// Each day is replaced as a whole while writers of that day wait, so it may run at any time. Days whose
/// clicks were removed by age are left as they are.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    #[command(flatten)]
    days: DaysArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: RebuildArgs) -> Result<(), CommandError> {
    let Found { days, sum } = recount(ui, context, &args.days, true).await?;
    ui.note(&format!(
        "Counted {} again, {} of {} rollups were different",
        text::plural(days, "day"),
        sum.different,
        sum.rollups
    ));
    Ok(())
}
