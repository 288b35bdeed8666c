//! The click stream as one worker sees it.

mod housekeeping;
mod reader;
mod reclaim;
mod replay;
mod stats;
mod unsettled;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::{RedisError, RedisResult};
use vayro_core::failpoint;
use vayro_core::ports::{BoxError, ClickStream, StreamError};
use vayro_core::stream::{BoundedCount, Delivery, DeliveryId, NewDeadLetter, StreamStats, Unsettled};
use vayro_core::timestamp::Timestamp;

use self::reader::Reader;
use crate::client::RedisClient;
use crate::dead_letters;
use crate::entry::Entry;
use crate::lane::Lane;
use crate::names;
use crate::scripts::{ACK, CREATE_GROUP, DEAD_LETTER};

/// Most entries asked for at once. The server does nothing else meanwhile, some milliseconds per thousand, and
/// edges look links up there.
const READ_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");

/// Ids in one call of a script; Lua takes some thousands of values at most.
const IDS_PER_CALL: usize = 1000;

/// One consumer of the group of workers.
///
/// Whatever happens to the stream (emptied, replaced by a failover), the group is made again from the
/// beginning and reading goes on; clicks that come twice are told by their own ids.
#[derive(Debug)]
pub struct RedisClickStream {
    lane: Lane,
    reader: Reader,
    consumer: String,
    lost: AtomicU64,
}

impl RedisClickStream {
    /// Returns the consumer of this name, which must be its own: nobody else's, and not that of an
    /// earlier start.
    pub fn new(client: &RedisClient, consumer: impl Into<String>) -> Self {
        let consumer = consumer.into();
        Self {
            lane: client.commands.clone(),
            reader: Reader::new(client.dialer.clone(), consumer.clone()),
            consumer,
            lost: AtomicU64::new(0),
        }
    }

    /// Returns how many entries were gone when they were to be handed out again, since start. It is zero
    /// unless somebody else removes entries from the stream.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Forgets every consumer that holds nothing and has not asked for work for `idle_min`, and returns how
    /// many that were. Done by [`ClickStream::trim`] for those idle for an hour.
    ///
    /// # Errors
    ///
    /// [`StreamError`] when the server is away.
    pub async fn forget_idle_consumers(&self, idle_min: Duration) -> Result<u64, StreamError> {
        self.forget_idle(idle_min).await.map_err(unavailable)
    }

    /// Runs what needs the group, making the group first if the server says that it is not there.
    async fn with_group<T, F>(&self, run: impl Fn() -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        match run().await {
            Err(error) if is_group_missing(&error) => {
                let mut call = CREATE_GROUP.key(names::CLICKS);
                call.key(names::NOTHING).arg(names::GROUP);
                self.lane.script::<()>(&call).await?;
                run().await
            }
            result => result,
        }
    }

    /// Tells deliveries from entries that are gone, which are settled and counted.
    async fn deliver(&self, entries: Vec<(Entry, u32)>) -> Result<Vec<Delivery>, BoxError> {
        let mut deliveries = Vec::with_capacity(entries.len());
        let mut gone = Vec::new();
        for (entry, attempts) in entries {
            match entry.fields {
                Some(fields) => deliveries.push(Delivery { id: DeliveryId(entry.id), attempts, fields }),
                None => gone.push(entry.id),
            }
        }
        if !gone.is_empty() {
            self.count_lost(gone.len());
            self.settle(&gone).await?;
        }
        Ok(deliveries)
    }

    fn count_lost(&self, count: usize) {
        let lost = self.lost.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        tracing::error!(lost, "{count} clicks were removed from the stream before they were stored");
    }

    async fn settle(&self, ids: &[impl AsRef<str>]) -> RedisResult<()> {
        for some in ids.chunks(IDS_PER_CALL) {
            let mut call = ACK.key(names::CLICKS);
            call.key(names::SETTLED).arg(names::GROUP);
            for id in some {
                call.arg(id.as_ref());
            }
            self.lane.script::<()>(&call).await?;
        }
        Ok(())
    }

    async fn put_aside(&self, letter: &NewDeadLetter) -> RedisResult<()> {
        let mut call = DEAD_LETTER.key(names::CLICKS);
        call.key(names::DEAD_LETTERS).key(names::SETTLED);
        call.arg(names::GROUP).arg(&letter.delivery.id.0);
        dead_letters::encode(letter, |value| {
            call.arg(value);
        });
        self.with_group(|| self.lane.script::<()>(&call)).await
    }
}

/// A call that waited is told `UNBLOCKED` when the stream vanished, `XINFO` says `no such key`, and scripts
/// and pipelines wrap the code into their text.
fn is_group_missing(error: &RedisError) -> bool {
    let text = error.to_string();
    ["NOGROUP", "UNBLOCKED", "no such key"].iter().any(|sign| text.contains(sign))
}

fn unavailable(error: impl Into<BoxError>) -> StreamError {
    StreamError(error.into())
}

#[async_trait]
impl ClickStream for RedisClickStream {
    async fn next_batch(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>, StreamError> {
        let first = max.min(READ_MAX);
        let mut entries = self.with_group(|| self.reader.read(first, wait)).await.map_err(unavailable)?;
        let mut is_full = entries.len() == first.get();
        while is_full && let Some(room) = NonZeroUsize::new(max.get() - entries.len()) {
            let next = room.min(READ_MAX);
            // What was handed out before a failure is delivered; the next call meets the failure again.
            let Ok(more) = self.reader.read(next, Duration::ZERO).await else { break };
            is_full = more.len() == next.get();
            entries.extend(more);
        }
        let entries = entries.into_iter().map(|entry| (entry, 1)).collect();
        self.deliver(entries).await.map_err(StreamError)
    }

    async fn reclaim(&self, max: NonZeroUsize, min_idle: Duration) -> Result<Vec<Delivery>, StreamError> {
        let entries = self.with_group(|| self.claim(max, min_idle)).await.map_err(unavailable)?;
        self.deliver(entries).await.map_err(StreamError)
    }

    async fn ack(&self, ids: &[DeliveryId]) -> Result<(), StreamError> {
        let ids: Vec<&str> = ids.iter().map(|id| id.0.as_str()).collect();
        self.settle(&ids).await.map_err(unavailable)
    }

    async fn dead_letter(&self, letters: &[NewDeadLetter]) -> Result<(), StreamError> {
        for letter in letters {
            self.put_aside(letter).await.map_err(unavailable)?;
            failpoint::hit(failpoint::MID_DEAD_LETTER);
        }
        Ok(())
    }

    async fn trim(&self, window: Duration, now: Timestamp) -> Result<u64, StreamError> {
        self.forget_idle_consumers(housekeeping::CONSUMER_IDLE_MAX).await?;
        self.cut(window, now).await.map_err(unavailable)
    }

    async fn stats(&self, _now: Timestamp) -> Result<StreamStats, StreamError> {
        self.with_group(|| self.measure()).await.map_err(unavailable)
    }

    async fn unsettled(&self, max: u64) -> Result<Unsettled, StreamError> {
        self.with_group(|| self.count_unsettled(max)).await.map_err(unavailable)
    }

    async fn replay(&self, since: Timestamp) -> Result<BoundedCount, StreamError> {
        self.with_group(|| self.rewind(since)).await.map_err(unavailable)
    }

    async fn leave(&self) -> Result<(), StreamError> {
        self.forget_this_consumer().await.map_err(unavailable)
    }
}
