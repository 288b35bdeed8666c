//! Rollups into the buckets of a chart.

use std::collections::BTreeMap;

use super::column::{ColumnError, class_number};
use super::key::RollupSpan;
use super::quarters::{QUARTER_MICROS, Quarters};
use super::visitors::{DayVisitors, VisitorSketches};
use super::week_visitors::WeekVisitors;
use crate::analytics::ClickCount;
use crate::click::ClickClass;
use crate::ports::RollupCounts;
use crate::timestamp::Timestamp;

/// An hour in microseconds.
const HOUR_MICROS: i64 = RollupSpan::Hour.micros();

pub(super) fn signed(clicks: u64) -> i64 {
    i64::try_from(clicks).unwrap_or(i64::MAX)
}

pub(super) fn plus(start: Timestamp, micros: i64) -> Option<Timestamp> {
    Timestamp::from_micros(start.as_micros().checked_add(micros)?)
}

/// Clicks and visitors per bucket while they are put together.
pub(super) struct Buckets<'a> {
    pub(super) edges: &'a [Timestamp],
    counts: Vec<ClickCount>,
    /// Those who are not in `counts` yet, by bucket and UTC day.
    visitors: BTreeMap<(usize, Timestamp), DayVisitors>,
}

impl<'a> Buckets<'a> {
    pub(super) fn new(edges: &'a [Timestamp]) -> Self {
        let counts = vec![ClickCount::default(); edges.len().saturating_sub(1)];
        Self { edges, counts, visitors: BTreeMap::new() }
    }

    fn index(&self, at: Timestamp) -> Option<usize> {
        let index = self.edges.partition_point(|edge| *edge <= at).checked_sub(1)?;
        (index < self.counts.len()).then_some(index)
    }

    /// Adds to a bucket.
    fn add(&mut self, index: usize, more: ClickCount) {
        if let Some(count) = self.counts.get_mut(index) {
            count.clicks = count.clicks.saturating_add(more.clicks);
            count.visitors = count.visitors.saturating_add(more.visitors);
        }
    }

    pub(super) fn count(&mut self, at: Timestamp, clicks: i64) {
        if let Some(index) = self.index(at) {
            self.add(index, ClickCount { clicks, visitors: 0 });
        }
    }

    fn count_visitors(&mut self, at: Timestamp, visitors: i64) {
        if let Some(index) = self.index(at) {
            self.add(index, ClickCount { clicks: 0, visitors });
        }
    }

    pub(super) fn day(&mut self, at: Timestamp) -> Option<&mut DayVisitors> {
        let index = self.index(at)?;
        Some(self.visitors.entry((index, RollupSpan::Day.floor(at))).or_default())
    }

    /// Returns the first edge within the UTC day that begins at `day`.
    fn edge_within(&self, day: Timestamp) -> Option<Timestamp> {
        let edge = *self.edges.get(self.edges.partition_point(|edge| *edge <= day))?;
        (RollupSpan::Day.floor(edge) == day).then_some(edge)
    }

    /// Tells whether no UTC day is cut into more than two.
    pub(super) fn cut_days_once(&self) -> bool {
        let mut cut = self.edges.iter().map(|edge| (RollupSpan::Day.floor(*edge), *edge));
        let mut last = None;
        cut.all(|(day, edge)| {
            let is_first = day == edge || last != Some(day);
            last = (day != edge).then_some(day);
            is_first
        })
    }

    pub(super) fn finish(mut self) -> Result<Vec<ClickCount>, ColumnError> {
        for ((index, _), visitors) in std::mem::take(&mut self.visitors) {
            let visitors = visitors.count()?;
            self.add(index, ClickCount { clicks: 0, visitors });
        }
        Ok(self.counts)
    }
}

/// Adds what the rollup of a week says. Its days lie in one bucket or two, and one class is asked for.
pub(super) fn add_week(
    all: &mut [Buckets<'_>],
    week: &RollupCounts,
    classes: &[ClickClass],
) -> Result<(), ColumnError> {
    let quarters = Quarters::read(&week.quarters)?;
    let visitors = WeekVisitors::read(&week.day_visitors)?;
    for buckets in all {
        for (quarter, _, clicks) in quarters.iter().filter(|(_, class, _)| classes.contains(class)) {
            if let Some(at) = plus(week.start, i64::from(quarter) * QUARTER_MICROS) {
                buckets.count(at, signed(clicks));
            }
        }
        for day in visitors.iter().filter(|day| classes.contains(&day.class)) {
            let Some(start) = plus(week.start, i64::from(day.day) * RollupSpan::Day.micros()) else {
                continue;
            };
            let Some(edge) = buckets.edge_within(start) else {
                buckets.count_visitors(start, day.whole());
                continue;
            };
            // The hour that an edge cuts belongs to the bucket in which it begins.
            let into = RollupSpan::Hour.ceil(edge).as_micros() - start.as_micros();
            let hour = u8::try_from(into / HOUR_MICROS).unwrap_or(u8::MAX);
            buckets.count_visitors(start, day.before(hour));
            buckets.count_visitors(edge, day.from(hour));
        }
    }
    Ok(())
}

/// Adds what the rollups of one day say about `from` to `to`.
pub(super) fn add_day(
    all: &mut [Buckets<'_>],
    rollups: &[RollupCounts],
    (from, to): (Timestamp, Timestamp),
    classes: &[ClickClass],
) -> Result<(), ColumnError> {
    let Some(start) = rollups.first().map(|rollup| rollup.start) else { return Ok(()) };
    let within = |at: &Timestamp| (from..to).contains(at);
    let last = plus(start, RollupSpan::Day.micros() - 1).filter(within);
    // Worked out when it is first needed, for all sets of buckets alike.
    let mut whole = None;
    for buckets in all {
        let first_index = buckets.index(start).filter(|_| within(&start));
        match first_index.filter(|index| last.and_then(|last| buckets.index(last)) == Some(*index)) {
            Some(index) => {
                let count = match whole {
                    Some(count) => count,
                    None => *whole.insert(whole_day(rollups, classes)?),
                };
                buckets.add(index, count);
            }
            None => rollups.iter().try_for_each(|rollup| add_parts(buckets, rollup, within, classes))?,
        }
    }
    Ok(())
}

/// Counts a day as a whole.
fn whole_day(rollups: &[RollupCounts], classes: &[ClickClass]) -> Result<ClickCount, ColumnError> {
    let (mut clicks, mut visitors) = (0_i64, DayVisitors::default());
    for rollup in rollups {
        let totals = Quarters::read_totals(&rollup.quarters)?;
        clicks += classes.iter().map(|class| signed(totals[usize::from(class_number(*class))])).sum::<i64>();
        let is_day_ready = !rollup.day_visitors.is_empty();
        visitors.merge_column(if is_day_ready { &rollup.day_visitors } else { &rollup.visitors }, classes)?;
    }
    Ok(ClickCount { clicks, visitors: visitors.count()? })
}

/// Adds a rollup to buckets that cut its day.
pub(super) fn add_parts(
    buckets: &mut Buckets<'_>,
    rollup: &RollupCounts,
    within: impl Fn(&Timestamp) -> bool,
    classes: &[ClickClass],
) -> Result<(), ColumnError> {
    for (quarter, class, clicks) in Quarters::read(&rollup.quarters)?.iter() {
        let at = plus(rollup.start, i64::from(quarter) * QUARTER_MICROS).filter(&within);
        if let Some(at) = at.filter(|_| classes.contains(&class)) {
            buckets.count(at, signed(clicks));
        }
    }
    for (hour, class, sketch) in VisitorSketches::read(&rollup.visitors)?.iter() {
        let at = plus(rollup.start, i64::from(hour) * HOUR_MICROS).filter(&within);
        let Some(at) = at.filter(|_| classes.contains(&class)) else { continue };
        if let Some(visitors) = buckets.day(at) {
            visitors.merge(sketch)?;
        }
    }
    Ok(())
}
