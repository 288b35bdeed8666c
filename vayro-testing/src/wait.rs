//! Waiting for a condition instead of sleeping for a guess.

use std::time::{Duration, Instant};

/// Asks `condition` again and again until it gives a value.
///
/// # Panics
///
/// When `limit` has passed without one; the message names `what`.
pub async fn until<T>(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < limit, "{what} did not come true within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
