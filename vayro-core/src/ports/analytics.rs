//! Port of the questions about clicks.

use async_trait::async_trait;

use super::StoreError;
use crate::analytics::{Breakdown, ClickCount, ClickScope, Dimension};
use crate::timestamp::Timestamp;

/// Answers questions about stored clicks.
#[async_trait]
pub trait AnalyticsStore: Send + Sync {
    /// Counts the clicks and visitors of `scope`.
    async fn totals(&self, scope: &ClickScope) -> Result<ClickCount, StoreError>;

    /// Counts per bucket; bucket `i` reaches from `edges[i]` to before `edges[i + 1]`, so there is one
    /// result fewer than edges. Clicks outside `scope` are not counted even if a bucket reaches further.
    async fn series(&self, scope: &ClickScope, edges: &[Timestamp]) -> Result<Vec<ClickCount>, StoreError>;

    /// Counts per value of `dimension`, at most `max` rows.
    async fn breakdown(
        &self,
        scope: &ClickScope,
        dimension: Dimension,
        max: u16,
    ) -> Result<Breakdown, StoreError>;
}
