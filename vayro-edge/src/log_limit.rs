//! Keeps a failure that every visitor triggers from flooding the log.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use vayro_core::timestamp::Timestamp;

/// Microseconds between two lines about the same thing.
const PAUSE_MICROS: i64 = 5_000_000;

/// Lets one line per five seconds through and counts the rest.
#[derive(Debug)]
pub(crate) struct LogLimit {
    next_at: AtomicI64,
    held_back: AtomicU64,
}

impl LogLimit {
    /// Makes one that lets the first line through.
    pub(crate) const fn new() -> Self {
        Self { next_at: AtomicI64::new(i64::MIN), held_back: AtomicU64::new(0) }
    }

    /// Returns how many lines were held back since the last one, if it is time for a line.
    pub(crate) fn turn(&self, now: Timestamp) -> Option<u64> {
        let now = now.as_micros();
        let next_at = self.next_at.load(Ordering::Relaxed);
        let is_turn = now >= next_at
            && self
                .next_at
                .compare_exchange(
                    next_at,
                    now.saturating_add(PAUSE_MICROS),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if is_turn {
            Some(self.held_back.swap(0, Ordering::Relaxed))
        } else {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_line_per_pause_and_the_rest_is_counted() {
        let limit = LogLimit::new();
        let at = |micros| Timestamp::from_micros(micros).expect("in range");
        assert_eq!(limit.turn(at(0)), Some(0));
        assert_eq!(limit.turn(at(1)), None);
        assert_eq!(limit.turn(at(PAUSE_MICROS - 1)), None);
        assert_eq!(limit.turn(at(PAUSE_MICROS)), Some(2));
    }
}
