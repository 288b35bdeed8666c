//! Questions about clicks, to a replica while it is near and to the primary otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use vayro_core::analytics::{Breakdown, ClickCount, ClickScope, Dimension};
use vayro_core::event::{ClickEvent, EventOrder};
use vayro_core::ids::{ClickId, WorkspaceId};
use vayro_core::ports::{AnalyticsStore, EventStore, StoreError};
use vayro_core::timestamp::Timestamp;
use vayro_postgres::{PgReplica, PgStores, ReplicaState};

/// How often it is seen whether the replica that works on a question is still there.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The replica of this process and how much it is used. Clones share everything.
#[derive(Clone, Debug)]
pub struct ReplicaUse {
    replica: PgReplica,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_replica: AtomicU64,
    by_primary: AtomicU64,
}

impl ReplicaUse {
    pub(crate) fn new(replica: PgReplica) -> Self {
        Self { replica, counts: Arc::default() }
    }

    /// Tells whether it was near at the last look.
    pub fn is_near(&self) -> bool {
        self.replica.last_seen() == Some(ReplicaState::Near)
    }

    /// Returns how many questions the replica answered since start.
    pub fn answered_by_replica(&self) -> u64 {
        self.counts.by_replica.load(Ordering::Relaxed)
    }

    /// Returns how many questions the primary answered in its stead since start.
    pub fn answered_by_primary(&self) -> u64 {
        self.counts.by_primary.load(Ordering::Relaxed)
    }

    pub(crate) fn stores(&self) -> &PgStores {
        self.replica.stores()
    }

    /// Looks how it is.
    pub(crate) async fn state(&self) -> ReplicaState {
        self.replica.state().await
    }

    pub(crate) async fn close(&self) {
        self.replica.close().await;
    }

    /// Waits for the answer of the replica as long as it is there; `None` if it did not answer.
    async fn ask<T>(&self, question: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        if self.replica.state().await != ReplicaState::Near {
            return None;
        }
        let mut question = std::pin::pin!(question);
        loop {
            match tokio::time::timeout(WATCH_EVERY, &mut question).await {
                Ok(Ok(answer)) => {
                    self.counts.by_replica.fetch_add(1, Ordering::Relaxed);
                    return Some(answer);
                }
                Ok(Err(error)) => {
                    self.replica.failed(&error);
                    return None;
                }
                // A long question may itself keep the replica behind; that is no reason to ask it twice.
                Err(_) if matches!(self.replica.state().await, ReplicaState::Away(_)) => return None,
                Err(_) => {}
            }
        }
    }

    async fn instead<T>(
        &self,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.counts.by_primary.fetch_add(1, Ordering::Relaxed);
        question.await
    }
}

/// Asks the replica first.
pub(crate) struct NearestAnalytics {
    pub(crate) replica: Arc<dyn AnalyticsStore>,
    pub(crate) primary: Arc<dyn AnalyticsStore>,
    pub(crate) usage: ReplicaUse,
}

#[async_trait]
impl AnalyticsStore for NearestAnalytics {
    async fn totals(&self, scope: &ClickScope) -> Result<ClickCount, StoreError> {
        match self.usage.ask(self.replica.totals(scope)).await {
            Some(answer) => Ok(answer),
            None => self.usage.instead(self.primary.totals(scope)).await,
        }
    }

    async fn series(&self, scope: &ClickScope, edges: &[Timestamp]) -> Result<Vec<ClickCount>, StoreError> {
        match self.usage.ask(self.replica.series(scope, edges)).await {
            Some(answer) => Ok(answer),
            None => self.usage.instead(self.primary.series(scope, edges)).await,
        }
    }

    async fn overview(
        &self,
        scope: &ClickScope,
        edges: &[Timestamp],
    ) -> Result<(ClickCount, Vec<ClickCount>), StoreError> {
        match self.usage.ask(self.replica.overview(scope, edges)).await {
            Some(answer) => Ok(answer),
            None => self.usage.instead(self.primary.overview(scope, edges)).await,
        }
    }

    async fn breakdown(
        &self,
        scope: &ClickScope,
        dimension: Dimension,
        max: u16,
    ) -> Result<Breakdown, StoreError> {
        match self.usage.ask(self.replica.breakdown(scope, dimension, max)).await {
            Some(answer) => Ok(answer),
            None => self.usage.instead(self.primary.breakdown(scope, dimension, max)).await,
        }
    }
}

/// Lists of clicks, and exports made of them, like [`NearestAnalytics`]. What feeds show is asked of the primary:
/// a click that the replica does not have yet is what somebody waits for.
pub(crate) struct NearestEvents {
    pub(crate) replica: PgStores,
    pub(crate) primary: PgStores,
    pub(crate) usage: ReplicaUse,
}

#[async_trait]
impl EventStore for NearestEvents {
    async fn events(
        &self,
        scope: &ClickScope,
        order: EventOrder,
        after: Option<ClickId>,
        max: u16,
    ) -> Result<Vec<ClickEvent>, StoreError> {
        match self.usage.ask(self.replica.events(scope, order, after, max)).await {
            Some(answer) => Ok(answer),
            None => self.usage.instead(self.primary.events(scope, order, after, max)).await,
        }
    }

    async fn recent(
        &self,
        workspace_id: WorkspaceId,
        from: Timestamp,
        max: u32,
    ) -> Result<Vec<ClickId>, StoreError> {
        self.primary.recent(workspace_id, from, max).await
    }

    async fn find(&self, workspace_id: WorkspaceId, ids: &[ClickId]) -> Result<Vec<ClickEvent>, StoreError> {
        EventStore::find(&self.primary, workspace_id, ids).await
    }
}
