//! Everything a request needs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use vayro_backends::Backends;
use vayro_core::ports::{
    AnalyticsStore, AuditStore, CertificateStore, ClickStream, DeadLetterStore, DomainStore, EdgeReports,
    EventStore, IdempotencyStore, KeyStore, LedgerStore, LinkLookup, LinkStore, PurgeStore, RateLimiter,
    SessionStore, ShareStore, UserStore, WorkspaceStore,
};

use crate::auth::Passwords;
use crate::clock::{Clock, Random};
use crate::explain::Explainer;
use crate::export::{EXPORTS_MAX, EXPORTS_OF_WORKSPACE_MAX};
use crate::idempotency::KeyedRequests;
use crate::live::LiveHub;
use crate::metrics::Metrics;
use crate::outbox::OutboxSignal;
use crate::settings::ApiSettings;
use crate::slots::Slots;

/// The state as handlers get it.
pub type SharedState = Arc<ApiState>;

/// The ports the API stands on.
#[derive(Clone)]
pub struct Ports {
    /// Accounts.
    pub users: Arc<dyn UserStore>,
    /// Workspaces and members.
    pub workspaces: Arc<dyn WorkspaceStore>,
    /// Domains.
    pub domains: Arc<dyn DomainStore>,
    /// How far certificates are.
    pub certificates: Arc<dyn CertificateStore>,
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
    /// Links as edges look them up, straight from the database.
    pub database: Arc<dyn LinkLookup>,
    /// Questions about clicks.
    pub analytics: Arc<dyn AnalyticsStore>,
    /// Stored clicks one by one.
    pub events: Arc<dyn EventStore>,
    /// Shares of statistics.
    pub shares: Arc<dyn ShareStore>,
    /// The click stream, to measure it.
    pub stream: Arc<dyn ClickStream>,
    /// Dead letters.
    pub dead_letters: Arc<dyn DeadLetterStore>,
    /// What edges counted, and what it is compared with.
    pub ledger: Arc<dyn LedgerStore>,
    /// Clicks that somebody asked to have removed.
    pub purges: Arc<dyn PurgeStore>,
    /// What edges say about themselves.
    pub reports: Arc<dyn EdgeReports>,
    /// Rate limits.
    pub limits: Arc<dyn RateLimiter>,
}

impl From<&Backends> for Ports {
    fn from(backends: &Backends) -> Self {
        Self {
            users: Arc::clone(&backends.users),
            workspaces: Arc::clone(&backends.workspaces),
            domains: Arc::clone(&backends.domains),
            certificates: Arc::clone(&backends.certificates),
            keys: Arc::clone(&backends.keys),
            sessions: Arc::clone(&backends.sessions),
            audit: Arc::clone(&backends.audit),
            links: Arc::clone(&backends.links),
            idempotency: Arc::clone(&backends.idempotency),
            database: Arc::clone(&backends.database),
            analytics: Arc::clone(&backends.analytics),
            events: Arc::clone(&backends.events),
            shares: Arc::clone(&backends.shares),
            stream: Arc::clone(&backends.stream),
            dead_letters: Arc::clone(&backends.dead_letters),
            ledger: Arc::clone(&backends.ledger),
            purges: Arc::clone(&backends.purges),
            reports: Arc::clone(&backends.reports),
            limits: Arc::clone(&backends.limits),
        }
    }
}

/// Everything a request needs; made once per process.
pub struct ApiState {
    /// The ports.
    pub ports: Ports,
    /// Asks for changes to be told to caches.
    pub outbox_signal: OutboxSignal,
    /// Tells the time.
    pub clock: Clock,
    /// Gives ids and secrets.
    pub random: Random,
    /// What the API was told.
    pub settings: ApiSettings,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Explains what visits get.
    pub explainer: Explainer,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Requests that go on when their clients leave.
    pub(crate) keyed_requests: KeyedRequests,
    /// Places for exports.
    pub(crate) exports: Arc<Slots>,
    /// Who follows clicks.
    pub(crate) live: LiveHub,
    /// Whether the process is about to stop; readiness then says no.
    pub is_draining: AtomicBool,
}

impl ApiState {
    /// Puts the state together for a process.
    pub fn new(backends: &Backends, settings: ApiSettings, explainer: Explainer) -> Self {
        let ports = Ports::from(backends);
        let signal = OutboxSignal::from(backends);
        let state = Self::with_ports(ports, settings, signal, Clock::system(), Random::from_os());
        let metrics = state.metrics.clone().with_replica(backends.replica().cloned());
        Self { explainer, metrics, ..state }
    }

    /// Puts the state together with a clock and a randomness of the caller's own.
    pub fn with_ports(
        ports: Ports,
        settings: ApiSettings,
        outbox_signal: OutboxSignal,
        clock: Clock,
        random: Random,
    ) -> Self {
        let passwords = Passwords::new(settings.password_hash_concurrency);
        let is_draining = AtomicBool::new(false);
        let metrics = Metrics::new();
        let keyed_requests = KeyedRequests::default();
        Self {
            ports,
            outbox_signal,
            clock,
            random,
            settings,
            passwords,
            explainer: Explainer::default(),
            metrics,
            keyed_requests,
            exports: Slots::new(EXPORTS_OF_WORKSPACE_MAX, EXPORTS_MAX),
            live: LiveHub::new(),
            is_draining,
        }
    }
}
