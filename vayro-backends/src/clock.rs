//! The clock.

use std::time::{SystemTime, UNIX_EPOCH};

use vayro_core::timestamp::Timestamp;

/// Returns the time; the only place outside the data plane where a process asks for it.
pub fn now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp::EPOCH.plus(since),
        Err(ahead) => Timestamp::EPOCH.minus(ahead.duration()),
    }
}
