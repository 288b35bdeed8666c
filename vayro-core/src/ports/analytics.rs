//! Port of the questions about clicks.

use async_trait::async_trait;

use super::StoreError;
use crate::analytics::{Breakdown, ClickCount, ClickScope, Dimension};
use crate::day::Day;
use crate::ids::WorkspaceId;
use crate::rollup::{RollupCheck, RollupSpan, Subject};
use crate::timestamp::Timestamp;

/// Answers questions about stored clicks.
#[async_trait]
pub trait AnalyticsStore: Send + Sync {
    /// Counts the clicks and visitors of `scope`.
    async fn totals(&self, scope: &ClickScope) -> Result<ClickCount, StoreError>;

    /// Counts per bucket; bucket `i` reaches from `edges[i]` to before `edges[i + 1]`, so there is one
    /// result fewer than edges. Clicks outside `scope` are not counted even if a bucket reaches further.
    async fn series(&self, scope: &ClickScope, edges: &[Timestamp]) -> Result<Vec<ClickCount>, StoreError>;

    /// Returns [`Self::totals`] and [`Self::series`] at once.
    async fn overview(
        &self,
        scope: &ClickScope,
        edges: &[Timestamp],
    ) -> Result<(ClickCount, Vec<ClickCount>), StoreError> {
        Ok((self.totals(scope).await?, self.series(scope, edges).await?))
    }

    /// Counts per value of `dimension`, at most `max` rows.
    async fn breakdown(
        &self,
        scope: &ClickScope,
        dimension: Dimension,
        max: u16,
    ) -> Result<Breakdown, StoreError>;
}

/// Which rollups are read: those of `subject` that begin within one of the pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupRange {
    /// The workspace that the subject must belong to.
    pub workspace_id: WorkspaceId,
    /// Whose clicks.
    pub subject: Subject,
    /// Of which length.
    pub span: RollupSpan,
    /// Begin of the first one and of the first one that is not read, of each piece. Pieces do not overlap;
    /// there are at most as many as weeks in the span that is asked for.
    pub pieces: Vec<(Timestamp, Timestamp)>,
}

/// The counts of one rollup. There may be several of one start; they add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupCounts {
    /// Where its span begins.
    pub start: Timestamp,
    /// See [`Quarters`](crate::rollup::Quarters).
    pub quarters: Vec<u8>,
    /// See [`VisitorSketches`](crate::rollup::VisitorSketches). Empty where `day_visitors` says as much.
    pub visitors: Vec<u8>,
    /// The same of all hours together; empty where there are few. Of a week
    /// [`WeekVisitors`](crate::rollup::WeekVisitors).
    pub day_visitors: Vec<u8>,
}

/// One dimension of one rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupValues {
    /// Where its span begins.
    pub start: Timestamp,
    /// See [`Quarters`](crate::rollup::Quarters).
    pub quarters: Vec<u8>,
    /// See [`ValueCounts`](crate::rollup::ValueCounts).
    pub values: Vec<u8>,
}

/// Clicks of one visitor in one quarter of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Where the quarter begins.
    pub quarter: Timestamp,
    /// Who; `None` for all clicks whose visitor is unknown.
    pub visitor_id: Option<i64>,
    /// How many clicks.
    pub clicks: i64,
}

/// Reads what [`ClickStore::write`](super::ClickStore::write) keeps up to date.
#[async_trait]
pub trait RollupStore: Send + Sync {
    /// Returns the counts of rollups in no particular order. Visitors by the hour come with those that begin
    /// at an instant of `hourly` or have no `day_visitors`, and are empty for all others: they are long.
    async fn counts(
        &self,
        range: &RollupRange,
        hourly: &[Timestamp],
    ) -> Result<Vec<RollupCounts>, StoreError>;

    /// Returns one dimension of rollups in no particular order.
    async fn values(
        &self,
        range: &RollupRange,
        dimension: Dimension,
    ) -> Result<Vec<RollupValues>, StoreError>;

    /// Counts the clicks of one UTC day of a workspace again and compares that with its rollups and those of
    /// its links; on the last day of a week that has any, the rollups of that week are compared with those of
    /// its days too. With `is_repair` the rollups of the day are replaced and those of its week go, no writer
    /// comes in between, and the day is not due any more. A day before the workspace's horizon is left as it
    /// is, see [`crate::retention`].
    async fn recount(
        &self,
        workspace_id: WorkspaceId,
        day: Day,
        is_repair: bool,
    ) -> Result<RollupCheck, StoreError>;

    /// Returns the UTC days from `first` to `last`, both included, on which workspaces have clicks or
    /// rollups, sorted, those of one workspace if it is named.
    async fn days(
        &self,
        workspace_id: Option<WorkspaceId>,
        first: Day,
        last: Day,
    ) -> Result<Vec<(WorkspaceId, Day)>, StoreError>;

    /// Returns days that are due to be counted again, because clicks were removed, at most `max`.
    async fn due(&self, max: u16) -> Result<Vec<(WorkspaceId, Day)>, StoreError>;

    /// Puts the days of weeks that begin at `from` or later and ended by `to` together, see
    /// [`RollupSet::weeks`](crate::rollup::RollupSet::weeks), of at most `max` weeks of workspaces. Returns how
    /// many weekly rollups were made; what is missing for a click that came late is made too.
    /// [`ClickStore::write`](super::ClickStore::write) removes those it makes outdated.
    async fn roll_up_weeks(&self, from: Timestamp, to: Timestamp, max: u16) -> Result<u64, StoreError>;

    /// Counts the parts of UTC days that begin at `from` or later and ended by `to`, of links and workspaces that were
    /// busy then and have no parts yet, see [`BUSY_CLICKS`](crate::rollup::BUSY_CLICKS). Returns how many rollups
    /// were made. Days before the workspace's horizon are left as they are.
    /// [`ClickStore::write`](super::ClickStore::write) removes parts it makes outdated.
    /// [`RollupStore::roll_up_weeks`] does the same for the days of each week that it puts together.
    async fn roll_up_parts(&self, from: Timestamp, to: Timestamp) -> Result<u64, StoreError>;

    /// Returns the visits of `scope`, which has no filters, counted from raw clicks. For spans of an hour or
    /// less.
    async fn visits(&self, scope: &ClickScope) -> Result<Vec<Visit>, StoreError>;
}
