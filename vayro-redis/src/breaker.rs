//! Gives a failing server a rest.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures in a row that open the breaker.
const FAILURES_MAX: u32 = 3;
/// Time between probes while it is open.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// Closed, it lets everything through. After [`FAILURES_MAX`] failures in a row it opens and lets one
/// caller through every [`PROBE_EVERY`], until one of them succeeds.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    next_probe: Option<Instant>,
}

impl Breaker {
    /// Tells whether the caller may try.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        match state.next_probe {
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                state.next_probe = Some(now + PROBE_EVERY);
                true
            }
        }
    }

    /// Notes a success; returns whether the breaker was open.
    pub(crate) fn succeeded(&self) -> bool {
        std::mem::take(&mut *self.0.lock()).next_probe.is_some()
    }

    /// Notes a failure; returns whether it opened the breaker.
    pub(crate) fn failed(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES_MAX {
            return false;
        }
        state.next_probe.replace(now + PROBE_EVERY).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_failures_are_forgiven() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..10 {
            assert!(!breaker.failed(now));
            assert!(!breaker.failed(now));
            assert!(breaker.admits(now));
            assert!(!breaker.succeeded());
        }
    }

    #[test]
    fn an_open_breaker_admits_one_probe_at_a_time_until_one_succeeds() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert_eq!([breaker.failed(now), breaker.failed(now), breaker.failed(now)], [false, false, true]);
        assert!(!breaker.failed(now), "it opens once");
        assert!(!breaker.admits(now));
        let later = now + PROBE_EVERY;
        assert!(breaker.admits(later));
        assert!(!breaker.admits(later), "the probe is out");
        assert!(breaker.succeeded());
        assert!(breaker.admits(later) && breaker.admits(later));
    }
}
