//! Port of the changes of stored clicks.

use async_trait::async_trait;

use super::StoreError;
use crate::amendment::{Amendment, Changes, StoredClick};
use crate::day::Day;
use crate::ids::{ClickId, WorkspaceId};

/// Changes stored clicks by new knowledge, a batch at a time.
#[async_trait]
pub trait AmendmentStore: Send + Sync {
    /// Begins a run, in place of the last one of its kind, and returns the last click that one looked at if
    /// this run goes on where it ended: if it had the same basis and scope, is not through, and `is_anew` is
    /// not set. What the run it replaces still asks for is refused.
    async fn begin(&self, run: &Amendment, is_anew: bool) -> Result<Option<ClickId>, StoreError>;

    /// Returns clicks of a UTC day in the order of their ids, those of one workspace if it is named, those
    /// behind `after` if that is named; at most `max`.
    async fn clicks(
        &self,
        workspace_id: Option<WorkspaceId>,
        day: Day,
        after: Option<ClickId>,
        max: u16,
    ) -> Result<Vec<StoredClick>, StoreError>;

    /// Changes clicks, corrects what their links count, makes their days due to be counted again and notes that
    /// the run has looked at all clicks up to `after`, all in one transaction. Clicks that are gone are
    /// ignored. Returns how many were changed, or `None` if the run is not the current one of its kind;
    /// nothing is changed then.
    async fn amend(
        &self,
        run: &Amendment,
        changes: &Changes,
        after: ClickId,
    ) -> Result<Option<u64>, StoreError>;

    /// Forgets a run, because it is through; nothing happens if it is not the current one.
    async fn finish(&self, run: &Amendment) -> Result<(), StoreError>;
}
