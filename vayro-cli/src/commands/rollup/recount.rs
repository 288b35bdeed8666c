//! Counting days again, one after the other.

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use vayro_backends::{Backends, Roles, SchemaState};
use vayro_core::ids::WorkspaceId;
use vayro_core::ports::StoreError;
use vayro_core::rollup::{RollupCheck, RollupSpan};
use vayro_core::timestamp::Timestamp;

use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{CommonSettings, ConfigArgs, checked, connect};
use crate::ui::Ui;
use crate::ui::table::{Column, Table, Value};

/// A day after all clicks that the calendar still has everywhere.
const LAST_DAY: Date = Date::constant(9999, 12, 30);

/// Which days.
#[derive(Debug, Args)]
pub(super) struct DaysArgs {
    /// First UTC day [default: the first one with clicks]
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,

    /// Last UTC day [default: the last one with clicks]
    #[arg(long, value_name = "DATE")]
    to: Option<Date>,

    /// Only this workspace
    #[arg(long, value_name = "ID")]
    workspace: Option<WorkspaceId>,

    #[command(flatten)]
    config: ConfigArgs,
}

/// One day of a workspace with what was found.
pub(super) struct Day {
    /// The workspace.
    pub(super) workspace_id: WorkspaceId,
    /// Where the day begins.
    pub(super) start: Timestamp,
    /// What was found.
    pub(super) check: RollupCheck,
}

impl Day {
    /// Returns the day as `2026-05-10`.
    pub(super) fn date(&self) -> String {
        self.start.to_jiff().to_zoned(TimeZone::UTC).date().to_string()
    }
}

fn start_of(date: Date) -> Result<Timestamp, CommandError> {
    let start = date
        .to_zoned(TimeZone::UTC)
        .map_err(|error| CommandError::failed(format!("`{date}` is no day to look for")).caused_by(error))?;
    Ok(Timestamp::from(start.timestamp()))
}

fn failed(error: StoreError) -> CommandError {
    CommandError::failed("the clicks cannot be counted").caused_by(error)
}

/// Counts the days again; with `is_repair` their rollups are replaced.
pub(super) async fn recount(
    ui: &mut Ui,
    context: &Context,
    args: &DaysArgs,
    is_repair: bool,
) -> Result<Vec<Day>, CommandError> {
    let settings = checked(&args.config.layers(context, &[])?, CommonSettings::read)?;
    let from = args.from.map(start_of).transpose()?.unwrap_or(Timestamp::EPOCH);
    let to = args.to.map(|date| date.saturating_add(jiff::Span::new().days(1)));
    let to = start_of(to.unwrap_or(LAST_DAY))?;
    let backends = connect(&settings.backend, Roles::TOOLS).await?;
    let days = count(ui, &backends, args.workspace, (from, to), is_repair).await;
    backends.close().await;
    days
}

async fn count(
    ui: &mut Ui,
    backends: &Backends,
    workspace_id: Option<WorkspaceId>,
    (from, to): (Timestamp, Timestamp),
    is_repair: bool,
) -> Result<Vec<Day>, CommandError> {
    if backends.schema_state().await.map_err(failed)? != SchemaState::Current {
        return Err(CommandError::failed("the database has not the schema of this release")
            .hint("run `vayro migrate`, or use the release that the database belongs to"));
    }
    let days = backends.rollups.days(workspace_id, from, to).await.map_err(failed)?;
    let progress = ui.progress("Counting", Some(days.len() as u64));
    let mut checked = Vec::with_capacity(days.len());
    for (workspace_id, day) in days {
        let check = backends.rollups.recount(workspace_id, day, is_repair).await.map_err(failed)?;
        checked.push(Day { workspace_id, start: RollupSpan::Day.floor(day), check });
        progress.advance(1);
    }
    Ok(checked)
}

/// Returns the days that differed as a table.
pub(super) fn table(days: &[Day]) -> Table {
    let mut table = Table::new([
        Column::left("DAY"),
        Column::left("WORKSPACE"),
        Column::right("CLICKS"),
        Column::right("ROLLUPS"),
        Column::right("DIFFERENT"),
    ]);
    for day in days.iter().filter(|day| day.check.different > 0) {
        table.push([
            Value::text(day.date()),
            Value::text(day.workspace_id.as_uuid().to_string()),
            Value::count(day.check.clicks),
            Value::count(day.check.rollups),
            Value::count(day.check.different),
        ]);
    }
    table
}

/// Returns the days as stable JSON.
pub(super) fn json(days: &[Day]) -> serde_json::Value {
    let day = |day: &Day| {
        serde_json::json!({
            "day": day.date(),
            "workspace_id": day.workspace_id.as_uuid(),
            "clicks": day.check.clicks,
            "rollups": day.check.rollups,
            "different": day.check.different,
        })
    };
    days.iter().map(day).collect()
}

/// Returns the sum over all days.
pub(super) fn sum(days: &[Day]) -> RollupCheck {
    days.iter().fold(RollupCheck::default(), |sum, day| RollupCheck {
        clicks: sum.clicks + day.check.clicks,
        rollups: sum.rollups + day.check.rollups,
        different: sum.different + day.check.different,
    })
}
