//! Answers questions from rollups, and from raw clicks only where rollups are too coarse.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::column::ColumnError;
use super::key::{RollupSpan, Subject};
use super::quarters::{QUARTER_MICROS, Quarters};
use super::values::ValueCounts;
use super::visitors::{DayVisitors, VisitorSketches};
use crate::analytics::{Breakdown, BreakdownRow, ClickCount, ClickScope, Dimension};
use crate::click::ClickClass;
use crate::ports::{AnalyticsStore, RollupRange, RollupStore, RollupValues, StoreError};
use crate::timestamp::Timestamp;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Most values taken from the raw clicks at an end of a question; more than a rollup keeps.
const RAW_VALUES_MAX: u16 = 4000;

/// An hour in microseconds.
const HOUR_MICROS: i64 = RollupSpan::Hour.micros();

/// Answers questions about clicks, the unfiltered ones from rollups.
///
/// Clicks are exact. Visitors are estimated beyond some hundred per hour, and where a bucket begins within
/// a UTC hour, that hour's visitors belong to the bucket in which the hour begins.
pub struct RolledUpAnalytics<S> {
    store: S,
    clock: Clock,
}

impl<S> RolledUpAnalytics<S> {
    /// Answers from `store`; `clock` tells which spans are over.
    pub const fn new(store: S, clock: Clock) -> Self {
        Self { store, clock }
    }
}

/// Part of a span.
type Piece = (Timestamp, Timestamp);

fn damaged(error: ColumnError) -> StoreError {
    StoreError::Internal(Box::new(error))
}

/// Cuts the pieces of a span that whole units cover from those at its ends. A span that reaches past `now`
/// has no clicks beyond, so the unit in which it ends counts as whole.
fn cut((start, end): Piece, unit: RollupSpan, now: Timestamp) -> (Option<Piece>, Vec<Piece>) {
    let from = unit.ceil(start);
    let to = if end >= now { unit.ceil(end) } else { unit.floor(end) };
    if from >= to {
        return (None, vec![(start, end)]);
    }
    let ends = [(start, from), (to, end)].into_iter().filter(|(start, end)| start < end);
    (Some((from, to)), ends.collect())
}

fn subject(scope: &ClickScope) -> Subject {
    scope.link_id.map_or(Subject::Workspace(scope.workspace_id), Subject::Link)
}

fn range(scope: &ClickScope, span: RollupSpan, (from, to): Piece) -> RollupRange {
    RollupRange { workspace_id: scope.workspace_id, subject: subject(scope), span, from, to }
}

/// Clicks and visitors per bucket while they are put together.
struct Buckets<'a> {
    edges: &'a [Timestamp],
    clicks: Vec<i64>,
    /// By bucket and UTC day.
    visitors: BTreeMap<(usize, Timestamp), DayVisitors>,
}

impl<'a> Buckets<'a> {
    fn new(edges: &'a [Timestamp]) -> Self {
        Self { edges, clicks: vec![0; edges.len().saturating_sub(1)], visitors: BTreeMap::new() }
    }

    fn index(&self, at: Timestamp) -> Option<usize> {
        let index = self.edges.partition_point(|edge| *edge <= at).checked_sub(1)?;
        (index < self.clicks.len()).then_some(index)
    }

    fn count(&mut self, at: Timestamp, clicks: i64) {
        if let Some(clicks_there) = self.index(at).and_then(|index| self.clicks.get_mut(index)) {
            *clicks_there = clicks_there.saturating_add(clicks);
        }
    }

    fn day(&mut self, at: Timestamp) -> Option<&mut DayVisitors> {
        let index = self.index(at)?;
        Some(self.visitors.entry((index, RollupSpan::Day.floor(at))).or_default())
    }

    fn finish(self) -> Vec<ClickCount> {
        let mut counts: Vec<ClickCount> =
            self.clicks.into_iter().map(|clicks| ClickCount { clicks, visitors: 0 }).collect();
        for ((index, _), visitors) in self.visitors {
            if let Some(count) = counts.get_mut(index) {
                count.visitors += visitors.count();
            }
        }
        counts
    }
}

fn signed(clicks: u64) -> i64 {
    i64::try_from(clicks).unwrap_or(i64::MAX)
}

fn plus(start: Timestamp, micros: i64) -> Option<Timestamp> {
    Timestamp::from_micros(start.as_micros().checked_add(micros)?)
}

impl<S: RollupStore> RolledUpAnalytics<S> {
    /// Counts per bucket within `scope`, which has no filters; every edge within it is a whole quarter.
    async fn counts(
        &self,
        scope: &ClickScope,
        span: Piece,
        edges: &[Timestamp],
    ) -> Result<Vec<ClickCount>, StoreError> {
        let mut buckets = Buckets::new(edges);
        let (whole, ends) = cut(span, RollupSpan::Hour, (self.clock)());
        if let Some((from, to)) = whole {
            let days = (RollupSpan::Day.floor(from), to);
            let within = |at: &Timestamp| (from..to).contains(at);
            for stored in self.store.counts(&range(scope, RollupSpan::Day, days)).await? {
                for (quarter, class, clicks) in Quarters::read(&stored.quarters).map_err(damaged)?.iter() {
                    let at = plus(stored.start, i64::from(quarter) * QUARTER_MICROS).filter(within);
                    if let Some(at) = at.filter(|_| scope.classes.contains(&class)) {
                        buckets.count(at, signed(clicks));
                    }
                }
                let sketches = VisitorSketches::read(&stored.visitors).map_err(damaged)?;
                for (hour, class, sketch) in sketches.iter() {
                    let at = plus(stored.start, i64::from(hour) * HOUR_MICROS).filter(within);
                    let day = at.filter(|_| scope.classes.contains(&class)).and_then(|at| buckets.day(at));
                    if let Some(day) = day {
                        day.merge(sketch).map_err(damaged)?;
                    }
                }
            }
        }
        for (start, end) in ends {
            for visit in self.store.visits(&ClickScope { start, end, ..scope.clone() }).await? {
                // The first quarter may begin before the span does.
                let at = visit.quarter.max(start);
                buckets.count(at, visit.clicks);
                if let (Some(visitor_id), Some(day)) = (visit.visitor_id, buckets.day(at)) {
                    day.add(visitor_id);
                }
            }
        }
        Ok(buckets.finish())
    }

    async fn add_rollups(
        &self,
        scope: &ClickScope,
        (span, piece): (RollupSpan, Piece),
        dimension: Dimension,
        sums: &mut ValueSums,
    ) -> Result<(), StoreError> {
        for rollup in self.store.values(&range(scope, span, piece), dimension).await? {
            sums.add_rollup(&rollup, dimension, &scope.classes).map_err(damaged)?;
        }
        Ok(())
    }
}

/// Clicks per value while they are put together.
#[derive(Default)]
struct ValueSums {
    values: BTreeMap<String, i64>,
    others: i64,
}

impl ValueSums {
    fn add(&mut self, value: &str, clicks: i64) {
        match self.values.get_mut(value) {
            Some(sum) => *sum = sum.saturating_add(clicks),
            None => drop(self.values.insert(value.to_owned(), clicks)),
        }
    }

    fn add_rollup(
        &mut self,
        rollup: &RollupValues,
        dimension: Dimension,
        classes: &[ClickClass],
    ) -> Result<(), ColumnError> {
        let quarters = Quarters::read(&rollup.quarters)?;
        let counts = ValueCounts::read(&rollup.values)?;
        for class in classes {
            let mut unknown = signed(quarters.total(*class)) - signed(counts.others(*class));
            for (value, clicks) in counts.of(*class) {
                let clicks = signed(clicks);
                unknown -= clicks;
                if dimension == Dimension::Link {
                    let id = Uuid::from_slice(value).map_err(|_| ColumnError::Damaged)?;
                    self.add(id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()), clicks);
                } else {
                    self.add(std::str::from_utf8(value).map_err(|_| ColumnError::Damaged)?, clicks);
                }
            }
            if unknown > 0 {
                self.add("", unknown);
            }
            self.others = self.others.saturating_add(signed(counts.others(*class)));
        }
        Ok(())
    }

    fn finish(self, max: u16) -> Breakdown {
        let total = self.values.values().sum::<i64>() + self.others;
        let mut rows: Vec<BreakdownRow> =
            self.values.into_iter().map(|(value, clicks)| BreakdownRow { value, clicks }).collect();
        // Stable: equal clicks stay sorted by value.
        rows.sort_by_key(|row| std::cmp::Reverse(row.clicks));
        rows.truncate(usize::from(max));
        let others = total - rows.iter().map(|row| row.clicks).sum::<i64>();
        Breakdown { rows, total, others }
    }
}

#[async_trait]
impl<S: RollupStore + AnalyticsStore> AnalyticsStore for RolledUpAnalytics<S> {
    async fn totals(&self, scope: &ClickScope) -> Result<ClickCount, StoreError> {
        if !scope.filters.is_empty() {
            return self.store.totals(scope).await;
        }
        let edges = [scope.start, scope.end];
        if scope.start >= scope.end {
            return Ok(ClickCount::default());
        }
        let counts = self.counts(scope, (scope.start, scope.end), &edges).await?;
        Ok(counts.first().copied().unwrap_or_default())
    }

    async fn series(&self, scope: &ClickScope, edges: &[Timestamp]) -> Result<Vec<ClickCount>, StoreError> {
        let [first, inner @ .., last] = edges else { return Ok(Vec::new()) };
        let span = (scope.start.max(*first), scope.end.min(*last));
        if span.0 >= span.1 {
            return Ok(vec![ClickCount::default(); edges.len() - 1]);
        }
        let is_whole = |edge: &Timestamp| edge.as_micros().rem_euclid(QUARTER_MICROS) == 0;
        if !scope.filters.is_empty() || !inner.iter().all(is_whole) {
            return self.store.series(scope, edges).await;
        }
        self.counts(scope, span, edges).await
    }

    async fn breakdown(
        &self,
        scope: &ClickScope,
        dimension: Dimension,
        max: u16,
    ) -> Result<Breakdown, StoreError> {
        // A link has no column of links.
        let is_single = scope.link_id.is_some() && dimension == Dimension::Link;
        if !scope.filters.is_empty() || is_single || scope.start >= scope.end {
            return self.store.breakdown(scope, dimension, max).await;
        }
        let now = (self.clock)();
        let mut sums = ValueSums::default();
        let (days, mut rest) = cut((scope.start, scope.end), RollupSpan::Day, now);
        if let Some(days) = days {
            self.add_rollups(scope, (RollupSpan::Day, days), dimension, &mut sums).await?;
        }
        if scope.link_id.is_none() {
            let mut smaller = Vec::new();
            for piece in rest {
                let (hours, ends) = cut(piece, RollupSpan::Hour, now);
                if let Some(hours) = hours {
                    self.add_rollups(scope, (RollupSpan::Hour, hours), dimension, &mut sums).await?;
                }
                smaller.extend(ends);
            }
            rest = smaller;
        }
        for (start, end) in rest {
            let piece = ClickScope { start, end, ..scope.clone() };
            let raw = self.store.breakdown(&piece, dimension, RAW_VALUES_MAX).await?;
            raw.rows.iter().for_each(|row| sums.add(&row.value, row.clicks));
            sums.others = sums.others.saturating_add(raw.others);
        }
        Ok(sums.finish(max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_cut_at_whole_units_and_ends_with_the_present() {
        let at = |tenths: i64| Timestamp::from_micros(tenths * HOUR_MICROS / 10).expect("in range");
        let hour = RollupSpan::Hour;
        let far = at(10_000);
        assert_eq!(
            cut((at(15), at(45)), hour, far),
            (Some((at(20), at(40))), vec![(at(15), at(20)), (at(40), at(45))])
        );
        assert_eq!(cut((at(10), at(20)), hour, far), (Some((at(10), at(20))), vec![]));
        assert_eq!(cut((at(12), at(19)), hour, far), (None, vec![(at(12), at(19))]));
        assert_eq!(cut((at(10), at(25)), hour, at(24)), (Some((at(10), at(30))), vec![]));
    }
}
