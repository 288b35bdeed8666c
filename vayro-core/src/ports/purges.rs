//! Port of clicks that are removed because somebody asked for it.

use async_trait::async_trait;

use super::StoreError;
use crate::change::ChangeContext;
use crate::ids::{ClickId, PurgeId};
use crate::purge::{NewPurge, Purge};
use crate::timestamp::Timestamp;

/// Remembers purges and removes the rows they name. Rows go with what was counted of them: the counter of
/// their link at once, rollups when the days, which become due, are counted again. Every click is noted as
/// removed once, however often it arrives while the purge is remembered.
#[async_trait]
pub trait PurgeStore: Send + Sync {
    /// Stores a purge made at `context.at` with its audit entry `clicks.purge`: in the log of the link's
    /// workspace, or of the instance.
    async fn insert(&self, new: &NewPurge, context: &ChangeContext) -> Result<Purge, StoreError>;

    /// Returns a purge that is still remembered.
    async fn find(&self, id: PurgeId) -> Result<Option<Purge>, StoreError>;

    /// Lists every purge that is still remembered, oldest first, at most `max`.
    async fn list(&self, max: u32) -> Result<Vec<Purge>, StoreError>;

    /// Removes rows that the purge names and that happened from `from` to before `to`, at most `max`, in one
    /// transaction; returns how many.
    async fn remove_rows(
        &self,
        purge: &Purge,
        from: Timestamp,
        to: Timestamp,
        max: u32,
    ) -> Result<u64, StoreError>;

    /// Removes what of these clicks is stored, and notes each as removed, stored or not, unless it was noted
    /// before; returns how many were noted now.
    async fn remove_clicks(&self, purge: &Purge, clicks: &[ClickId]) -> Result<u64, StoreError>;

    /// Notes that the purge was carried out once more, unless it is not any more in the state that was seen. Of
    /// a whole link what its clicks added up to goes too, also of days that cannot be counted again.
    async fn advance(&self, purge: &Purge, at: Timestamp) -> Result<(), StoreError>;

    /// Forgets a purge and the clicks it removed.
    async fn forget(&self, id: PurgeId) -> Result<(), StoreError>;
}
