//! Removing what is too old, as the worker does by itself and operators do by hand.

use vayro_core::ports::{RetentionStore, StoreError};
use vayro_core::retention::{RemovedMonth, Retention};
use vayro_core::timestamp::Timestamp;

/// Clicks asked for at once; the store removes them in short transactions.
const CLICKS_BATCH: u32 = 10_000;
/// Rollups removed in one transaction.
const ROLLUPS_BATCH: u32 = 1_000;
/// Batches of one round, of clicks and of rollups; the rest waits for the next round.
const ROUNDS_MAX: usize = 2_000;

/// What one round removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Months that were removed as a whole.
    pub months: Vec<RemovedMonth>,
    /// Clicks that were removed beside them.
    pub clicks: u64,
    /// Rollups that were removed.
    pub rollups: u64,
}

impl Expired {
    /// Tells whether nothing was removed.
    pub const fn is_empty(&self) -> bool {
        self.months.is_empty() && self.clicks == 0 && self.rollups == 0
    }
}

/// Removes what `retention` does not keep at `now`. Dropping the future loses nothing.
///
/// # Errors
///
/// The first failure; a month that cannot be removed now keeps nothing else from going.
pub async fn expire(
    store: &dyn RetentionStore,
    retention: &Retention,
    now: Timestamp,
) -> Result<Expired, StoreError> {
    let cut = retention.cut(now);
    let mut expired = Expired::default();
    let mut months = Ok(());
    if cut.plans().next().is_some() {
        store.raise_horizons(&cut).await?;
        match store.remove_months(&cut, retention.detached).await {
            Ok(removed) => expired.months = removed,
            Err(error) => months = Err(error),
        }
        for _ in 0..ROUNDS_MAX {
            let removed = store.remove_clicks(CLICKS_BATCH).await?;
            expired.clicks += removed;
            if removed == 0 {
                break;
            }
        }
    }
    if let Some(first) = cut.rollups() {
        for _ in 0..ROUNDS_MAX {
            let removed = store.remove_rollups(first, ROLLUPS_BATCH).await?;
            expired.rollups += removed;
            if removed == 0 {
                break;
            }
        }
    }
    months.map(|()| expired)
}
