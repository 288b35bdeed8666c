//! Durations as the server takes them.

use std::time::Duration;

/// Returns whole milliseconds, at most what the server can count.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
