//! Counters that many threads raise without sharing a cache line.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Threads beyond this number share counters with others.
const SHARDS: usize = 16;

/// Returns the number kept in `mine`, taking the next one at the first call.
pub(crate) fn numbered(mine: &Cell<Option<usize>>, next: &AtomicUsize) -> usize {
    mine.get().unwrap_or_else(|| {
        let number = next.fetch_add(1, Ordering::Relaxed);
        mine.set(Some(number));
        number
    })
}

/// Gives each thread that counts a small number.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.with(|mine| numbered(mine, &NEXT))
}

/// One shard, alone on its cache line even where the prefetcher pulls two at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(AtomicU64);

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    shards: [Shard; SHARDS],
}

impl Counter {
    /// Adds one.
    pub(crate) fn add_one(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub(crate) fn add(&self, count: u64) {
        self.shards[thread_number() % SHARDS].0.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns the sum; counts of other threads may be a moment old.
    pub(crate) fn get(&self) -> u64 {
        self.shards.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_threads_add_up() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..100).for_each(|_| counter.add_one()));
            }
        });
        assert_eq!(counter.get(), 2000);
    }
}
