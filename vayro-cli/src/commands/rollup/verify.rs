//! `vayro rollup verify`.

use clap::Args;

use super::recount::{DaysArgs, Found, recount};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, text};

/// Compare every sum with the stored clicks
///
/// Changes nothing. Exit status 1 if a sum says something else than the clicks; `vayro rollup rebuild`
/// repairs it. Estimates of visitors may differ by their error. Days whose clicks were removed by age cannot
/// be compared, and are told.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    days: DaysArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: VerifyArgs) -> Result<(), CommandError> {
    let Found { days, sum } = recount(ui, context, &args.days, false).await?;
    let counted = format!(
        "{} on {}",
        text::plural(usize::try_from(sum.clicks).unwrap_or(usize::MAX), "click"),
        text::plural(days, "day")
    );
    if sum.different > 0 {
        let different = format!("{} of {} rollups differ from {counted}", sum.different, sum.rollups);
        return Err(CommandError::failed(different).hint("`vayro rollup rebuild` makes them anew"));
    }
    ui.note(&format!("All {} rollups say what {counted} say", sum.rollups));
    Ok(())
}
