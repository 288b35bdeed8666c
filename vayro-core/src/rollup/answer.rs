//! Answers questions from rollups, and from raw clicks only where rollups are too coarse.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{try_join, try_join_all};
use uuid::Uuid;

use super::column::{ColumnError, class_number};
use super::key::{RollupSpan, Subject};
use super::quarters::{QUARTER_MICROS, Quarters};
use super::values::ValueCounts;
use super::visitors::{DayVisitors, VisitorSketches};
use super::week_visitors::WeekVisitors;
use crate::analytics::{Breakdown, BreakdownRow, ClickCount, ClickScope, Dimension};
use crate::click::ClickClass;
use crate::ports::{AnalyticsStore, RollupCounts, RollupRange, RollupStore, RollupValues, StoreError};
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

fn range(scope: &ClickScope, span: RollupSpan, pieces: Vec<Piece>) -> RollupRange {
    RollupRange { workspace_id: scope.workspace_id, subject: subject(scope), span, pieces }
}

/// Returns the whole weeks of a span, if there are any.
fn whole_weeks((from, to): Piece) -> Option<Piece> {
    let (from, to) = (RollupSpan::Week.ceil(from), RollupSpan::Week.floor(to));
    (from < to).then_some((from, to))
}

/// Returns what is left of a span without the weeks that begin at `starts`, which are sorted.
fn without_weeks((from, to): Piece, starts: impl IntoIterator<Item = Timestamp>) -> Vec<Piece> {
    let mut rest = Vec::new();
    let mut next = from;
    for start in starts {
        rest.push((next, start));
        next = plus(start, RollupSpan::Week.micros()).unwrap_or(to);
    }
    rest.push((next, to));
    rest.retain(|(from, to)| from < to);
    rest
}

/// Clicks and visitors per bucket while they are put together.
struct Buckets<'a> {
    edges: &'a [Timestamp],
    counts: Vec<ClickCount>,
    /// Those who are not in `counts` yet, by bucket and UTC day.
    visitors: BTreeMap<(usize, Timestamp), DayVisitors>,
}

impl<'a> Buckets<'a> {
    fn new(edges: &'a [Timestamp]) -> Self {
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

    fn count(&mut self, at: Timestamp, clicks: i64) {
        if let Some(index) = self.index(at) {
            self.add(index, ClickCount { clicks, visitors: 0 });
        }
    }

    fn count_visitors(&mut self, at: Timestamp, visitors: i64) {
        if let Some(index) = self.index(at) {
            self.add(index, ClickCount { clicks: 0, visitors });
        }
    }

    fn day(&mut self, at: Timestamp) -> Option<&mut DayVisitors> {
        let index = self.index(at)?;
        Some(self.visitors.entry((index, RollupSpan::Day.floor(at))).or_default())
    }

    /// Returns the first edge within the UTC day that begins at `day`.
    fn edge_within(&self, day: Timestamp) -> Option<Timestamp> {
        let edge = *self.edges.get(self.edges.partition_point(|edge| *edge <= day))?;
        (RollupSpan::Day.floor(edge) == day).then_some(edge)
    }

    /// Tells whether no UTC day is cut into more than two.
    fn cut_days_once(&self) -> bool {
        let mut cut = self.edges.iter().map(|edge| (RollupSpan::Day.floor(*edge), *edge));
        let mut last = None;
        cut.all(|(day, edge)| {
            let is_first = day == edge || last != Some(day);
            last = (day != edge).then_some(day);
            is_first
        })
    }

    fn finish(mut self) -> Result<Vec<ClickCount>, StoreError> {
        for ((index, _), visitors) in std::mem::take(&mut self.visitors) {
            let visitors = visitors.count().map_err(damaged)?;
            self.add(index, ClickCount { clicks: 0, visitors });
        }
        Ok(self.counts)
    }
}

fn signed(clicks: u64) -> i64 {
    i64::try_from(clicks).unwrap_or(i64::MAX)
}

fn plus(start: Timestamp, micros: i64) -> Option<Timestamp> {
    Timestamp::from_micros(start.as_micros().checked_add(micros)?)
}

/// Returns the days that `edges` cut in two, within `from` to `to`.
fn cut_days(edges: impl IntoIterator<Item = Timestamp>, (from, to): Piece) -> Vec<Timestamp> {
    let within = |at: &Timestamp| (from..=to).contains(at);
    let inside = |at: Timestamp| {
        let day = RollupSpan::Day.floor(at);
        (day != at).then_some(day)
    };
    let mut days: Vec<Timestamp> =
        edges.into_iter().filter(within).chain([from, to]).filter_map(inside).collect();
    days.sort_unstable();
    days.dedup();
    days
}

impl<S: RollupStore> RolledUpAnalytics<S> {
    /// Returns the rollups that cover a span, sorted: weeks within it that are there, if they are of use, and
    /// the days that these leave.
    async fn weeks_and_days(
        &self,
        scope: &ClickScope,
        (from, to): Piece,
        are_weeks_of_use: bool,
        hourly: &[Timestamp],
    ) -> Result<(Vec<RollupCounts>, Vec<RollupCounts>), StoreError> {
        let mut weeks = match whole_weeks((from, to)).filter(|_| are_weeks_of_use) {
            Some(weeks) => self.store.counts(&range(scope, RollupSpan::Week, vec![weeks]), &[]).await?,
            None => Vec::new(),
        };
        weeks.sort_by_key(|week| week.start);
        let days = (RollupSpan::Day.floor(from), to);
        let rest = without_weeks(days, weeks.iter().map(|week| week.start));
        if rest.is_empty() {
            return Ok((weeks, Vec::new()));
        }
        let mut days = self.store.counts(&range(scope, RollupSpan::Day, rest), hourly).await?;
        days.sort_by_key(|day| day.start);
        Ok((weeks, days))
    }

    /// Counts per bucket within `scope`, which has no filters; every edge within it is a whole quarter.
    async fn counts(
        &self,
        scope: &ClickScope,
        span: Piece,
        all: &mut [Buckets<'_>],
    ) -> Result<(), StoreError> {
        let (whole, ends) = cut(span, RollupSpan::Hour, (self.clock)());
        let hours = whole.unwrap_or((span.0, span.0));
        let hourly = cut_days(all.iter().flat_map(|buckets| buckets.edges).copied(), hours);
        let are_weeks_of_use = scope.classes.len() == 1 && all.iter().all(Buckets::cut_days_once);
        let rollups = async {
            let Some(whole) = whole else { return Ok((Vec::new(), Vec::new())) };
            self.weeks_and_days(scope, whole, are_weeks_of_use, &hourly).await
        };
        // Asked for side by side: a database works on both at the same time.
        let visits = try_join_all(ends.into_iter().map(async |(start, end)| {
            let visits = self.store.visits(&ClickScope { start, end, ..scope.clone() }).await?;
            Ok::<_, StoreError>((start, visits))
        }));
        let ((weeks, days), ends) = try_join(rollups, visits).await?;
        for week in &weeks {
            add_week(all, week, &scope.classes).map_err(damaged)?;
        }
        for day in days.chunk_by(|a, b| a.start == b.start) {
            add_day(all, day, hours, &scope.classes).map_err(damaged)?;
        }
        for (start, visits) in ends {
            for visit in visits {
                // The first quarter may begin before the span does.
                let at = visit.quarter.max(start);
                for buckets in &mut *all {
                    buckets.count(at, visit.clicks);
                    if let (Some(visitor_id), Some(day)) = (visit.visitor_id, buckets.day(at)) {
                        day.add(visitor_id).map_err(damaged)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Adds what the rollup of a week says. Its days lie in one bucket or two, and one class is asked for.
fn add_week(all: &mut [Buckets<'_>], week: &RollupCounts, classes: &[ClickClass]) -> Result<(), ColumnError> {
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
fn add_day(
    all: &mut [Buckets<'_>],
    rollups: &[RollupCounts],
    (from, to): Piece,
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
fn add_parts(
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

/// Clicks per value while they are put together; values as rollups keep them.
#[derive(Default)]
struct ValueSums<'a> {
    values: HashMap<Cow<'a, [u8]>, i64, foldhash::fast::RandomState>,
    others: i64,
}

impl<'a> ValueSums<'a> {
    fn add(&mut self, value: Cow<'a, [u8]>, clicks: i64) {
        let sum = self.values.entry(value).or_default();
        *sum = sum.saturating_add(clicks);
    }

    fn add_rollup(&mut self, rollup: &'a RollupValues, classes: &[ClickClass]) -> Result<(), ColumnError> {
        let totals = Quarters::read_totals(&rollup.quarters)?;
        let counts = ValueCounts::read(&rollup.values)?;
        for class in classes {
            let total = totals[usize::from(class_number(*class))];
            let mut unknown = signed(total) - signed(counts.others(*class));
            for (value, clicks) in counts.of(*class) {
                let clicks = signed(clicks);
                unknown -= clicks;
                self.add(Cow::Borrowed(value), clicks);
            }
            if unknown > 0 {
                self.add(Cow::Borrowed(b""), unknown);
            }
            self.others = self.others.saturating_add(signed(counts.others(*class)));
        }
        Ok(())
    }

    /// Adds values that were counted from clicks, as text.
    fn add_breakdown(&mut self, breakdown: Breakdown, dimension: Dimension) -> Result<(), ColumnError> {
        for BreakdownRow { value, clicks } in breakdown.rows {
            let value = if dimension == Dimension::Link {
                Uuid::parse_str(&value).map_err(|_| ColumnError::Damaged)?.as_bytes().to_vec()
            } else {
                value.into_bytes()
            };
            self.add(Cow::Owned(value), clicks);
        }
        self.others = self.others.saturating_add(breakdown.others);
        Ok(())
    }

    fn finish(self, dimension: Dimension, max: u16) -> Result<Breakdown, ColumnError> {
        let total = self.values.values().sum::<i64>() + self.others;
        let mut top: Vec<(Cow<'_, [u8]>, i64)> = self.values.into_iter().collect();
        let order =
            |a: &(Cow<'_, [u8]>, i64), b: &(Cow<'_, [u8]>, i64)| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0));
        let max = usize::from(max);
        if top.len() > max && max > 0 {
            // Most values are not shown; sorting them all would be in vain.
            top.select_nth_unstable_by(max - 1, order);
        }
        top.truncate(max);
        top.sort_unstable_by(order);
        let others = total - top.iter().map(|(_, clicks)| clicks).sum::<i64>();
        let row = |(value, clicks): (Cow<'_, [u8]>, i64)| {
            let value = if dimension == Dimension::Link {
                Uuid::from_slice(&value).map_err(|_| ColumnError::Damaged)?.to_string()
            } else {
                String::from_utf8(value.into_owned()).map_err(|_| ColumnError::Damaged)?
            };
            Ok(BreakdownRow { value, clicks })
        };
        let rows = top.into_iter().map(row).collect::<Result<_, ColumnError>>()?;
        Ok(Breakdown { rows, total, others })
    }
}

/// Tells whether buckets that meet at `edges` are sums of quarters.
fn are_whole(edges: &[Timestamp]) -> bool {
    edges.iter().all(|edge| edge.as_micros().rem_euclid(QUARTER_MICROS) == 0)
}

#[async_trait]
impl<S: RollupStore + AnalyticsStore> AnalyticsStore for RolledUpAnalytics<S> {
    async fn totals(&self, scope: &ClickScope) -> Result<ClickCount, StoreError> {
        if !scope.filters.is_empty() {
            return self.store.totals(scope).await;
        }
        if scope.start >= scope.end {
            return Ok(ClickCount::default());
        }
        let edges = [scope.start, scope.end];
        let mut all = [Buckets::new(&edges)];
        self.counts(scope, (scope.start, scope.end), &mut all).await?;
        let [totals] = all;
        Ok(totals.finish()?.first().copied().unwrap_or_default())
    }

    async fn series(&self, scope: &ClickScope, edges: &[Timestamp]) -> Result<Vec<ClickCount>, StoreError> {
        let [first, inner @ .., last] = edges else { return Ok(Vec::new()) };
        let span = (scope.start.max(*first), scope.end.min(*last));
        if span.0 >= span.1 {
            return Ok(vec![ClickCount::default(); edges.len() - 1]);
        }
        if !scope.filters.is_empty() || !are_whole(inner) {
            return self.store.series(scope, edges).await;
        }
        let mut all = [Buckets::new(edges)];
        self.counts(scope, span, &mut all).await?;
        let [series] = all;
        series.finish()
    }

    async fn overview(
        &self,
        scope: &ClickScope,
        edges: &[Timestamp],
    ) -> Result<(ClickCount, Vec<ClickCount>), StoreError> {
        let [first, inner @ .., last] = edges else {
            return Ok((self.totals(scope).await?, Vec::new()));
        };
        let is_covered = *first <= scope.start && scope.start < scope.end && scope.end <= *last;
        if !scope.filters.is_empty() || !is_covered || !are_whole(inner) {
            return Ok((self.totals(scope).await?, self.series(scope, edges).await?));
        }
        let bounds = [scope.start, scope.end];
        let mut all = [Buckets::new(&bounds), Buckets::new(edges)];
        self.counts(scope, (scope.start, scope.end), &mut all).await?;
        let [totals, series] = all;
        Ok((totals.finish()?.first().copied().unwrap_or_default(), series.finish()?))
    }

    async fn breakdown(
        &self,
        scope: &ClickScope,
        dimension: Dimension,
        max: u16,
    ) -> Result<Breakdown, StoreError> {
        if !scope.filters.is_empty() || scope.start >= scope.end {
            return self.store.breakdown(scope, dimension, max).await;
        }
        let now = (self.clock)();
        let (days, mut rest) = cut((scope.start, scope.end), RollupSpan::Day, now);
        let mut hours = Vec::new();
        if scope.link_id.is_none() {
            let mut smaller = Vec::new();
            for piece in rest {
                let (whole, ends) = cut(piece, RollupSpan::Hour, now);
                hours.extend(whole);
                smaller.extend(ends);
            }
            rest = smaller;
        }
        let days = async {
            let Some(days) = days else { return Ok(Vec::new()) };
            let mut rollups = match whole_weeks(days) {
                Some(weeks) => {
                    self.store.values(&range(scope, RollupSpan::Week, vec![weeks]), dimension).await?
                }
                None => Vec::new(),
            };
            rollups.sort_by_key(|week| week.start);
            let rest = without_weeks(days, rollups.iter().map(|week| week.start));
            if !rest.is_empty() {
                rollups.extend(self.store.values(&range(scope, RollupSpan::Day, rest), dimension).await?);
            }
            Ok(rollups)
        };
        let hours = async {
            if hours.is_empty() {
                return Ok(Vec::new());
            }
            self.store.values(&range(scope, RollupSpan::Hour, hours), dimension).await
        };
        let rollups = try_join(days, hours);
        let raw = try_join_all(rest.into_iter().map(async |(start, end)| {
            let piece = ClickScope { start, end, ..scope.clone() };
            self.store.breakdown(&piece, dimension, RAW_VALUES_MAX).await
        }));
        let ((days, hours), raw) = try_join(rollups, raw).await?;
        let sum = || {
            let mut sums = ValueSums::default();
            days.iter().chain(&hours).try_for_each(|rollup| sums.add_rollup(rollup, &scope.classes))?;
            if let Some(link_id) = scope.link_id.filter(|_| dimension == Dimension::Link) {
                // A link has no column of links: all its clicks are its own.
                if let Some(clicks) = sums.values.remove(&b""[..]) {
                    sums.add(Cow::Owned(link_id.as_bytes().to_vec()), clicks);
                }
            }
            raw.into_iter().try_for_each(|breakdown| sums.add_breakdown(breakdown, dimension))?;
            sums.finish(dimension, max)
        };
        sum().map_err(damaged)
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
