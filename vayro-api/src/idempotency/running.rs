//! How many requests with keys run at one time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most requests with keys at one time. They outlive their connections, so that those are no bound.
const RUNNING_MAX: u32 = 1024;

/// The requests with keys that run in this process.
#[derive(Debug)]
pub(crate) struct KeyedRequests(Arc<Semaphore>);

impl Default for KeyedRequests {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(RUNNING_MAX as usize)))
    }
}

impl KeyedRequests {
    /// Counts one until its permit is dropped; `None` if there are too many.
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }

    /// Waits until none runs. Meanwhile none can begin.
    pub(crate) async fn ended(&self) {
        self.0.acquire_many(RUNNING_MAX).await.map(drop).expect("the semaphore is never closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_number_is_bounded_and_their_end_is_waited_for() {
        let requests = KeyedRequests::default();
        let mut permits: Vec<_> = (0..RUNNING_MAX).filter_map(|_| requests.enter()).collect();
        assert_eq!(permits.len(), RUNNING_MAX as usize);
        assert!(requests.enter().is_none());
        let last = permits.pop();
        drop(permits);
        let mut ended = std::pin::pin!(requests.ended());
        assert!(futures::poll!(&mut ended).is_pending());
        drop(last);
        ended.await;
    }
}
