//! What a worker works with.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng as _};
use vayro_backends::{Backends, clock};
use vayro_core::ports::{
    ClickStore, ClickStream, DeadLetterStore, IdempotencyStore, LedgerStore, LinkStore, PurgeStore,
    RecentVisits, RetentionStore, RollupStore, SessionStore,
};
use vayro_core::timestamp::Timestamp;

use crate::certificates::CertificateDeps;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Source of secrets and of jitter; it must be a cryptographic one.
pub type SharedRng = Arc<Mutex<dyn RngCore + Send>>;

/// The ports of a worker, its clock and its randomness.
#[derive(Clone)]
pub struct WorkerDeps {
    /// Where clicks come from. One value is one consumer, so no two workers share it.
    pub stream: Arc<dyn ClickStream>,
    /// Which visits were counted a moment ago, shared by all workers.
    pub visits: Arc<dyn RecentVisits>,
    /// Where rows go.
    pub clicks: Arc<dyn ClickStore>,
    /// What the rows add up to.
    pub rollups: Arc<dyn RollupStore>,
    /// Dead letters, for removing what somebody asked to have removed and those of deleted links.
    pub dead_letters: Arc<dyn DeadLetterStore>,
    /// The account of clicks, for noting those letters.
    pub ledger: Arc<dyn LedgerStore>,
    /// Clicks that somebody asked to have removed.
    pub purges: Arc<dyn PurgeStore>,
    /// What goes by age.
    pub retention: Arc<dyn RetentionStore>,
    /// Links, for removing deleted ones for good.
    pub links: Arc<dyn LinkStore>,
    /// Sessions, for removing expired ones.
    pub sessions: Arc<dyn SessionStore>,
    /// Idempotency keys, for removing expired ones.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// What an issuer of certificates needs; `None` if this worker is to be none.
    pub certificates: Option<CertificateDeps>,
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub rng: SharedRng,
}

impl WorkerDeps {
    /// Takes the worker's ports from a back-end set, the system's clock and the system's randomness.
    pub fn new(backends: &Backends) -> Self {
        Self {
            stream: Arc::clone(&backends.stream),
            visits: Arc::clone(&backends.visits),
            clicks: Arc::clone(&backends.click_rows),
            rollups: Arc::clone(&backends.rollups),
            dead_letters: Arc::clone(&backends.dead_letters),
            ledger: Arc::clone(&backends.ledger),
            purges: Arc::clone(&backends.purges),
            retention: Arc::clone(&backends.retention),
            links: Arc::clone(&backends.links),
            sessions: Arc::clone(&backends.sessions),
            idempotency: Arc::clone(&backends.idempotency),
            certificates: Some(CertificateDeps {
                holder: Arc::clone(&backends.name),
                domains: Arc::clone(&backends.domains),
                certificates: Arc::clone(&backends.certificates),
                issuer: Arc::clone(&backends.issuer),
                served: Arc::clone(&backends.served),
            }),
            clock: Arc::new(clock::now),
            rng: Arc::new(Mutex::new(StdRng::from_os_rng())),
        }
    }
}
