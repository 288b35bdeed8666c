//! Where requests leave their clicks.

use std::cell::Cell;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use vayro_core::click::Click;

use crate::counter::numbered;
use crate::metrics::Metrics;

/// One bounded queue per serving thread.
#[derive(Debug)]
pub(crate) struct Rings {
    per_thread: Vec<Ring>,
    len: usize,
    next_thread: AtomicUsize,
    /// The ring that is emptied first the next time.
    next_ring: AtomicUsize,
    metrics: Arc<Metrics>,
}

/// Clicks of one thread, alone on its cache lines. Only the shipper shares the lock, and holds it for as long as it takes
/// to exchange a full queue for an empty one. The two are written in turn and stay in the processor's cache; slots of a
/// queue of full length would not.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Ring(Mutex<VecDeque<Click>>);

impl Rings {
    /// Makes `threads` rings of `len` clicks each.
    pub(crate) fn new(threads: usize, len: usize, metrics: Arc<Metrics>) -> Self {
        let per_thread = (0..threads.max(1)).map(|_| Ring::default()).collect();
        let (next_thread, next_ring) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { per_thread, len: len.max(1), next_thread, next_ring, metrics }
    }

    /// Accepts a click, or drops and counts it when the thread's ring is full. Never waits for whoever takes them.
    pub(crate) fn push(&self, click: Click) {
        // Threads beyond the count share rings, which costs contention and nothing else.
        let ring = &self.per_thread[self.thread_number() % self.per_thread.len()];
        let mut waiting = ring.0.lock();
        let counter = if waiting.len() < self.len {
            waiting.push_back(click);
            &self.metrics.clicks_accepted
        } else {
            &self.metrics.clicks_dropped_ring_full
        };
        drop(waiting);
        counter.add_one();
    }

    /// Gives each thread that pushes a number of its own.
    fn thread_number(&self) -> usize {
        thread_local! {
            static MINE: Cell<Option<usize>> = const { Cell::new(None) };
        }
        MINE.with(|mine| numbered(mine, &self.next_thread))
    }

    /// Moves clicks into `batch` until it has `max` or the rings are empty. Each time another ring comes first, so that
    /// one that fills as fast as it is emptied holds up no other.
    pub(crate) fn drain(&self, batch: &mut Vec<Click>, max: usize) {
        let first = self.next_ring.fetch_add(1, Ordering::Relaxed) % self.per_thread.len();
        let (before, from) = self.per_thread.split_at(first);
        for ring in from.iter().chain(before) {
            let mut waiting = ring.0.lock();
            if batch.is_empty() && waiting.len() <= max {
                let taken = mem::replace(&mut *waiting, mem::take(batch).into());
                drop(waiting);
                *batch = taken.into();
            } else {
                let count = waiting.len().min(max.saturating_sub(batch.len()));
                batch.extend(waiting.drain(..count));
            }
        }
    }

    /// Returns how many clicks wait.
    pub(crate) fn len(&self) -> usize {
        self.per_thread.iter().map(|ring| ring.0.lock().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use vayro_core::ids::ClickId;

    use super::*;
    use crate::clicks::bare_click;

    fn click(number: u128) -> Click {
        bare_click(ClickId::from_uuid(uuid::Uuid::from_u128(number)))
    }

    fn rings(threads: usize, len: usize) -> Rings {
        Rings::new(threads, len, Arc::new(Metrics::default()))
    }

    fn numbers(batch: &[Click]) -> Vec<u128> {
        batch.iter().map(|click| click.id.as_uuid().as_u128()).collect()
    }

    #[test]
    fn a_full_ring_drops_and_counts() {
        let rings = rings(1, 3);
        (0..5).for_each(|number| rings.push(click(number)));
        assert_eq!((rings.len(), rings.metrics.clicks_accepted.get()), (3, 3));
        assert_eq!(rings.metrics.clicks_dropped_ring_full.get(), 2);
        let mut batch = Vec::new();
        rings.drain(&mut batch, 100);
        assert_eq!(numbers(&batch), [0, 1, 2]);
        rings.push(click(7));
        assert_eq!(rings.len(), 1);
    }

    #[test]
    fn clicks_stay_in_order_however_many_are_taken_at_a_time() {
        let rings = rings(1, 1000);
        let (mut pushed, mut taken, mut batch) = (0, Vec::new(), Vec::new());
        for count in [5, 1, 20, 0, 3, 50, 7] {
            for _ in 0..count {
                rings.push(click(pushed));
                pushed += 1;
            }
            rings.drain(&mut batch, 10);
            assert!(batch.len() <= 10);
            // Every other batch is not taken and offered again, with what came meanwhile.
            if count % 2 == 1 {
                taken.append(&mut numbers(&batch));
                batch.clear();
            }
        }
        rings.drain(&mut batch, usize::MAX);
        taken.append(&mut numbers(&batch));
        assert_eq!(taken, (0..pushed).collect::<Vec<_>>());
        assert_eq!(rings.len(), 0);
    }

    #[test]
    fn a_ring_that_never_gets_empty_holds_up_no_other() {
        let rings = rings(2, 100);
        thread::scope(|scope| {
            scope.spawn(|| (0..100).for_each(|_| rings.push(click(1))));
        });
        rings.push(click(2));
        let mut batch = Vec::new();
        let is_taken = (0..2).any(|_| {
            batch.clear();
            rings.drain(&mut batch, 10);
            numbers(&batch).contains(&2)
        });
        assert!(is_taken);
    }
}
