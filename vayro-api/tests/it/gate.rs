//! A store of links whose inserts can be made to wait and to fail.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;
use vayro_api::Ports;
use vayro_core::change::ChangeContext;
use vayro_core::ids::{DomainId, LinkId, WorkspaceId};
use vayro_core::link::{Link, LinkCursor, LinkFilter, LinkPatch, LinkUpdate, NewLink};
use vayro_core::page::Page;
use vayro_core::ports::{LinkStore, StoreError};
use vayro_core::short_code::ShortCode;
use vayro_core::timestamp::Timestamp;

/// Longest time anything here may take; reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(30);

/// What happens to those who come to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// They go on.
    Open,
    /// They wait until that changes.
    Shut,
    /// The database is away.
    Failing,
    /// There is a bug.
    Panicking,
}

/// Opens and shuts the gate, and counts who has come to it.
#[derive(Clone)]
pub(crate) struct Keeper {
    gate: Arc<watch::Sender<Gate>>,
    arrived: Arc<watch::Sender<usize>>,
}

struct GatedLinks {
    inner: Arc<dyn LinkStore>,
    keeper: Keeper,
}

impl Keeper {
    pub(crate) fn new() -> Self {
        Self { gate: Arc::new(watch::Sender::new(Gate::Open)), arrived: Arc::new(watch::Sender::new(0)) }
    }

    /// Puts the gate in front of the inserts of `ports`.
    pub(crate) fn guard(&self, ports: &mut Ports) {
        let inner = Arc::clone(&ports.links);
        ports.links = Arc::new(GatedLinks { inner, keeper: self.clone() });
    }

    pub(crate) fn set(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }

    /// Waits until `count` have come to the gate since the beginning.
    pub(crate) async fn arrived(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        let reached = timeout(LIMIT, arrived.wait_for(|arrived| *arrived >= count));
        reached.await.expect("they come in time").expect("the gate stands");
    }

    async fn pass(&self) -> Result<(), StoreError> {
        self.arrived.send_modify(|arrived| *arrived += 1);
        let mut gate = self.gate.subscribe();
        let now = *gate.wait_for(|gate| *gate != Gate::Shut).await.expect("the gate stands");
        match now {
            Gate::Failing => Err(StoreError::Unavailable("away".into())),
            Gate::Panicking => panic!("a bug"),
            Gate::Open | Gate::Shut => Ok(()),
        }
    }
}

#[async_trait]
impl LinkStore for GatedLinks {
    async fn insert(&self, new: NewLink, context: &ChangeContext) -> Result<Link, StoreError> {
        self.keeper.pass().await?;
        self.inner.insert(new, context).await
    }

    async fn find(&self, workspace: WorkspaceId, id: LinkId) -> Result<Option<Link>, StoreError> {
        self.inner.find(workspace, id).await
    }

    async fn list(&self, filter: &LinkFilter) -> Result<Page<Link, LinkCursor>, StoreError> {
        self.inner.list(filter).await
    }

    async fn is_code_taken(&self, domain: DomainId, short_code: &ShortCode) -> Result<bool, StoreError> {
        self.inner.is_code_taken(domain, short_code).await
    }

    async fn count_by_code_length(&self) -> Result<Vec<(u16, u64)>, StoreError> {
        self.inner.count_by_code_length().await
    }

    async fn update(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        expected: Option<i32>,
        patch: &LinkPatch,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        self.inner.update(workspace, id, expected, patch, context).await
    }

    async fn delete(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        expected: Option<i32>,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        self.inner.delete(workspace, id, expected, context).await
    }

    async fn restore(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        self.inner.restore(workspace, id, context).await
    }

    async fn deleted_before(&self, deadline: Timestamp, max: u16) -> Result<Vec<LinkId>, StoreError> {
        self.inner.deleted_before(deadline, max).await
    }

    async fn purge_deleted(&self, deadline: Timestamp, max: u16) -> Result<u64, StoreError> {
        self.inner.purge_deleted(deadline, max).await
    }
}
