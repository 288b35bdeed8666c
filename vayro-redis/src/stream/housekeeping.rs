//! Trimming, and forgetting consumers.

use std::time::Duration;

use redis::RedisResult;
use vayro_core::failpoint;
use vayro_core::timestamp::Timestamp;

use super::{RedisClickStream, is_group_missing};
use crate::names;
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
    pub(super) async fn cut(&self, window: Duration, now: Timestamp) -> RedisResult<u64> {
        let stay = SETTLED_STAY_MAX.max(window);
        let mut call = TRIM.key(names::CLICKS);
        call.arg(millis(window)).arg(millis(stay)).arg(now.as_millis()).arg(TRIM_LEN_MAX);
        let mut total = 0;
        for _ in 0..TRIM_ROUNDS_MAX {
            let removed: u64 = self.lane.script(&call).await?;
            total += removed;
            failpoint::hit(failpoint::MID_TRIM);
            if removed == 0 {
                break;
            }
        }
        Ok(total)
    }

    pub(super) async fn forget_idle(&self, idle_min: Duration) -> RedisResult<u64> {
        let mut call = FORGET_IDLE.key(names::CLICKS);
        call.arg(names::GROUP).arg(millis(idle_min));
        without_group(self.lane.script(&call).await)
    }

    pub(super) async fn forget_this_consumer(&self) -> RedisResult<()> {
        let mut call = LEAVE.key(names::CLICKS);
        call.arg(names::GROUP).arg(&self.consumer);
        without_group(self.lane.script::<u64>(&call).await).map(drop)
    }
}

/// Where there is no group there is nobody to forget.
fn without_group(result: RedisResult<u64>) -> RedisResult<u64> {
    match result {
        Err(error) if is_group_missing(&error) => Ok(0),
        result => result,
    }
}
