//! Invalidations inside one process.

use async_trait::async_trait;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};
use vayro_core::change::{Invalidation, LinkChange};
use vayro_core::ports::{InvalidationFeed, LinkPublisher, PublishError};

/// Messages a slow feed may lag behind; beyond, it is told that everything may be stale.
const MESSAGES_MAX: usize = 4096;

/// Tells every feed of this process about changes. There is no shared cache to write: the edge's own is
/// in front of the database itself.
#[derive(Debug)]
pub struct LocalBroadcast(Sender<Invalidation>);

impl Default for LocalBroadcast {
    fn default() -> Self {
        Self(broadcast::channel(MESSAGES_MAX).0)
    }
}

impl LocalBroadcast {
    /// Returns a feed of what is said from now on.
    pub fn feed(&self) -> Box<dyn InvalidationFeed> {
        Box::new(LocalFeed(self.0.subscribe()))
    }

    fn say(&self, message: Invalidation) {
        // An error means that nobody listens, so nobody has anything to forget.
        drop(self.0.send(message));
    }
}

#[async_trait]
impl LinkPublisher for LocalBroadcast {
    async fn publish(&self, changes: &[LinkChange]) -> Result<(), PublishError> {
        if !changes.is_empty() {
            let links = changes.iter().map(|change| (change.key.clone(), change.revision)).collect();
            self.say(Invalidation::Links(links));
        }
        Ok(())
    }

    async fn publish_domains(&self) -> Result<(), PublishError> {
        self.say(Invalidation::Domains);
        Ok(())
    }
}

struct LocalFeed(Receiver<Invalidation>);

#[async_trait]
impl InvalidationFeed for LocalFeed {
    async fn next(&mut self) -> Invalidation {
        match self.0.recv().await {
            Ok(message) => message,
            Err(RecvError::Lagged(_)) => Invalidation::Everything,
            // The process is ending; nothing will change any more.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    fn is_connected(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_feed_that_lags_is_told_to_forget_everything() {
        let broadcast = LocalBroadcast::default();
        let mut feed = broadcast.feed();
        for _ in 0..=MESSAGES_MAX {
            broadcast.publish_domains().await.expect("said");
        }
        assert_eq!(feed.next().await, Invalidation::Everything);
        assert_eq!(feed.next().await, Invalidation::Domains, "and then goes on");
    }
}
