//! Telling caches about committed changes before the client gets its answer.
//!
//! A change is safe in the outbox once its transaction committed, and the process's drainer publishes it
//! sooner or later. [`OutboxSignal::flush`] makes that "before the answer is read" in the usual case, and
//! does not hold up the answer when the caches are away.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use vayro_backends::Backends;
use vayro_core::outbox::DrainError;

/// Longest time an answer waits for the caches.
const FLUSH_WAIT_MAX: Duration = Duration::from_millis(250);

type Drain = dyn Fn() -> BoxFuture<'static, Result<usize, DrainError>> + Send + Sync;

/// Has committed changes published at once.
#[derive(Clone)]
pub struct OutboxSignal(Arc<Drain>);

impl OutboxSignal {
    /// Uses `drain`, which empties the outbox and may be dropped at any time without harm.
    pub fn from_fn(
        drain: impl Fn() -> BoxFuture<'static, Result<usize, DrainError>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(drain))
    }

    /// Waits up to 250 ms for the caches to be told about every change committed so far.
    ///
    /// Returns whether they were; if not, they will be.
    pub async fn flush(&self) -> bool {
        match tokio::time::timeout(FLUSH_WAIT_MAX, (self.0)()).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                // The drainer says so once, aloud.
                tracing::debug!(error = &error as &dyn std::error::Error, "caches are told later");
                false
            }
            Err(_) => false,
        }
    }
}

impl From<&Backends> for OutboxSignal {
    fn from(backends: &Backends) -> Self {
        let backends = backends.clone();
        Self::from_fn(move || {
            // Should the wait below end early, the drainer is awake already.
            backends.changed();
            let backends = backends.clone();
            async move { backends.drain_outbox().await }.boxed()
        })
    }
}

impl fmt::Debug for OutboxSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutboxSignal")
    }
}
