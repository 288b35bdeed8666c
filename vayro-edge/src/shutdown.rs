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
        let mut shutdown = self.shutdown.clone();
        until_told(&mut shutdown).await;
        let shared = &self.shared;
        tracing::info!(connections = shared.connections.open(), "edge stops taking connections");
        shared.is_draining.store(true, Ordering::Relaxed);
        shared.draining.send_replace(true);
        let everybody_left = async {
            while shared.connections.open() > 0 {
                tokio::time::sleep(COUNT_EVERY).await;
            }
        };
        if tokio::time::timeout(shared.settings.grace, everybody_left).await.is_err() {
            tracing::warn!(connections = shared.connections.open(), "grace is over, closing connections");
        }
        ShutdownSignal::GracefulTerminate
    }
}
