//! The batches being worked on: how many there may be, and how old the oldest is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Bounds the batches in memory. While no slot is free nothing is read, so the stream holds what the
/// database cannot take.
#[derive(Clone)]
pub(crate) struct InFlight {
    free: Arc<Semaphore>,
    begun: Arc<Mutex<Begun>>,
}

#[derive(Default)]
struct Begun {
    next: u64,
    at: BTreeMap<u64, Instant>,
}

/// The right to hold one batch; given back when dropped.
pub(crate) struct Slot {
    number: Option<u64>,
    begun: Arc<Mutex<Begun>>,
    _permit: OwnedSemaphorePermit,
}

impl InFlight {
    pub(crate) fn new(batches_max: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(batches_max)), begun: Arc::default() }
    }

    /// Waits for a free slot, first come, first served.
    pub(crate) async fn slot(&self) -> Slot {
        let permit = Arc::clone(&self.free).acquire_owned().await.expect("the semaphore is never closed");
        Slot { number: None, begun: Arc::clone(&self.begun), _permit: permit }
    }

    /// Returns how many batches are being worked on.
    pub(crate) fn count(&self) -> usize {
        self.begun.lock().at.len()
    }

    /// Returns how long the oldest batch has been worked on.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.begun.lock().at.values().next().map(Instant::elapsed)
    }
}

impl Slot {
    /// Notes that a batch was handed out now.
    pub(crate) fn begin(&mut self) {
        let mut begun = self.begun.lock();
        let number = begun.next;
        begun.next += 1;
        begun.at.insert(number, Instant::now());
        drop(begun);
        self.number = Some(number);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.begun.lock().at.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slots_are_bounded_and_the_oldest_batch_is_known() {
        let in_flight = InFlight::new(2);
        let (mut first, mut second) = (in_flight.slot().await, in_flight.slot().await);
        assert_eq!((in_flight.count(), in_flight.oldest()), (0, None), "no batch yet");
        assert!(tokio::time::timeout(Duration::from_secs(1), in_flight.slot()).await.is_err());
        first.begin();
        tokio::time::advance(Duration::from_secs(3)).await;
        second.begin();
        assert_eq!((in_flight.count(), in_flight.oldest()), (2, Some(Duration::from_secs(3))));
        drop(first);
        assert_eq!((in_flight.count(), in_flight.oldest()), (1, Some(Duration::ZERO)));
        drop(in_flight.slot().await);
    }
}
