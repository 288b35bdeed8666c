//! Every port of one process, on one of the two back-end sets.

use std::ops::BitOr;
use std::sync::Arc;

use vayro_core::outbox::DrainError;
use vayro_core::ports::{
    AnalyticsStore, AuditStore, BoxError, ClickSink, ClickStore, ClickStream, DeadLetterStore, DomainStore,
    EdgeReports, InvalidationFeed, KeyStore, LinkLookup, LinkPublisher, LinkStore, Outbox, RateLimiter,
    SessionStore, StoreError, UserStore, WorkspaceStore,
};

use crate::config::BackendConfig;

/// What a process does; decides which files it locks and which connections it opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// Only tools: migrations, accounts, a look at the state. Locks nothing.
    pub const TOOLS: Self = Self(0);
    /// Answers redirects and hands in clicks; owns the spool.
    pub const EDGE: Self = Self(1);
    /// Serves the API.
    pub const API: Self = Self(2);
    /// Takes clicks out of the stream.
    pub const WORKER: Self = Self(4);
    /// Everything in one process.
    pub const ALL: Self = Self(7);

    /// Tells whether all of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Roles {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Why the back-end set could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A part of it is away or refuses us.
    #[error("cannot connect to {part}")]
    Refused {
        /// `PostgreSQL`, `Redis`, `SQLite` or `spool`.
        part: &'static str,
        /// Its words.
        #[source]
        source: BoxError,
    },
    /// A part of it did not answer within `backend.connect_timeout`.
    #[error("{part} did not answer within {} ms", after.as_millis())]
    TimedOut {
        /// As above.
        part: &'static str,
        /// The limit.
        after: std::time::Duration,
    },
}

/// How the database's schema compares with this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// Every migration of this program is applied, and no other.
    Current,
    /// This many migrations of this program are not applied yet; `vayro migrate` does it.
    Behind(u32),
    /// The database was migrated by a newer program.
    Ahead,
}

/// Every port of one process. Cheap to clone; clones share everything.
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
    /// API keys.
    pub keys: Arc<dyn KeyStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// The audit log.
    pub audit: Arc<dyn AuditStore>,
    /// Links.
    pub links: Arc<dyn LinkStore>,
    /// Changes that caches have not heard of.
    pub outbox: Arc<dyn Outbox>,
    /// Questions about clicks.
    pub analytics: Arc<dyn AnalyticsStore>,
    /// Rows of clicks.
    pub click_rows: Arc<dyn ClickStore>,
    /// Look-ups straight in the database, for the outbox.
    pub database: Arc<dyn LinkLookup>,
    /// Look-ups for edges: the shared cache over the guarded database.
    pub lookup: Arc<dyn LinkLookup>,
    /// Tells caches about changes.
    pub publisher: Arc<dyn LinkPublisher>,
    /// Takes clicks; with [`Roles::EDGE`] through the spool.
    pub sink: Arc<dyn ClickSink>,
    /// Hands out clicks.
    pub stream: Arc<dyn ClickStream>,
    /// Dead letters.
    pub dead_letters: Arc<dyn DeadLetterStore>,
    /// Reports of edges.
    pub reports: Arc<dyn EdgeReports>,
    /// Rate limits.
    pub limits: Arc<dyn RateLimiter>,
}

impl Backends {
    /// Connects everything that `roles` need.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] names the part that is away; nothing stays open then.
    pub async fn connect(config: &BackendConfig, roles: Roles) -> Result<Self, ConnectError> {
        let _ = roles;
        let part = match config {
            BackendConfig::Clustered(_) => "PostgreSQL",
            BackendConfig::Embedded(_) => "SQLite",
        };
        Err(ConnectError::Refused { part, source: "not linked in yet".into() })
    }

    /// Starts listening for changes of links and domains; each edge has a feed of its own.
    pub fn invalidations(&self) -> Box<dyn InvalidationFeed> {
        unreachable!("nothing connects yet")
    }

    /// Applies the migrations that are missing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database is away or a migration fails; each is applied whole or not at all.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Compares the database's schema with this program.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database is away.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        Ok(SchemaState::Current)
    }

    /// Asks each part whether it answers, for readiness checks.
    pub async fn ping(&self) -> Vec<Ping> {
        Vec::new()
    }

    /// Tells the caches about every waiting change and returns how many rows were handled. Never runs
    /// twice at once in one process: a second call waits for the first.
    ///
    /// # Errors
    ///
    /// [`DrainError`] when the database or the shared cache is away; the changes stay in the outbox.
    pub async fn drain_outbox(&self) -> Result<usize, DrainError> {
        vayro_core::outbox::drain(&*self.outbox, &*self.database, &*self.publisher).await
    }

    /// Says that a change was committed, so that the drainer publishes it at once instead of at its
    /// next turn.
    pub fn changed(&self) {}

    /// Starts the task that drains the outbox every second and after each [`Backends::changed`], until
    /// `shutdown` turns true.
    pub fn spawn_drainer(&self, shutdown: tokio::sync::watch::Receiver<bool>) -> tokio::task::JoinHandle<()> {
        drop(shutdown);
        tokio::spawn(async {})
    }

    /// Writes everything that is still in memory to the disk and closes the connections. Call it last.
    pub async fn close(&self) {}
}

/// How one part answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// `postgres`, `redis`, `sqlite` or `spool`.
    pub part: &'static str,
    /// Why it is not ready; `None` if it is.
    pub error: Option<String>,
}
