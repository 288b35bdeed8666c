//! Ports of links: the store, the edge's look-up, and the way changes reach caches.

use async_trait::async_trait;

use super::{BoxError, StoreError};
use crate::change::{ChangeContext, LinkChange};
use crate::ids::{DomainId, LinkId, WorkspaceId};
use crate::link::{Link, LinkCursor, LinkFilter, LinkKey, LinkPatch, LinkUpdate, NewLink};
use crate::outbox::OutboxEntry;
use crate::page::Page;
use crate::resolve::CachedLink;
use crate::short_code::ShortCode;
use crate::timestamp::Timestamp;

/// Durable storage of links. Every change stores the row, its audit entry (action `link.create`,
/// `link.update`, `link.delete`, `link.restore`, with the link's JSON before and after) and its
/// outbox event in one transaction, and gives the link a higher `revision` than any before.
#[async_trait]
pub trait LinkStore: Send + Sync {
    /// Inserts `new` at version 1, created at `context.at`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] `link_code` if the code is taken on that domain, also by a deleted link.
    async fn insert(&self, new: NewLink, context: &ChangeContext) -> Result<Link, StoreError>;

    /// Returns the link, deleted or not, or `None` if the workspace has no such link.
    async fn find(&self, workspace: WorkspaceId, id: LinkId) -> Result<Option<Link>, StoreError>;

    /// Lists links by `filter`; the cursor of the page is `None` on the last page.
    async fn list(&self, filter: &LinkFilter) -> Result<Page<Link, LinkCursor>, StoreError>;

    /// Tells whether [`Self::insert`] would find the code taken on that domain: by a link of any workspace,
    /// deleted ones included. Says nothing else about that link.
    async fn is_code_taken(&self, domain: DomainId, short_code: &ShortCode) -> Result<bool, StoreError>;

    /// Counts the links that are not deleted by the length of their code, the shortest first. Reads all of them.
    async fn count_by_code_length(&self) -> Result<Vec<(u16, u64)>, StoreError>;

    /// Changes a link that is not deleted; `expected` is the version the caller saw, `None` for any.
    /// A patch that changes nothing leaves version and audit log as they are.
    async fn update(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        expected: Option<i32>,
        patch: &LinkPatch,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError>;

    /// Marks a link deleted; it keeps its code and its clicks until it is purged.
    async fn delete(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        expected: Option<i32>,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError>;

    /// Takes back a deletion; [`LinkUpdate::Missing`] if the link is not deleted.
    async fn restore(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError>;

    /// Returns up to `max` links that were deleted before `deadline`, those first that were deleted first.
    async fn deleted_before(&self, deadline: Timestamp, max: u16) -> Result<Vec<LinkId>, StoreError>;

    /// Removes up to `max` links that were deleted before `deadline`, in the same order, with their clicks, and
    /// returns how many. Those that somebody is changing are left for the next time.
    async fn purge_deleted(&self, deadline: Timestamp, max: u16) -> Result<u64, StoreError>;
}

/// Finds what an edge needs to answer one request.
///
/// Adapters: the two databases, and decorators over them (shared cache, concurrency limit).
#[async_trait]
pub trait LinkLookup: Send + Sync {
    /// Returns the link under `key`, active or not; `None` if there is none or it is deleted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if nobody can tell; that is never an answer of "unknown".
    async fn lookup(&self, key: &LinkKey) -> Result<Option<CachedLink>, StoreError>;
}

/// The shared cache or the invalidation stream is away; the change stays in the outbox.
#[derive(Debug, thiserror::Error)]
#[error("caches cannot be told")]
pub struct PublishError(#[source] pub BoxError);

/// Tells every cache about changes of links.
#[async_trait]
pub trait LinkPublisher: Send + Sync {
    /// Writes or removes the shared entries, never over a higher revision, then tells every edge.
    async fn publish(&self, changes: &[LinkChange]) -> Result<(), PublishError>;

    /// Tells every edge that the set of domains changed.
    async fn publish_domains(&self) -> Result<(), PublishError>;
}

/// Committed events that caches have not been told about yet.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Returns the oldest entries in order.
    async fn pending(&self, max: u16) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Removes handled entries; unknown ones are ignored.
    async fn remove(&self, sequences: &[i64]) -> Result<(), StoreError>;
}
