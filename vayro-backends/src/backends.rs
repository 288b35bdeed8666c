//! Every port of one process, on one of the two back-end sets.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vayro_core::outbox::DrainError;
use vayro_core::ports::{
    AmendmentStore, AnalyticsStore, AuditStore, CertificateStore, ClickSink, ClickStore, ClickStream,
    DeadLetterStore, DomainStore, EdgeReports, EventStore, IdempotencyStore, InvalidationFeed, IssuerStore,
    KeyStore, LedgerFile, LedgerStore, LinkLookup, LinkPublisher, LinkStore, Outbox, PurgeStore, RateLimiter,
    RecentVisits, RetentionStore, RollupStore, ServedCertificates, SessionStore, ShareStore, StoreError,
    TicketKeyStore, UserStore, WorkspaceStore,
};
use vayro_core::schema::SchemaState;

use crate::drainer::Drainer;
use crate::nearest::ReplicaUse;
use crate::set::Set;

/// How long one part may take to answer a [`Backends::ping`].
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Every port of one process, made by [`Backends::connect`]. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Backends {
    /// Name of this process, `host:boot-uuid`: consumer of the stream, name of the edge in reports.
    pub name: Arc<str>,
    /// Accounts.
    pub users: Arc<dyn UserStore>,
    /// Workspaces and members.
    pub workspaces: Arc<dyn WorkspaceStore>,
    /// Domains.
    pub domains: Arc<dyn DomainStore>,
    /// How far certificates are.
    pub certificates: Arc<dyn CertificateStore>,
    /// What the issuer of certificates keeps.
    pub issuer: Arc<dyn IssuerStore>,
    /// Certificates for edges.
    pub served: Arc<dyn ServedCertificates>,
    /// Keys of session tickets.
    pub tickets: Arc<dyn TicketKeyStore>,
    /// API keys.
    pub keys: Arc<dyn KeyStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// The audit log.
    pub audit: Arc<dyn AuditStore>,
    /// Links.
    pub links: Arc<dyn LinkStore>,
    /// Idempotency keys.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// Changes that caches have not heard of.
    pub outbox: Arc<dyn Outbox>,
    /// Questions about clicks.
    pub analytics: Arc<dyn AnalyticsStore>,
    /// Stored clicks one by one.
    pub events: Arc<dyn EventStore>,
    /// Shares of statistics.
    pub shares: Arc<dyn ShareStore>,
    /// What clicks add up to.
    pub rollups: Arc<dyn RollupStore>,
    /// Changes of rows of clicks.
    pub amendments: Arc<dyn AmendmentStore>,
    /// Rows of clicks.
    pub click_rows: Arc<dyn ClickStore>,
    /// Look-ups straight in the database, for the outbox.
    pub database: Arc<dyn LinkLookup>,
    /// Look-ups for edges: the shared cache over the guarded database.
    pub lookup: Arc<dyn LinkLookup>,
    /// What the shared cache holds, for those who only look; `None` where there is no shared cache.
    pub shared_cache: Option<Arc<dyn LinkLookup>>,
    /// Tells caches about changes.
    pub publisher: Arc<dyn LinkPublisher>,
    /// Takes clicks; with [`Roles::EDGE`](crate::Roles::EDGE) through the spool.
    pub sink: Arc<dyn ClickSink>,
    /// Hands out clicks.
    pub stream: Arc<dyn ClickStream>,
    /// Which visits were counted a moment ago.
    pub visits: Arc<dyn RecentVisits>,
    /// Dead letters.
    pub dead_letters: Arc<dyn DeadLetterStore>,
    /// Reports of edges.
    pub reports: Arc<dyn EdgeReports>,
    /// The count of accepted clicks on this process's disk; keeps nothing without
    /// [`Roles::EDGE`](crate::Roles::EDGE).
    pub ledger_file: Arc<dyn LedgerFile>,
    /// Where an edge keeps links through its end; `None` where its database is as near.
    pub snapshot_file: Option<PathBuf>,
    /// The counts of all edges.
    pub ledger: Arc<dyn LedgerStore>,
    /// Clicks that somebody asked to have removed.
    pub purges: Arc<dyn PurgeStore>,
    /// What goes by age.
    pub retention: Arc<dyn RetentionStore>,
    /// Rate limits.
    pub limits: Arc<dyn RateLimiter>,
    pub(crate) drainer: Arc<Drainer>,
    pub(crate) set: Arc<Set>,
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backends").field("name", &self.name).field("set", &self.set).finish_non_exhaustive()
    }
}

/// How one part answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// `postgres` and `redis`, or `sqlite`.
    pub part: &'static str,
    /// Why it is not ready; `None` if it is.
    pub error: Option<String>,
}

impl Backends {
    /// Starts listening for changes of links and domains; each edge has a feed of its own.
    pub fn invalidations(&self) -> Box<dyn InvalidationFeed> {
        self.set.invalidations()
    }

    /// Returns the replica that answers questions about clicks, if there is one.
    pub fn replica(&self) -> Option<&ReplicaUse> {
        self.set.replica()
    }

    /// Applies the migrations that are missing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database is away or a migration fails; each is applied whole or not at all.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.set.migrate().await
    }

    /// Compares the database's schema with this program.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database is away.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        self.set.schema_state().await
    }

    /// Asks each part whether it answers, for readiness checks. Takes two seconds at most.
    pub async fn ping(&self) -> Vec<Ping> {
        self.set.ping(PING_TIMEOUT).await
    }

    /// Tells the caches about every waiting change and returns how many rows were handled, zero if
    /// another call that began later than this one did it. Never runs twice at once in one process.
    ///
    /// # Errors
    ///
    /// [`DrainError`] when the database or the shared cache is away; the changes stay in the outbox.
    pub async fn drain_outbox(&self) -> Result<usize, DrainError> {
        self.drainer.drain(&*self.outbox, &*self.database, &*self.publisher).await
    }

    /// Says that a change was committed, so that the drainer publishes it at once instead of at its
    /// next turn.
    pub fn changed(&self) {
        self.drainer.changed();
    }

    /// Starts the task that drains the outbox every second and after each [`Backends::changed`], until
    /// `shutdown` turns true, and once more then.
    pub fn spawn_drainer(&self, shutdown: watch::Receiver<bool>) -> JoinHandle<()> {
        let backends = self.clone();
        tokio::spawn(async move {
            backends
                .drainer
                .run(&*backends.outbox, &*backends.database, &*backends.publisher, shutdown)
                .await;
        })
    }

    /// Writes everything that is still in memory to the disk and closes the connections. Call it last.
    pub async fn close(&self) {
        if timeout(CLOSE_TIMEOUT, self.set.close()).await.is_err() {
            tracing::warn!("connections did not close in time");
        }
    }
}

/// How long closing may take; a connection that hangs must not keep the process.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
