//! Waiting for a condition instead of sleeping for a guess.

use std::time::{Duration, Instant};

/// Pause between two questions where nobody says.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks `condition` again and again until it gives a value.
///
/// # Panics
///
/// When `limit` has passed without one; the message names `what`.
pub async fn until<T>(what: &str, limit: Duration, condition: impl AsyncFnMut() -> Option<T>) -> T {
    until_every(PAUSE, what, limit, condition).await
}

/// Asks `condition` every `pause` until it gives a value.
///
/// # Panics
///
/// When `limit` has passed without one; the message names `what`.
pub async fn until_every<T>(
    pause: Duration,
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < limit, "{what} did not come true within {limit:?}");
        tokio::time::sleep(pause).await;
    }
}
