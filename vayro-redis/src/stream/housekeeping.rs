//! Trimming, and forgetting consumers.

use std::time::Duration;

use redis::RedisResult;
use vayro_core::failpoint;
use vayro_core::timestamp::Timestamp;

use super::{RedisClickStream, is_group_missing};
use crate::names::{self, ShardKeys};
use crate::scripts::{FORGET_IDLE, LEAVE, TRIM};
use crate::units::millis;

/// A consumer that holds nothing and has not asked for this long was killed.
pub(super) const CONSUMER_IDLE_MAX: Duration = Duration::from_secs(60 * 60);
/// Longest stay of a settled entry, whatever the window: it holds a visitor's address.
const SETTLED_STAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Entries removed by one command; more would hold up the server.
const TRIM_LEN_MAX: u64 = 10_000;
/// Commands of one call; the next call goes on.
const TRIM_ROUNDS_MAX: usize = 200;

impl RedisClickStream {
    /// Trims every shard, takes up those that nobody knows, and removes those that are empty and retired.
    /// Every worker does all of it; doing it twice changes nothing.
    pub(super) async fn keep_house(&self, window: Duration, now: Timestamp) -> RedisResult<u64> {
        self.forget_idle(CONSUMER_IDLE_MAX).await?;
        let mut removed = 0;
        for keys in self.all().await? {
            removed += self.cut(&keys, window, now).await?;
        }
        // Only now: on a full server the removal of entries must not wait for anything.
        self.shards.adopt().await?;
        self.shards.retire(window).await?;
        Ok(removed)
    }

    async fn cut(&self, keys: &ShardKeys, window: Duration, now: Timestamp) -> RedisResult<u64> {
        let stay = SETTLED_STAY_MAX.max(window);
        let mut call = TRIM.key(&keys.stream);
        call.arg(millis(window)).arg(millis(stay)).arg(now.as_millis()).arg(TRIM_LEN_MAX);
        let mut total = 0;
        for _ in 0..TRIM_ROUNDS_MAX {
            let removed: u64 = self.lane.script(&keys.stream, &call).await?;
            total += removed;
            failpoint::hit(failpoint::MID_TRIM);
            if removed == 0 {
                break;
            }
        }
        Ok(total)
    }

    pub(super) async fn forget_idle(&self, idle_min: Duration) -> RedisResult<u64> {
        let mut forgotten = 0;
        for keys in self.all().await? {
            let mut call = FORGET_IDLE.key(&keys.stream);
            call.arg(names::GROUP).arg(millis(idle_min));
            forgotten += without_group(self.lane.script(&keys.stream, &call).await)?;
        }
        Ok(forgotten)
    }

    pub(super) async fn forget_this_consumer(&self) -> RedisResult<()> {
        self.release().await?;
        for keys in self.all().await? {
            let mut call = LEAVE.key(&keys.stream);
            call.arg(names::GROUP).arg(&self.consumer);
            without_group(self.lane.script::<u64>(&keys.stream, &call).await)?;
        }
        Ok(())
    }
}

/// Where there is no group there is nobody to forget.
fn without_group(result: RedisResult<u64>) -> RedisResult<u64> {
    match result {
        Err(error) if is_group_missing(&error) => Ok(0),
        result => result,
    }
}
