//! Port of what goes by age.

use async_trait::async_trait;

use super::StoreError;
use crate::day::Day;
use crate::ids::WorkspaceId;
use crate::retention::{Cut, Detached, RemovedMonth, RetentionReview};

/// Removes clicks and rollups that are too old. Every click removed is noted as
/// [`Removal::Expired`](crate::ledger::Removal::Expired) in the transaction that removes it. Rollups stay
/// when their clicks go. Any number of processes may do so at once.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// Tells what `cut` would remove, and changes nothing.
    async fn review(&self, cut: &Cut) -> Result<RetentionReview, StoreError>;

    /// Moves the horizon of every workspace to what its plan keeps. No horizon moves back. A workspace
    /// without an owner keeps what the longest plan keeps.
    async fn raise_horizons(&self, cut: &Cut) -> Result<(), StoreError>;

    /// Returns the first day of which the workspace keeps clicks; `None` if it keeps all.
    async fn horizon(&self, workspace_id: WorkspaceId) -> Result<Option<Day>, StoreError>;

    /// Removes the months before [`Cut::month`] for everybody and says which were there. Their clicks are
    /// not stored any more: writing one is [`DeadReason::OutOfRange`](crate::stream::DeadReason::OutOfRange).
    /// Neither readers nor writers of other months wait. A month that somebody reads for long stays until
    /// the next call.
    async fn remove_months(&self, cut: &Cut, detached: Detached) -> Result<Vec<RemovedMonth>, StoreError>;

    /// Removes clicks that happened before the horizon of their workspace: about `max` in short
    /// transactions; returns how many. Zero when there are none left.
    async fn remove_clicks(&self, max: u32) -> Result<u64, StoreError>;

    /// Removes at most `max` rollups of days before `first`; returns how many.
    async fn remove_rollups(&self, first: Day, max: u32) -> Result<u64, StoreError>;
}
