//! Whether the database and the stream answer, and since when not.

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;
use vayro_backends::causes;

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

/// The state of one thing the worker depends on. Changes are logged once, not every failure.
pub(crate) struct Health {
    what: &'static str,
    state: AtomicU8,
    down_since: Mutex<Option<Instant>>,
}

impl Health {
    /// Makes one that knows nothing yet; `what` is for the log.
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, state: AtomicU8::new(UNKNOWN), down_since: Mutex::new(None) }
    }

    /// Tells whether the last thing known is that it answered.
    pub(crate) fn is_up(&self) -> bool {
        self.state.load(Ordering::Acquire) == UP
    }

    /// Notes that it answered.
    pub(crate) fn up(&self) {
        if self.state.swap(UP, Ordering::AcqRel) != DOWN {
            return;
        }
        if let Some(since) = self.down_since.lock().take() {
            let seconds = since.elapsed().as_secs();
            tracing::info!(part = self.what, duration_s = seconds, "{} is back after {seconds} s", self.what);
        }
    }

    /// Notes that it failed.
    pub(crate) fn down(&self, error: &dyn std::error::Error) {
        if self.state.swap(DOWN, Ordering::AcqRel) == DOWN {
            return;
        }
        *self.down_since.lock() = Some(Instant::now());
        let cause = causes(error);
        tracing::warn!(part = self.what, error = cause, "{} is unavailable; clicks wait: {cause}", self.what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_makes_it_up() {
        let health = Health::new("database");
        assert!(!health.is_up(), "nothing is known at first");
        health.up();
        assert!(health.is_up());
        health.down(&std::io::Error::other("gone"));
        assert!(!health.is_up());
        health.up();
        assert!(health.is_up());
    }
}
