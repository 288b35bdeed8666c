//! Port of stored clicks one by one.

use async_trait::async_trait;

use super::StoreError;
use crate::analytics::ClickScope;
use crate::event::{ClickEvent, EventOrder};
use crate::ids::{ClickId, WorkspaceId};
use crate::timestamp::Timestamp;

/// Shows stored clicks.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Lists the clicks of `scope` behind the click `after`, at most `max` and never more than
    /// [`EVENTS_MAX`](crate::event::EVENTS_MAX). `after` need not exist any more.
    ///
    /// Clicks are ordered by id. What is stored or removed between two calls moves nothing: a click is
    /// listed once or, if it came too late for its place, not at all.
    async fn events(
        &self,
        scope: &ClickScope,
        order: EventOrder,
        after: Option<ClickId>,
        max: u16,
    ) -> Result<Vec<ClickEvent>, StoreError>;

    /// Returns the ids of a workspace's clicks of all classes from `from` on, newest first, at most `max`.
    async fn recent(
        &self,
        workspace_id: WorkspaceId,
        from: Timestamp,
        max: u32,
    ) -> Result<Vec<ClickId>, StoreError>;

    /// Returns these clicks of a workspace in the order of their ids, at most
    /// [`EVENTS_MAX`](crate::event::EVENTS_MAX); unknown ids are left out.
    async fn find(&self, workspace_id: WorkspaceId, ids: &[ClickId]) -> Result<Vec<ClickEvent>, StoreError>;
}
