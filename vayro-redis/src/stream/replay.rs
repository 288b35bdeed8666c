//! Handing out again what was settled.

use redis::{RedisResult, Value};
use vayro_core::stream::BoundedCount;
use vayro_core::timestamp::Timestamp;

use super::RedisClickStream;
use crate::entry;
use crate::names::{self, ShardKeys};
use crate::scripts::REWIND;

/// Counting stops here; the replay does not.
const COUNT_MAX: u64 = 10_000;
/// Entries fetched at a time while counting.
const PAGE_LEN: u64 = 1000;

impl RedisClickStream {
    pub(super) async fn rewind(&self, keys: &ShardKeys, since: Timestamp) -> RedisResult<BoundedCount> {
        // Ids are made of the server's clock, which entries are dated by.
        let since = since.as_millis().max(0);
        let count = self.count_delivered(keys, since).await?;
        let mut call = REWIND.key(&keys.stream);
        call.arg(names::GROUP).arg(since);
        let _: u64 = self.lane.script(&keys.stream, &call).await?;
        Ok(count)
    }

    /// Counts the entries from this instant on that were handed out.
    async fn count_delivered(&self, keys: &ShardKeys, since: i64) -> RedisResult<BoundedCount> {
        let delivered = self.last_delivered(keys).await?;
        let (mut count, mut from) = (0, format!("{since}-0"));
        while count <= COUNT_MAX {
            let mut command = redis::cmd("XRANGE");
            command.arg(&keys.stream).arg(&from).arg(&delivered).arg("COUNT").arg(PAGE_LEN);
            let page: Value = self.lane.query(&keys.stream, &command).await?;
            let page = entry::entries(page).map_err(std::io::Error::other)?;
            count += page.len() as u64;
            let Some(last) = page.last().filter(|_| page.len() as u64 == PAGE_LEN) else { break };
            from = format!("({}", last.id);
        }
        Ok(BoundedCount { count: count.min(COUNT_MAX), is_capped: count > COUNT_MAX })
    }
}
