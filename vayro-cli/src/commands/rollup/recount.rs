//! Counting days again, one after the other.

use std::time::Duration;

use clap::Args;
use vayro_backends::{Backends, Roles};
use vayro_core::day::Day;
use vayro_core::ids::WorkspaceId;
use vayro_core::ports::StoreError;
use vayro_core::rollup::RollupCheck;
use vayro_core::timestamp::Timestamp;

use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{CommonSettings, ConfigArgs, checked, connect, require_current_schema};
use crate::ui::table::{Column, Table, Value};
use crate::ui::{Ui, text};

/// Which days.
#[derive(Debug, Args)]
pub(super) struct DaysArgs {
    /// First UTC day [default: the first one with clicks]
    #[arg(long, value_name = "DATE")]
    from: Option<Day>,

    /// Last UTC day [default: the last one with clicks]
    #[arg(long, value_name = "DATE")]
    to: Option<Day>,

    /// Only this workspace
    #[arg(long, value_name = "ID")]
    workspace: Option<WorkspaceId>,

    #[command(flatten)]
    config: ConfigArgs,
}

/// One day of a workspace with what was found.
struct CheckedDay {
    workspace_id: WorkspaceId,
    day: Day,
    check: RollupCheck,
}

/// What was found on all days.
pub(super) struct Found {
    /// How many days of workspaces were counted; those whose clicks are gone are none of them.
    pub(super) days: usize,
    /// The sum over all of them.
    pub(super) sum: RollupCheck,
}

fn failed(error: StoreError) -> CommandError {
    CommandError::failed("the clicks cannot be counted").caused_by(error)
}

/// Counts the days again and prints those that differ; with `is_repair` their rollups are replaced.
pub(super) async fn recount(
    ui: &mut Ui,
    context: &Context,
    args: &DaysArgs,
    is_repair: bool,
) -> Result<Found, CommandError> {
    let settings = checked(&args.config.layers(context, &[])?, CommonSettings::read)?;
    let backends = connect(&settings.backend, Roles::TOOLS).await?;
    let days = count(ui, &backends, args, is_repair).await;
    backends.close().await;
    let days = days?;
    let mut sum = RollupCheck::default();
    for day in &days {
        sum.add(day.check);
    }
    let expired = days.iter().filter(|day| day.check.is_expired).count();
    if ui.is_json() {
        ui.json(&serde_json::json!({ "different": sum.different, "days": json(&days) }))?;
    } else if sum.different > 0 {
        let table = ui.render(&table(&days));
        ui.write(&table)?;
    }
    if expired > 0 {
        ui.note(&format!(
            "Left {} alone, whose clicks were removed by age: only the sums are left",
            text::plural(expired, "day")
        ));
    }
    Ok(Found { days: days.len() - expired, sum })
}

async fn count(
    ui: &Ui,
    backends: &Backends,
    args: &DaysArgs,
    is_repair: bool,
) -> Result<Vec<CheckedDay>, CommandError> {
    require_current_schema(backends).await?;
    let first = args.from.unwrap_or(Day::of(Timestamp::EPOCH));
    let last = args.to.unwrap_or(Day::of(Timestamp::EPOCH.plus(Duration::MAX)));
    let days = backends.rollups.days(args.workspace, first, last).await.map_err(failed)?;
    let progress = ui.progress("Counting", Some(days.len() as u64));
    let mut checked = Vec::with_capacity(days.len());
    for (workspace_id, day) in days {
        let check = backends.rollups.recount(workspace_id, day, is_repair).await.map_err(failed)?;
        checked.push(CheckedDay { workspace_id, day, check });
        progress.advance(1);
    }
    Ok(checked)
}

/// Returns the days that differed as a table.
fn table(days: &[CheckedDay]) -> Table {
    let mut table = Table::new([
        Column::left("DAY"),
        Column::left("WORKSPACE"),
        Column::right("CLICKS"),
        Column::right("ROLLUPS"),
        Column::right("DIFFERENT"),
    ]);
    for CheckedDay { workspace_id, day, check } in days.iter().filter(|day| day.check.different > 0) {
        table.push([
            Value::text(day.to_string()),
            Value::text(workspace_id.as_uuid().to_string()),
            Value::count(check.clicks),
            Value::count(check.rollups),
            Value::count(check.different),
        ]);
    }
    table
}

/// Returns the days as stable JSON.
fn json(days: &[CheckedDay]) -> serde_json::Value {
    let day = |CheckedDay { workspace_id, day, check }: &CheckedDay| {
        serde_json::json!({
            "day": day,
            "workspace_id": workspace_id,
            "clicks": check.clicks,
            "rollups": check.rollups,
            "different": check.different,
            "is_expired": check.is_expired,
        })
    };
    days.iter().map(day).collect()
}
