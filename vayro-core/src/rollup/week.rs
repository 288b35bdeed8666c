//! Weeks that are over: what their days add up to.

use std::collections::{BTreeMap, BTreeSet};

use super::column::ColumnError;
use super::key::{RollupKey, RollupSpan};
use super::quarters::{QUARTER_MICROS, Quarters};
use super::record::Rollup;
use super::values::ValueCounts;
use super::week_visitors::WeekVisitors;
use crate::day::Day;
use crate::ids::WorkspaceId;
use crate::timestamp::Timestamp;

/// A week of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkspaceWeek {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// Where it begins, see [`RollupSpan::Week`].
    pub start: Timestamp,
}

impl WorkspaceWeek {
    /// Returns the week that a day lies in.
    pub fn of(workspace_id: WorkspaceId, day: Day) -> Self {
        Self { workspace_id, start: RollupSpan::Week.floor(day.start()) }
    }

    /// Returns the first instant after it.
    pub fn end(self) -> Timestamp {
        Timestamp::from_micros(self.start.as_micros() + RollupSpan::Week.micros()).unwrap_or(self.start)
    }

    /// Returns its days.
    pub fn days(self) -> BTreeSet<(WorkspaceId, Day)> {
        let (first, last) = (Day::of(self.start).number(), Day::of(self.end()).number());
        (first..last).filter_map(Day::from_number).map(|day| (self.workspace_id, day)).collect()
    }
}

/// See [`RollupSet::weeks`](super::RollupSet::weeks).
pub(super) fn weeks(days: &BTreeMap<RollupKey, Rollup>) -> Result<BTreeMap<RollupKey, Rollup>, ColumnError> {
    let mut days = days.iter().filter(|(key, _)| key.span == RollupSpan::Day).peekable();
    let mut weeks = BTreeMap::new();
    while let Some((first, _)) = days.peek() {
        let week = first.week();
        // Sorted by subject and time.
        let of_week: Vec<_> = std::iter::from_fn(|| days.next_if(|(key, _)| key.week() == week)).collect();
        let rollup = sum(&week, &of_week)?;
        weeks.insert(week, rollup);
    }
    Ok(weeks)
}

fn sum(week: &RollupKey, days: &[(&RollupKey, &Rollup)]) -> Result<Rollup, ColumnError> {
    let mut quarters = Quarters::default();
    let mut visitors = WeekVisitors::default();
    for (key, day) in days {
        let into = key.start.as_micros() - week.start.as_micros();
        // A week has 7 days and 672 quarters.
        let offset = u16::try_from(into / QUARTER_MICROS).unwrap_or(u16::MAX);
        quarters.merge_later(&Quarters::read(&day.quarters)?, offset);
        let number = u8::try_from(into / RollupSpan::Day.micros()).unwrap_or(u8::MAX);
        visitors.push_day(number, &day.visitors, &day.day_visitors)?;
    }
    let mut sum = Rollup { quarters: quarters.write(), ..Rollup::default() };
    if !visitors.is_empty() {
        sum.day_visitors = visitors.write();
    }
    for (place, column) in sum.values.iter_mut().enumerate() {
        let mut counts = ValueCounts::default();
        for (_, day) in days {
            counts.merge(&ValueCounts::read(&day.values[place])?);
        }
        if !counts.is_empty() {
            *column = counts.write_all();
        }
    }
    Ok(sum)
}
