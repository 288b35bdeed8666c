//! What a worker works with.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::RngCore;
use vayro_core::ports::{ClickStore, ClickStream, LinkStore, SessionStore};
use vayro_core::timestamp::Timestamp;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Source of secrets and of jitter; it must be a cryptographic one.
pub type SharedRng = Arc<Mutex<dyn RngCore + Send>>;

/// The ports of a worker, its clock and its randomness.
#[derive(Clone)]
pub struct WorkerDeps {
    /// Where clicks come from. One value is one consumer, so no two workers share it.
    pub stream: Arc<dyn ClickStream>,
    /// Where rows go.
    pub clicks: Arc<dyn ClickStore>,
    /// Links, for removing deleted ones for good.
    pub links: Arc<dyn LinkStore>,
    /// Sessions, for removing expired ones.
    pub sessions: Arc<dyn SessionStore>,
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub rng: SharedRng,
}
