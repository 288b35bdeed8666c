//! Where requests leave their clicks.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crossbeam_queue::ArrayQueue;
use vayro_core::click::Click;

use crate::counter::numbered;
use crate::metrics::Metrics;

/// One bounded queue per serving thread.
#[derive(Debug)]
pub(crate) struct Rings {
    per_thread: Vec<ArrayQueue<Click>>,
    next_thread: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Rings {
    /// Makes `threads` rings of `len` clicks each.
    pub(crate) fn new(threads: usize, len: usize, metrics: Arc<Metrics>) -> Self {
        let per_thread = (0..threads.max(1)).map(|_| ArrayQueue::new(len.max(1))).collect();
        Self { per_thread, next_thread: AtomicUsize::new(0), metrics }
    }

    /// Accepts a click, or drops and counts it when the thread's ring is full. Never blocks.
    pub(crate) fn push(&self, click: Click) {
        // Threads beyond the count share rings, which costs contention and nothing else.
        let ring = &self.per_thread[self.thread_number() % self.per_thread.len()];
        let counter = match ring.push(click) {
            Ok(()) => &self.metrics.clicks_accepted,
            Err(_) => &self.metrics.clicks_dropped_ring_full,
        };
        counter.add_one();
    }

    /// Gives each thread that pushes a number of its own.
    fn thread_number(&self) -> usize {
        thread_local! {
            static MINE: Cell<Option<usize>> = const { Cell::new(None) };
        }
        MINE.with(|mine| numbered(mine, &self.next_thread))
    }

    /// Moves clicks into `batch` until it has `max` or the rings are empty.
    pub(crate) fn drain(&self, batch: &mut Vec<Click>, max: usize) {
        for ring in &self.per_thread {
            while batch.len() < max {
                let Some(click) = ring.pop() else { break };
                batch.push(click);
            }
        }
    }

    /// Returns how many clicks wait.
    pub(crate) fn len(&self) -> usize {
        self.per_thread.iter().map(ArrayQueue::len).sum()
    }
}
