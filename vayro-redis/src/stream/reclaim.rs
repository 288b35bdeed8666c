//! Handing out again what somebody held for too long.

use std::num::NonZeroUsize;
use std::time::Duration;

use redis::{RedisResult, Value};

use super::RedisClickStream;
use crate::entry::{self, Entry, ShapeError};
use crate::names::{self, ShardKeys};
use crate::units::millis;

/// Entries claimed by one command.
const CLAIM_LEN_MAX: usize = 200;
/// Commands of one call; each looks at up to ten times [`CLAIM_LEN_MAX`] entries.
const ROUNDS_MAX: usize = 200;

impl RedisClickStream {
    /// Claims idle entries, oldest first, with how often each was handed out.
    pub(super) async fn claim(
        &self,
        keys: &ShardKeys,
        max: NonZeroUsize,
        min_idle: Duration,
    ) -> RedisResult<Vec<(Entry, u32)>> {
        let mut claimed = Vec::new();
        let mut cursor = "0-0".to_owned();
        for _ in 0..ROUNDS_MAX {
            let count = CLAIM_LEN_MAX.min(max.get() - claimed.len());
            let mut command = redis::cmd("XAUTOCLAIM");
            command.arg(&keys.stream).arg(names::GROUP).arg(&self.consumer);
            command.arg(millis(min_idle)).arg(&cursor).arg("COUNT").arg(count);
            let reply: Value = self.lane.query(&keys.stream, &command).await?;
            let (next, entries, gone) = parse(reply).map_err(std::io::Error::other)?;
            if gone > 0 {
                // The server has settled these by itself.
                self.count_lost(gone);
            }
            self.with_attempts(keys, entries, &mut claimed).await?;
            if next == "0-0" || claimed.len() >= max.get() {
                break;
            }
            cursor = next;
        }
        Ok(claimed)
    }

    /// Asks how often each was handed out; who was settled meanwhile is left out.
    async fn with_attempts(
        &self,
        keys: &ShardKeys,
        entries: Vec<Entry>,
        to: &mut Vec<(Entry, u32)>,
    ) -> RedisResult<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::Pipeline::with_capacity(entries.len());
        for entry in &entries {
            pipeline.cmd("XPENDING").arg(&keys.stream).arg(names::GROUP);
            pipeline.arg(&entry.id).arg(&entry.id).arg(1);
        }
        let pending: Vec<Vec<(String, String, u64, u32)>> =
            self.lane.pipeline(&keys.stream, &pipeline).await?;
        for (entry, pending) in entries.into_iter().zip(pending) {
            if let Some((_, _, _, attempts)) = pending.first() {
                to.push((entry, *attempts));
            }
        }
        Ok(())
    }
}

/// Next cursor, entries, count of entries that are gone (told since Redis 7.0).
fn parse(reply: Value) -> Result<(String, Vec<Entry>, usize), ShapeError> {
    let mut parts = entry::list(reply)?.into_iter();
    let next = entry::text(parts.next().ok_or(ShapeError)?)?;
    let entries = entry::entries(parts.next().ok_or(ShapeError)?)?;
    let gone = parts.next().map_or(Ok(0), |gone| entry::list(gone).map(|ids| ids.len()))?;
    Ok((next, entries, gone))
}
