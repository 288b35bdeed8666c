//! Where requests leave their clicks.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use vayro_core::click::Click;

use crate::counter::thread_number;
use crate::metrics::Metrics;

/// One bounded queue per serving thread.
#[derive(Debug)]
pub(crate) struct Rings {
    rings: Vec<ArrayQueue<Click>>,
    metrics: Arc<Metrics>,
}

impl Rings {
    /// Makes `threads` rings of `len` clicks each.
    pub(crate) fn new(threads: usize, len: usize, metrics: Arc<Metrics>) -> Self {
        Self { rings: (0..threads.max(1)).map(|_| ArrayQueue::new(len.max(1))).collect(), metrics }
    }

    /// Accepts a click, or drops and counts it when the thread's ring is full. Never blocks.
    pub(crate) fn push(&self, click: Click) {
        // Threads beyond the count share rings, which costs contention and nothing else.
        let ring = &self.rings[thread_number() % self.rings.len()];
        let counter = match ring.push(click) {
            Ok(()) => &self.metrics.clicks_accepted,
            Err(_) => &self.metrics.clicks_dropped_ring_full,
        };
        counter.add_one();
    }

    /// Moves clicks into `batch` until it has `max` or the rings are empty.
    pub(crate) fn drain(&self, batch: &mut Vec<Click>, max: usize) {
        for ring in &self.rings {
            while batch.len() < max {
                let Some(click) = ring.pop() else { break };
                batch.push(click);
            }
        }
    }

    /// Returns how many clicks wait.
    pub(crate) fn len(&self) -> usize {
        self.rings.iter().map(ArrayQueue::len).sum()
    }
}
