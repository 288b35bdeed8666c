//! Pauses between tries.

use std::time::Duration;

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
}
