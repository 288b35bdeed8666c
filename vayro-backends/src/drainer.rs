//! Empties the outbox, one drain at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};
use tokio::time::timeout;
use vayro_core::outbox::{DrainError, drain};
use vayro_core::ports::{LinkLookup, LinkPublisher, Outbox};

/// Time between drains when nobody says that something changed; other processes' changes wait that long
/// if those processes end before they publish them.
const DRAIN_EVERY: Duration = Duration::from_secs(1);
/// Longest pause while database or caches are away.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What keeps drains apart.
#[derive(Debug, Default)]
pub(crate) struct Drainer {
    /// Drains begun.
    begun: AtomicU64,
    /// Number of the last drain that ended well; held while one runs.
    succeeded: Mutex<u64>,
    changed: Notify,
}

impl Drainer {
    /// Drains once. Callers that come while a drain runs share the next one.
    pub(crate) async fn drain(
        &self,
        outbox: &dyn Outbox,
        database: &dyn LinkLookup,
        publisher: &dyn LinkPublisher,
    ) -> Result<usize, DrainError> {
        let before = self.begun.load(Ordering::Acquire);
        let mut succeeded = self.succeeded.lock().await;
        if *succeeded > before {
            // It began after the caller's change was committed, so it saw that change.
            return Ok(0);
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let handled = drain(outbox, database, publisher).await?;
        *succeeded = number;
        Ok(handled)
    }

    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// Drains after each [`Drainer::changed`] and every second until `shutdown` turns true, and once more
    /// then, so that nothing this process committed is left to others.
    pub(crate) async fn run(
        &self,
        outbox: &dyn Outbox,
        database: &dyn LinkLookup,
        publisher: &dyn LinkPublisher,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let mut pause = DRAIN_EVERY;
        let mut is_failing = false;
        loop {
            let is_ending = *shutdown.borrow_and_update();
            match self.drain(outbox, database, publisher).await {
                Ok(_) => {
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("caches are told about changes again");
                    }
                    pause = DRAIN_EVERY;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "caches cannot be told about changes; trying again");
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            if is_ending {
                return;
            }
            if is_failing {
                // Changes do not hurry what fails.
                drop(timeout(pause, ended(&mut shutdown)).await);
            } else {
                tokio::select! {
                    () = ended(&mut shutdown) => {}
                    _ = timeout(pause, self.changed.notified()) => {}
                }
            }
        }
    }
}

/// Waits until the process is told to end; a sender that is gone says the same.
async fn ended(shutdown: &mut watch::Receiver<bool>) {
    drop(shutdown.wait_for(|is_ending| *is_ending).await);
}
