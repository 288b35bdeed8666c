//! When Pingora's server ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::sync::watch;

use crate::shared::Shared;

/// Waits until the watched value is true. A sender that is gone wants the same.
pub(crate) async fn until_told(told: &mut watch::Receiver<bool>) {
    drop(told.wait_for(|stop| *stop).await);
}

/// How often open connections are counted while draining.
const COUNT_EVERY: Duration = Duration::from_millis(20);

/// How long before the end of its grace an edge that handed over closes connections that wait. Who sends a request
/// until then gets its answer; a connection that was closed at once might have had one under way.
const IDLE_CLOSE: Duration = Duration::from_secs(1);

/// Lets Pingora stop when ours is done: told to stop, and either nobody is connected any more or the grace
/// period is over. Pingora's own grace is a sleep of fixed length, five minutes unless told otherwise, and
/// with this it installs no signal handlers.
pub(crate) struct Drain {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shutdown: watch::Receiver<bool>,
}

#[async_trait]
impl ShutdownSignalWatch for Drain {
    async fn recv(&self) -> ShutdownSignal {
        let shared = &self.shared;
        let (mut shutdown, mut handed_over) = (self.shutdown.clone(), shared.handed_over.subscribe());
        let has_handed_over = tokio::select! {
            () = until_told(&mut shutdown) => false,
            () = until_told(&mut handed_over) => true,
        };
        tracing::info!(connections = shared.connections.open(), "edge stops taking connections");
        shared.is_draining.store(true, Ordering::Relaxed);
        shared.draining.send_replace(true);
        let mut everybody_left = std::pin::pin!(async {
            while shared.connections.open() > 0 {
                tokio::time::sleep(COUNT_EVERY).await;
            }
        });
        let idle_may_stay = async {
            if has_handed_over {
                tokio::select! {
                    () = tokio::time::sleep(shared.settings.grace.saturating_sub(IDLE_CLOSE)) => {}
                    () = until_told(&mut shutdown) => {}
                }
            }
        };
        let done = async {
            tokio::select! {
                () = &mut everybody_left => return,
                () = idle_may_stay => {}
            }
            shared.idle_ends.send_replace(true);
            everybody_left.await;
        };
        if tokio::time::timeout(shared.settings.grace, done).await.is_err() {
            tracing::warn!(connections = shared.connections.open(), "grace is over, closing connections");
        }
        ShutdownSignal::GracefulTerminate
    }
}
