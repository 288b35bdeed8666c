//! Reading new entries of all shards a worker holds.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::RedisResult;
use tokio::task::JoinSet;

use super::RedisClickStream;
use super::reader::Reader;
use crate::entry::Entry;
use crate::names::ShardKeys;
use crate::shard::Shard;

/// Most entries asked for at once. The server does nothing else meanwhile, some milliseconds per thousand, and
/// edges look links up there.
const READ_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");
/// How long all shards are waited for at once. A call that one of them answers waits for the others so long:
/// giving up a question that waits could lose what is handed out at that moment until it is claimed again.
const WAIT_TOGETHER: Duration = Duration::from_millis(25);

/// Entries of one shard.
pub(super) type Found = (Arc<ShardKeys>, Vec<Entry>);

impl RedisClickStream {
    /// Hands out new entries of the shards that are held.
    pub(super) async fn read_new(&self, max: NonZeroUsize, wait: Duration) -> RedisResult<Vec<Found>> {
        let held = self.held().await?;
        match &held[..] {
            [only] => self.read_one(only, max, wait).await,
            _ => self.read_some(&held, max, wait).await,
        }
    }

    async fn read_one(
        &self,
        keys: &Arc<ShardKeys>,
        max: NonZeroUsize,
        wait: Duration,
    ) -> RedisResult<Vec<Found>> {
        let reader = self.reader(keys);
        let first = max.min(READ_MAX);
        let mut entries = self.with_group(keys, || reader.read(first, wait)).await?;
        let mut is_full = entries.len() == first.get();
        while is_full && let Some(room) = NonZeroUsize::new(max.get() - entries.len()) {
            let next = room.min(READ_MAX);
            // What was handed out before a failure is delivered; the next call meets the failure again.
            let Ok(more) = reader.read(next, Duration::ZERO).await else { break };
            is_full = more.len() == next.get();
            entries.extend(more);
        }
        Ok(vec![(Arc::clone(keys), entries)])
    }

    /// Asks the shards at the same time, first without waiting, then waiting a little each.
    async fn read_some(
        &self,
        held: &[Arc<ShardKeys>],
        max: NonZeroUsize,
        wait: Duration,
    ) -> RedisResult<Vec<Found>> {
        let asked = Instant::now();
        let mut together = Duration::ZERO;
        let mut found = Vec::new();
        while found.is_empty() {
            found = self.read_round(held, max, together).await?;
            let left = wait.saturating_sub(asked.elapsed());
            if left.is_zero() {
                break;
            }
            together = WAIT_TOGETHER.min(left);
        }
        let count = |found: &[Found]| found.iter().map(|(_, entries)| entries.len()).sum::<usize>();
        let mut last = count(&found);
        // As long as shards are full there is more at once.
        while last >= share(max, held.len()).get()
            && let Some(room) = NonZeroUsize::new(max.get() - count(&found))
        {
            // What was handed out before a failure is delivered; the next call meets the failure again.
            let Ok(more) = self.read_round(held, room, Duration::ZERO).await else { break };
            last = count(&more);
            found.extend(more);
        }
        Ok(found)
    }

    /// Asks each shard once. Fails only if every one does: the others go on while a node is away.
    async fn read_round(
        &self,
        held: &[Arc<ShardKeys>],
        max: NonZeroUsize,
        wait: Duration,
    ) -> RedisResult<Vec<Found>> {
        // With more shards than entries wanted some have to wait; not always the same.
        let start = self.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % held.len();
        let share = share(max, held.len());
        let asked = held.iter().cycle().skip(start).take(held.len().min(max.get()));
        let (readers, paused): (Vec<_>, Vec<_>) = asked
            .map(|keys| (Arc::clone(keys), self.reader(keys)))
            .partition(|(_, reader)| reader.pause().is_none());
        if readers.is_empty() {
            // All of them failed a moment ago; this waits as each of them wants it.
            let Some((keys, reader)) = paused.into_iter().next() else { return Ok(Vec::new()) };
            let entries = self.with_group(&keys, || reader.read(share, wait)).await?;
            return Ok(vec![(keys, entries)]);
        }
        let mut asking = JoinSet::new();
        for (keys, reader) in readers {
            asking.spawn(async move { (keys, reader.read(share, wait).await) });
        }
        let (mut found, mut failure, mut answers) = (Vec::new(), None, 0);
        while let Some(ended) = asking.join_next().await {
            let (keys, read) = ended.map_err(std::io::Error::other)?;
            match read {
                Ok(entries) if entries.is_empty() => answers += 1,
                Ok(entries) => found.push((keys, entries)),
                Err(error) if super::is_group_missing(&error) => {
                    self.create_group(&keys).await?;
                    answers += 1;
                }
                Err(error) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::warn!(error = cause, stream = %keys.stream, "a shard cannot be read");
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) if found.is_empty() && answers == 0 => Err(error),
            _ => Ok(found),
        }
    }

    fn reader(&self, keys: &Arc<ShardKeys>) -> Arc<Reader> {
        let mut readers: parking_lot::MutexGuard<'_, HashMap<Shard, Arc<Reader>>> = self.readers.lock();
        let reader = readers.entry(keys.shard).or_insert_with(|| {
            let (dialer, lane) = (self.dialer.clone(), self.lane.clone());
            Arc::new(Reader::new(dialer, lane, Arc::clone(keys), self.consumer.clone()))
        });
        Arc::clone(reader)
    }
}

/// Returns how many entries each of so many shards is asked for.
fn share(max: NonZeroUsize, shards: usize) -> NonZeroUsize {
    NonZeroUsize::new(max.get() / shards).unwrap_or(NonZeroUsize::MIN).min(READ_MAX)
}
