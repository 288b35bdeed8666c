//! Rate limits inside one process.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use vayro_core::ports::{RateDecision, RateLimiter, StreamError};
use vayro_core::timestamp::Timestamp;

/// Most keys counted at one time.
const KEYS_MAX: usize = 100_000;
/// Keys forgotten at once when that many are reached and none has ended: those that end soonest.
const KEYS_FORGOTTEN: usize = KEYS_MAX / 16;

/// Counts hits in memory. With every place taken by somebody who invents keys, the windows that are
/// nearest to their end are forgotten first.
#[derive(Debug, Default)]
pub struct LocalLimits(Mutex<HashMap<String, Window>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    hits: u32,
    ends_at: Timestamp,
}

#[async_trait]
impl RateLimiter for LocalLimits {
    async fn hit(
        &self,
        key: &str,
        limit: u32,
        window: Duration,
        now: Timestamp,
    ) -> Result<RateDecision, StreamError> {
        let mut windows = self.0.lock();
        if windows.len() >= KEYS_MAX && !windows.contains_key(key) {
            make_room(&mut windows, now);
        }
        let entry = windows.entry(key.to_owned()).or_insert(Window { hits: 0, ends_at: now.plus(window) });
        if entry.ends_at <= now {
            *entry = Window { hits: 0, ends_at: now.plus(window) };
        }
        entry.hits = entry.hits.saturating_add(1);
        Ok(RateDecision {
            is_allowed: entry.hits <= limit,
            remaining: limit.saturating_sub(entry.hits),
            resets_in: entry.ends_at.since(now),
        })
    }

    async fn reset(&self, key: &str) -> Result<(), StreamError> {
        self.0.lock().remove(key);
        Ok(())
    }
}

fn make_room(windows: &mut HashMap<String, Window>, now: Timestamp) {
    windows.retain(|_, window| window.ends_at > now);
    if windows.len() < KEYS_MAX {
        return;
    }
    let mut ends: Vec<Timestamp> = windows.values().map(|window| window.ends_at).collect();
    let (_, nearest, _) = ends.select_nth_unstable(KEYS_FORGOTTEN);
    let nearest = *nearest;
    let mut left = KEYS_FORGOTTEN;
    windows.retain(|_, window| {
        let is_kept = left == 0 || window.ends_at > nearest;
        left -= usize::from(!is_kept);
        is_kept
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: usize) -> Timestamp {
        Timestamp::from_micros(i64::try_from(micros).expect("small")).expect("in range")
    }

    #[tokio::test]
    async fn invented_keys_do_not_pile_up_and_push_out_the_nearest_to_their_end() {
        let limits = LocalLimits::default();
        let hour = Duration::from_hours(1);
        limits.hit("sign-in", 5, hour * 2, at(0)).await.expect("counted");
        for n in 0..KEYS_MAX + 10 {
            limits.hit(&format!("key {n}"), 5, hour, at(n)).await.expect("counted");
        }
        let count = limits.0.lock().len();
        assert!(count <= KEYS_MAX && count > KEYS_MAX / 2, "{count}");
        let decision = limits.hit("sign-in", 5, hour * 2, at(KEYS_MAX)).await.expect("counted");
        assert_eq!(decision.remaining, 3, "a window that ends late is kept");
    }

    #[tokio::test]
    async fn ended_windows_make_room_first() {
        let limits = LocalLimits::default();
        let second = Duration::from_secs(1);
        for n in 0..KEYS_MAX {
            limits.hit(&format!("key {n}"), 5, second, at(0)).await.expect("counted");
        }
        limits.hit("late", 5, second, at(2_000_000)).await.expect("counted");
        assert_eq!(limits.0.lock().len(), 1);
    }
}
