//! Growing pauses between tries.

use std::time::Duration;

use rand::Rng as _;

use crate::deps::SharedRng;
use crate::stop::Stop;

/// Pause before the second try.
const FIRST: Duration = Duration::from_millis(100);
/// Longest pause; also how late the end of an outage is noticed.
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double up to a limit, with jitter, so that many workers do not come back as one.
pub(crate) struct Backoff {
    next: Duration,
    rng: SharedRng,
}

impl Backoff {
    pub(crate) const fn new(rng: SharedRng) -> Self {
        Self { next: FIRST, rng }
    }

    /// Returns the next pause: between half and all of what is due.
    pub(crate) fn next(&mut self) -> Duration {
        let due = self.next;
        self.next = (due * 2).min(LONGEST);
        let share = self.rng.lock().random_range(0.5..=1.0);
        due.mul_f64(share)
    }

    /// Starts over after a success.
    pub(crate) const fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Waits for the next pause; returns false at once when stopping is asked for.
    pub(crate) async fn wait(&mut self, stop: &mut Stop) -> bool {
        let pause = self.next();
        stop.pause(pause).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_start_over() {
        let mut backoff = Backoff::new(Arc::new(Mutex::new(StdRng::seed_from_u64(1))));
        let mut due = FIRST;
        for _ in 0..20 {
            let pause = backoff.next();
            assert!(pause >= due / 2 && pause <= due, "{pause:?} of {due:?}");
            due = (due * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
