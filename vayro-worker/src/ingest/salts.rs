//! The secret salts of the days clicks happened on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vayro_core::ports::{ClickStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::deps::SharedRng;
use crate::enrich::Salt;

const DAY_MICROS: i64 = 86_400_000_000;
/// Days ahead of today that clicks may lie; clocks of edges differ by less.
const DAYS_AHEAD_MAX: i64 = 1;

/// Number of a UTC day since 1970.
pub(crate) type Day = i64;

/// Returns the UTC day that holds `at`.
pub(crate) const fn day_of(at: Timestamp) -> Day {
    at.as_micros().div_euclid(DAY_MICROS)
}

/// Salts already asked for. Holds only days within the retention, so a handful.
pub(crate) struct SaltBook {
    clicks: Arc<dyn ClickStore>,
    rng: SharedRng,
    retention: Duration,
    known: Mutex<BTreeMap<Day, Salt>>,
}

impl SaltBook {
    pub(crate) const fn new(clicks: Arc<dyn ClickStore>, rng: SharedRng, retention: Duration) -> Self {
        Self { clicks, rng, retention, known: Mutex::new(BTreeMap::new()) }
    }

    /// Returns the salts of `days` that are still or already there, asking the store for new ones.
    pub(crate) async fn of(
        &self,
        days: impl Iterator<Item = Day>,
        now: Timestamp,
    ) -> Result<BTreeMap<Day, Salt>, StoreError> {
        let oldest = now.minus(self.retention);
        self.known.lock().retain(|day, _| *day >= day_of(oldest));
        let mut salts = BTreeMap::new();
        for day in days.filter(|day| (day_of(oldest)..=day_of(now) + DAYS_AHEAD_MAX).contains(day)) {
            if salts.contains_key(&day) {
                continue;
            }
            let known = self.known.lock().get(&day).copied();
            let salt = match known {
                Some(salt) => Some(salt),
                None => self.ask(day, oldest).await?,
            };
            if let Some(salt) = salt {
                self.known.lock().insert(day, salt);
                salts.insert(day, salt);
            }
        }
        Ok(salts)
    }

    async fn ask(&self, day: Day, oldest: Timestamp) -> Result<Option<Salt>, StoreError> {
        let Some(at) = day.checked_mul(DAY_MICROS).and_then(Timestamp::from_micros) else { return Ok(None) };
        let mut candidate = Salt::default();
        self.rng.lock().fill_bytes(&mut candidate);
        self.clicks.visitor_salt(at, candidate, oldest).await
    }
}
