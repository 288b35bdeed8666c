//! Answers questions from rollups, and from raw clicks only where rollups are too coarse.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{try_join, try_join_all};
use uuid::Uuid;

use super::buckets::{Buckets, add_day, add_parts, add_week, plus, signed};
use super::column::{ColumnError, class_number};
use super::key::{RollupSpan, Subject};
use super::quarters::{QUARTER_MICROS, Quarters};
use super::values::ValueCounts;
use crate::analytics::{Breakdown, BreakdownRow, ClickCount, ClickScope, Dimension};
use crate::click::ClickClass;
use crate::ports::{AnalyticsStore, RollupCounts, RollupRange, RollupStore, RollupValues, StoreError, Visit};
use crate::timestamp::Timestamp;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Most values taken from the raw clicks at an end of a question; more than a rollup keeps.
const RAW_VALUES_MAX: u16 = 4000;

/// How long ago the present was that a question ended with, when it is answered. Whoever asks for an end that is this
/// close may get clicks that came since.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

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

    /// Returns the earliest instant at which a question may have been asked that is answered now.
    fn asked_at(&self) -> Timestamp {
        earliest_question((self.clock)())
    }
}

/// Part of a span.
type Piece = (Timestamp, Timestamp);

fn damaged(error: ColumnError) -> StoreError {
    StoreError::Internal(Box::new(error))
}

fn earliest_question(now: Timestamp) -> Timestamp {
    now.minus(ANSWERED_WITHIN)
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

/// Cuts a piece where days begin.
fn by_day((start, end): Piece) -> Vec<Piece> {
    let (mut pieces, mut next) = (Vec::new(), start);
    while next < end {
        let midnight = plus(RollupSpan::Day.floor(next), RollupSpan::Day.micros()).unwrap_or(end).min(end);
        pieces.push((next, midnight));
        next = midnight;
    }
    pieces
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

/// Reads what covers `days`: those of `weeks` that are there, and the days that these leave, both sorted by their
/// `start`.
async fn read_days<T, F: Future<Output = Result<Vec<T>, StoreError>>>(
    weeks: Option<Piece>,
    days: Piece,
    start: impl Fn(&T) -> Timestamp,
    read: impl Fn(RollupSpan, Vec<Piece>) -> F,
) -> Result<(Vec<T>, Vec<T>), StoreError> {
    let mut found = Vec::new();
    if let Some(weeks) = weeks {
        found = read(RollupSpan::Week, vec![weeks]).await?;
        found.sort_by_key(&start);
    }
    let rest = without_weeks(days, found.iter().map(&start));
    let mut of_days = Vec::new();
    if !rest.is_empty() {
        of_days = read(RollupSpan::Day, rest).await?;
        of_days.sort_by_key(&start);
    }
    Ok((found, of_days))
}

/// Reads what there is of the whole `part`s in `pieces`, and returns what it leaves of the pieces. All parts of a day
/// are there or none; where none is found, there may be clicks or not.
async fn read_parts<T, F: Future<Output = Result<Vec<T>, StoreError>>>(
    part: RollupSpan,
    pieces: Vec<Piece>,
    now: Timestamp,
    start: impl Fn(&T) -> Timestamp,
    read: impl Fn(RollupSpan, Vec<Piece>) -> F,
) -> Result<(Vec<T>, Vec<Piece>), StoreError> {
    let pieces = pieces.into_iter().flat_map(by_day);
    let cuts: Vec<_> = pieces.map(|piece| (piece, cut(piece, part, now))).collect();
    let whole: Vec<Piece> = cuts.iter().filter_map(|(_, (whole, _))| *whole).collect();
    let found = if whole.is_empty() { Vec::new() } else { read(part, whole).await? };
    let is_found = |(from, to): Piece| found.iter().any(|part| (from..to).contains(&start(part)));
    let rest = |(piece, (whole, ends)): (Piece, (Option<Piece>, Vec<Piece>))| {
        if whole.is_some_and(is_found) { ends } else { vec![piece] }
    };
    let rest = cuts.into_iter().flat_map(rest).collect();
    Ok((found, rest))
}

impl<S: RollupStore> RolledUpAnalytics<S> {
    /// Counts per bucket within `scope`, which has no filters; every edge within it is a whole quarter.
    async fn counts(
        &self,
        scope: &ClickScope,
        span: Piece,
        all: &mut [Buckets<'_>],
    ) -> Result<(), StoreError> {
        let now = self.asked_at();
        let (whole, ends) = cut(span, RollupSpan::Hour, now);
        let hours = whole.unwrap_or((span.0, span.0));
        let hourly = cut_days(all.iter().flat_map(|buckets| buckets.edges).copied(), hours);
        let are_weeks_of_use = scope.classes.len() == 1 && all.iter().all(Buckets::cut_days_once);
        let rollups = async {
            let Some((from, to)) = whole else { return Ok((Vec::new(), Vec::new())) };
            let read = |span, pieces| {
                let (range, hourly) = (range(scope, span, pieces), &hourly);
                async move { self.store.counts(&range, hourly).await }
            };
            let weeks = whole_weeks((from, to)).filter(|_| are_weeks_of_use);
            read_days(weeks, (RollupSpan::Day.floor(from), to), |counts: &RollupCounts| counts.start, read)
                .await
        };
        // Asked for side by side: a database works on both at the same time.
        let ((weeks, days), (quarters, visits)) = try_join(rollups, self.ends(scope, ends, now)).await?;
        for week in &weeks {
            add_week(all, week, &scope.classes).map_err(damaged)?;
        }
        for day in days.chunk_by(|a, b| a.start == b.start) {
            add_day(all, day, hours, &scope.classes).map_err(damaged)?;
        }
        for buckets in all {
            for quarter in &quarters {
                add_parts(buckets, quarter, |_| true, &scope.classes).map_err(damaged)?;
            }
            for (at, visit) in &visits {
                buckets.count(*at, visit.clicks);
                if let (Some(visitor_id), Some(day)) = (visit.visitor_id, buckets.day(*at)) {
                    day.add(visitor_id).map_err(damaged)?;
                }
            }
        }
        Ok(())
    }

    /// Counts pieces of hours: by quarters of a workspace as far as there are any, and by visits, each with when it
    /// counts.
    async fn ends(
        &self,
        scope: &ClickScope,
        pieces: Vec<Piece>,
        now: Timestamp,
    ) -> Result<(Vec<RollupCounts>, Vec<(Timestamp, Visit)>), StoreError> {
        let (mut quarters, mut rest) = (Vec::new(), pieces);
        if scope.link_id.is_none() {
            let start = |counts: &RollupCounts| counts.start;
            let read = |span, pieces| {
                let range = range(scope, span, pieces);
                async move { self.store.counts(&range, &[]).await }
            };
            (quarters, rest) = read_parts(RollupSpan::Quarter, rest, now, start, read).await?;
        }
        let visits = try_join_all(rest.into_iter().map(async |(start, end)| {
            let visits = self.store.visits(&ClickScope { start, end, ..scope.clone() }).await?;
            // The first quarter may begin before the piece does.
            Ok::<_, StoreError>(visits.into_iter().map(move |visit| (visit.quarter.max(start), visit)))
        }));
        Ok((quarters, visits.await?.into_iter().flatten().collect()))
    }
}

impl<S: RollupStore + AnalyticsStore> RolledUpAnalytics<S> {
    /// Reads the values of rollups of one length.
    async fn values(
        &self,
        scope: &ClickScope,
        dimension: Dimension,
        span: RollupSpan,
        pieces: Vec<Piece>,
    ) -> Result<Vec<RollupValues>, StoreError> {
        self.store.values(&range(scope, span, pieces), dimension).await
    }

    /// Breaks parts of days down, by shorter rollups as far as there are any.
    async fn parts(
        &self,
        scope: &ClickScope,
        dimension: Dimension,
        pieces: Vec<Piece>,
        now: Timestamp,
    ) -> Result<(Vec<RollupValues>, Vec<Breakdown>), StoreError> {
        let read = |span, pieces| self.values(scope, dimension, span, pieces);
        let (mut hours, mut rest) = (Vec::new(), Vec::new());
        if scope.link_id.is_some() {
            rest = pieces;
        } else {
            for piece in pieces {
                let (whole, ends) = cut(piece, RollupSpan::Hour, now);
                hours.extend(whole);
                rest.extend(ends);
            }
        }
        let hours =
            async { if hours.is_empty() { Ok(Vec::new()) } else { read(RollupSpan::Hour, hours).await } };
        let rest = async {
            let part = subject(scope).part();
            let start = |values: &RollupValues| values.start;
            let (parts, rest) = read_parts(part, rest, now, start, &read).await?;
            Ok((parts, self.count_values(scope, dimension, rest).await?))
        };
        let (mut found, (parts, counted)) = try_join(hours, rest).await?;
        found.extend(parts);
        Ok((found, counted))
    }

    /// Breaks pieces down from their clicks.
    async fn count_values(
        &self,
        scope: &ClickScope,
        dimension: Dimension,
        pieces: impl IntoIterator<Item = Piece>,
    ) -> Result<Vec<Breakdown>, StoreError> {
        try_join_all(pieces.into_iter().map(async |(start, end)| {
            let piece = ClickScope { start, end, ..scope.clone() };
            self.store.breakdown(&piece, dimension, RAW_VALUES_MAX).await
        }))
        .await
    }
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
        Ok(totals.finish().map_err(damaged)?.first().copied().unwrap_or_default())
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
        series.finish().map_err(damaged)
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
        let (totals, series) = (totals.finish().map_err(damaged)?, series.finish().map_err(damaged)?);
        Ok((totals.first().copied().unwrap_or_default(), series))
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
        let now = self.asked_at();
        let (days, rest) = cut((scope.start, scope.end), RollupSpan::Day, now);
        let days = async {
            let Some(days) = days else { return Ok((Vec::new(), Vec::new())) };
            let read = |span, pieces| self.values(scope, dimension, span, pieces);
            read_days(whole_weeks(days), days, |values: &RollupValues| values.start, read).await
        };
        let ((weeks, days), (hours, raw)) = try_join(days, self.parts(scope, dimension, rest, now)).await?;
        let sum = || {
            let mut sums = ValueSums::default();
            weeks
                .iter()
                .chain(&days)
                .chain(&hours)
                .try_for_each(|rollup| sums.add_rollup(rollup, &scope.classes))?;
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
        let at =
            |tenths: i64| Timestamp::from_micros(tenths * RollupSpan::Hour.micros() / 10).expect("in range");
        let hour = RollupSpan::Hour;
        let far = at(10_000);
        assert_eq!(
            cut((at(15), at(45)), hour, far),
            (Some((at(20), at(40))), vec![(at(15), at(20)), (at(40), at(45))])
        );
        assert_eq!(cut((at(10), at(20)), hour, far), (Some((at(10), at(20))), vec![]));
        assert_eq!(cut((at(12), at(19)), hour, far), (None, vec![(at(12), at(19))]));
        assert_eq!(cut((at(10), at(25)), hour, at(24)), (Some((at(10), at(30))), vec![]));
        // The present is a moment ago by the time the answer is put together.
        let later = |millis| earliest_question(at(25).plus(Duration::from_millis(millis)));
        assert_eq!(cut((at(10), at(25)), hour, later(20)), (Some((at(10), at(30))), vec![]));
        assert_eq!(cut((at(10), at(25)), hour, later(2_000)).0, Some((at(10), at(20))));
    }
}
