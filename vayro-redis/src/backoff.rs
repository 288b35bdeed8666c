//! Pauses between tries.

use std::time::{Duration, Instant};

/// Pause after the first failure.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Returns the pause after this many failures in a row: doubling from 50 ms to 2 s, half of it random so
/// that many processes do not come back at the same instant.
pub(crate) fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
    full.mul_f64(rand::random_range(0.5..=1.0))
}

/// Keeps book about tries that fail, and says when the next one may begin.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// Returns how long to wait before the next try, `None` if it may begin now.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        self.not_before.and_then(|at| at.checked_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Notes how a try ended. Tells whether it was the first to fail.
    pub(crate) fn note(&mut self, is_success: bool, now: Instant) -> bool {
        if is_success {
            *self = Self::default();
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause(self.failures));
        self.failures == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_their_bounds() {
        for failures in 0..100 {
            assert!((PAUSE_MIN / 2..=PAUSE_MAX).contains(&pause(failures)), "{failures}");
        }
        assert!(pause(20) >= PAUSE_MAX / 2);
    }

    #[test]
    fn a_success_ends_the_wait() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.wait(now), None);
        assert!(backoff.note(false, now));
        assert!(!backoff.note(false, now));
        assert!(backoff.wait(now).is_some());
        assert_eq!(backoff.wait(now + PAUSE_MAX), None);
        backoff.note(true, now);
        assert_eq!(backoff.wait(now), None);
    }
}
