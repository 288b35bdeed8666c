//! Measuring the stream. What the server calls lag is missing or wrong on several versions, so the
//! numbers people act on are counted.

use std::collections::HashMap;

use redis::{RedisResult, Value};
use vayro_core::stream::{BoundedCount, ConsumerStats, ShardStats, StreamStats};

use super::RedisClickStream;
use crate::entry::{self, EntryId, ShapeError};
use crate::names::{self, ShardKeys};

/// Counting of undelivered entries of a shard stops here.
const UNDELIVERED_COUNT_MAX: u64 = 10_000;
/// Entries fetched at a time while counting.
const PAGE_LEN: u64 = 1000;

type Info = HashMap<String, Value>;
/// Id, consumer, milliseconds since it was handed out, how often it was.
type Held = (String, String, u64, u64);
type Replies = (Vec<Info>, Info, Vec<Info>, Vec<Held>, u64, Option<u64>, (u64, u64));

impl RedisClickStream {
    pub(super) async fn measure_all(&self) -> RedisResult<StreamStats> {
        let layout = self.shards.layout().await?;
        let mut command = redis::cmd("HGETALL");
        command.arg(names::LEASES);
        let leases: HashMap<String, String> = self.lane.query(names::LEASES, &command).await?;
        let mut all = nothing();
        for keys in layout.all() {
            let measured = self.with_group(keys, || self.measure(keys)).await?;
            all.shards.push(ShardStats {
                name: keys.stream.clone(),
                is_retiring: layout.retiring.contains(keys),
                worker: leases.get(&keys.stream).cloned(),
                undelivered: measured.undelivered,
                undelivered_oldest_ms: measured.undelivered_oldest_ms,
                pending: measured.pending,
                length: measured.length,
                dead_letters: measured.dead_letters,
            });
            add(&mut all, measured);
        }
        Ok(all)
    }

    async fn measure(&self, keys: &ShardKeys) -> RedisResult<StreamStats> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("XINFO").arg("GROUPS").arg(&keys.stream);
        pipeline.cmd("XINFO").arg("STREAM").arg(&keys.stream);
        pipeline.cmd("XINFO").arg("CONSUMERS").arg(&keys.stream).arg(names::GROUP);
        pipeline.cmd("XPENDING").arg(&keys.stream).arg(names::GROUP).arg("-").arg("+").arg(1);
        pipeline.cmd("XLEN").arg(&keys.dead_letters);
        pipeline.cmd("GET").arg(&keys.settled);
        pipeline.cmd("TIME");
        let (groups, stream, consumers, held, dead_letters, settled, (seconds, micros)): Replies =
            self.lane.pipeline(&keys.stream, &pipeline).await?;

        let group = groups
            .into_iter()
            .find(|group| group.get("name").and_then(as_text).as_deref() == Some(names::GROUP))
            .ok_or_else(|| std::io::Error::other(ShapeError))?;
        let delivered = group.get("last-delivered-id").and_then(as_text).unwrap_or_default();
        let generated = stream.get("last-generated-id").and_then(as_text).unwrap_or_default();
        let (undelivered, first) =
            if delivered == generated { (NONE, None) } else { self.count_after(keys, delivered).await? };
        // Entries are dated by the server's clock, and so is their age.
        let now_ms = seconds * 1000 + micros / 1000;
        Ok(StreamStats {
            undelivered,
            undelivered_oldest_ms: first.map(|first| now_ms.saturating_sub(first.ms)),
            pending: group.get("pending").and_then(as_count).unwrap_or_default(),
            pending_oldest_ms: held.first().map(|(_, _, idle_ms, _)| *idle_ms),
            length: stream.get("length").and_then(as_count).unwrap_or_default(),
            added_total: stream.get("entries-added").and_then(as_count),
            acked_total: Some(settled.unwrap_or(0)),
            dead_letters,
            server_lag: group.get("lag").and_then(as_count),
            consumers: consumers.iter().filter_map(consumer).collect(),
            shards: Vec::new(),
        })
    }

    /// Counts the entries after this id and returns the first one's id.
    async fn count_after(
        &self,
        keys: &ShardKeys,
        delivered: String,
    ) -> RedisResult<(BoundedCount, Option<EntryId>)> {
        let (mut count, mut first, mut after) = (0, None, delivered);
        while count <= UNDELIVERED_COUNT_MAX {
            let mut command = redis::cmd("XRANGE");
            command.arg(&keys.stream).arg(format!("({after}")).arg("+").arg("COUNT").arg(PAGE_LEN);
            let page: Value = self.lane.query(&keys.stream, &command).await?;
            let page = entry::entries(page).map_err(std::io::Error::other)?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            first = first.or_else(|| page.first()?.id.parse().ok());
            count += page.len() as u64;
            if (page.len() as u64) < PAGE_LEN {
                break;
            }
        }
        let is_capped = count > UNDELIVERED_COUNT_MAX;
        Ok((BoundedCount { count: count.min(UNDELIVERED_COUNT_MAX), is_capped }, first))
    }
}

const NONE: BoundedCount = BoundedCount { count: 0, is_capped: false };

/// A stream of no shards.
fn nothing() -> StreamStats {
    StreamStats {
        undelivered: NONE,
        undelivered_oldest_ms: None,
        pending: 0,
        pending_oldest_ms: None,
        length: 0,
        added_total: Some(0),
        acked_total: Some(0),
        dead_letters: 0,
        server_lag: Some(0),
        consumers: Vec::new(),
        shards: Vec::new(),
    }
}

/// Adds what was measured of one shard. What is unknown of one is unknown of all.
fn add(all: &mut StreamStats, shard: StreamStats) {
    let sum = |left: Option<u64>, right: Option<u64>| Some(left? + right?);
    all.undelivered.count += shard.undelivered.count;
    all.undelivered.is_capped |= shard.undelivered.is_capped;
    all.undelivered_oldest_ms = all.undelivered_oldest_ms.max(shard.undelivered_oldest_ms);
    all.pending += shard.pending;
    all.pending_oldest_ms = all.pending_oldest_ms.max(shard.pending_oldest_ms);
    all.length += shard.length;
    all.added_total = sum(all.added_total, shard.added_total);
    all.acked_total = sum(all.acked_total, shard.acked_total);
    all.dead_letters += shard.dead_letters;
    all.server_lag = sum(all.server_lag, shard.server_lag);
    for consumer in shard.consumers {
        match all.consumers.iter_mut().find(|known| known.name == consumer.name) {
            Some(known) => {
                known.pending += consumer.pending;
                known.idle_ms = known.idle_ms.min(consumer.idle_ms);
            }
            None => all.consumers.push(consumer),
        }
    }
}

fn consumer(info: &Info) -> Option<ConsumerStats> {
    Some(ConsumerStats {
        name: info.get("name").and_then(as_text)?,
        pending: info.get("pending").and_then(as_count)?,
        idle_ms: info.get("idle").and_then(as_count)?,
    })
}

fn as_text(value: &Value) -> Option<String> {
    entry::text(value.clone()).ok()
}

/// Nil is unknown, never zero.
fn as_count(value: &Value) -> Option<u64> {
    match value {
        Value::Int(count) => u64::try_from(*count).ok(),
        _ => None,
    }
}
