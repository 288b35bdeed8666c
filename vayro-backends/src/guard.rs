//! Spares the database: a bound on look-ups at one time, a time limit, and a rest when it fails.
//!
//! A flood of codes that no cache knows must not become a flood of queries, and a database that is
//! away must not make every visitor wait for it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use vayro_core::link::LinkKey;
use vayro_core::ports::{LinkLookup, StoreError};
use vayro_core::resolve::CachedLink;

use crate::config::LookupConfig;

/// Why a look-up was not made, or its answer not awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the database failed some times in a row and is given a rest")]
    Resting,
    #[error("too many look-ups at one time")]
    Crowded,
    #[error("the database took too long")]
    Slow,
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(Box::new(refusal))
    }
}

/// Puts the limits of [`LookupConfig`] in front of another look-up.
pub struct GuardedLookup {
    inner: Arc<dyn LinkLookup>,
    turns: Semaphore,
    wait: Duration,
    timeout: Duration,
    circuit: Circuit,
}

impl GuardedLookup {
    /// Guards `inner`.
    pub fn new(inner: Arc<dyn LinkLookup>, limits: LookupConfig) -> Self {
        Self {
            inner,
            turns: Semaphore::new(limits.concurrency),
            wait: limits.wait,
            timeout: limits.timeout,
            circuit: Circuit {
                failures_max: limits.failures,
                pause: limits.pause,
                state: Mutex::new(CircuitState { failures: 0, closed_at: None }),
            },
        }
    }
}

#[async_trait]
impl LinkLookup for GuardedLookup {
    async fn lookup(&self, key: &LinkKey) -> Result<Option<CachedLink>, StoreError> {
        if !self.circuit.admits(Instant::now()) {
            return Err(Refusal::Resting.into());
        }
        let Ok(Ok(_turn)) = timeout(self.wait, self.turns.acquire()).await else {
            return Err(Refusal::Crowded.into());
        };
        match timeout(self.timeout, self.inner.lookup(key)).await {
            Err(_) => {
                self.circuit.failed(Instant::now());
                Err(Refusal::Slow.into())
            }
            Ok(Err(StoreError::Unavailable(cause))) => {
                self.circuit.failed(Instant::now());
                Err(StoreError::Unavailable(cause))
            }
            // It answers, perhaps that something is wrong with one row.
            Ok(answer) => {
                self.circuit.succeeded();
                answer
            }
        }
    }
}

/// Lets everything through until some failures in a row; then one look-up per pause, until one succeeds.
struct Circuit {
    failures_max: u32,
    pause: Duration,
    state: Mutex<CircuitState>,
}

struct CircuitState {
    failures: u32,
    /// When the next look-up is let through; `None` while all are.
    closed_at: Option<Instant>,
}

impl Circuit {
    fn admits(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        match state.closed_at {
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                state.closed_at = Some(now + self.pause);
                true
            }
        }
    }

    fn succeeded(&self) {
        let mut state = self.state.lock();
        state.failures = 0;
        if state.closed_at.take().is_some() {
            tracing::info!("the database answers look-ups again");
        }
    }

    fn failed(&self, now: Instant) {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.failures_max && state.closed_at.replace(now + self.pause).is_none() {
            tracing::warn!(
                failures = state.failures,
                "the database does not answer look-ups; giving it a rest"
            );
        }
    }
}
