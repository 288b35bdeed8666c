//! The click stream as one worker sees it: all shards, and of new entries those it holds a lease of.

mod batch;
mod housekeeping;
mod lease;
mod purge;
mod reader;
mod reclaim;
mod replay;
mod stats;
mod unsettled;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::{RedisError, RedisResult};
use vayro_core::failpoint;
use vayro_core::ids::ClickId;
use vayro_core::page::Page;
use vayro_core::ports::{BoxError, ClickStream, StreamError};
use vayro_core::purge::ClickSelector;
use vayro_core::stream::{BoundedCount, Delivery, DeliveryId, NewDeadLetter, StreamStats, Unsettled};
use vayro_core::timestamp::Timestamp;

use self::lease::Held;
use self::reader::Reader;
use crate::client::RedisClient;
use crate::dead_letters;
use crate::dial::Dialer;
use crate::entry::Entry;
use crate::lane::Lane;
use crate::names::{self, ShardKeys};
use crate::scripts::{ACK, CREATE_GROUP, DEAD_LETTER};
use crate::shard::{Place, Shard, place};
use crate::shards::Shards;

/// Ids in one call of a script; Lua takes some thousands of values at most.
const IDS_PER_CALL: usize = 1000;

/// Entries of one shard, each with how often it was handed out.
type Handed = (Arc<ShardKeys>, Vec<(Entry, u32)>);

/// One consumer of the group of workers.
///
/// Whatever happens to the stream (emptied, replaced by a failover), the group is made again from the
/// beginning and reading goes on; clicks that come twice are told by their own ids.
#[derive(Debug)]
pub struct RedisClickStream {
    lane: Lane,
    dialer: Dialer,
    shards: Arc<Shards>,
    consumer: String,
    held: tokio::sync::Mutex<Held>,
    readers: Mutex<HashMap<Shard, Arc<Reader>>>,
    /// Counts rounds, so that each begins with another shard.
    turn: AtomicUsize,
    shards_held: AtomicUsize,
    lost: AtomicU64,
}

impl RedisClickStream {
    /// Returns the consumer of this name, which must be its own: nobody else's, and not that of an
    /// earlier start.
    pub fn new(client: &RedisClient, consumer: impl Into<String>) -> Self {
        Self {
            lane: client.commands.clone(),
            dialer: client.dialer.clone(),
            shards: Arc::clone(&client.shards),
            consumer: consumer.into(),
            held: tokio::sync::Mutex::default(),
            readers: Mutex::default(),
            turn: AtomicUsize::new(0),
            shards_held: AtomicUsize::new(0),
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

    /// Returns every shard that may hold entries.
    async fn all(&self) -> RedisResult<Vec<Arc<ShardKeys>>> {
        Ok(self.shards.layout().await?.all().cloned().collect())
    }

    /// Runs what needs the group, making the group first if the server says that it is not there.
    async fn with_group<T, F>(&self, keys: &ShardKeys, run: impl Fn() -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        match run().await {
            Err(error) if is_group_missing(&error) => {
                self.create_group(keys).await?;
                run().await
            }
            result => result,
        }
    }

    async fn create_group(&self, keys: &ShardKeys) -> RedisResult<()> {
        let mut call = CREATE_GROUP.key(&keys.stream);
        call.key(&keys.nothing).arg(names::GROUP);
        self.lane.script(&keys.stream, &call).await
    }

    /// Tells deliveries from entries that are gone, which are settled and counted.
    async fn deliver(&self, found: Vec<Handed>) -> RedisResult<Vec<Delivery>> {
        let mut deliveries = Vec::with_capacity(found.iter().map(|(_, entries)| entries.len()).sum());
        for (keys, entries) in found {
            let mut gone = Vec::new();
            for (entry, attempts) in entries {
                match entry.fields {
                    Some(fields) => {
                        let id = DeliveryId(place(keys.shard, &entry.id));
                        deliveries.push(Delivery { id, attempts, fields });
                    }
                    None => gone.push(entry.id),
                }
            }
            if !gone.is_empty() {
                self.count_lost(gone.len());
                self.settle(&keys, &gone).await?;
            }
        }
        Ok(deliveries)
    }

    fn count_lost(&self, count: usize) {
        let lost = self.lost.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        tracing::error!(lost, "{count} clicks were removed from the stream before they were stored");
    }

    async fn settle(&self, keys: &ShardKeys, ids: &[impl AsRef<str>]) -> RedisResult<()> {
        for some in ids.chunks(IDS_PER_CALL) {
            let mut call = ACK.key(&keys.stream);
            call.key(&keys.settled).arg(names::GROUP);
            for id in some {
                call.arg(id.as_ref());
            }
            self.lane.script::<()>(&keys.stream, &call).await?;
        }
        Ok(())
    }

    async fn settle_all(&self, ids: &[DeliveryId]) -> RedisResult<()> {
        let mut shards: BTreeMap<Shard, Vec<String>> = BTreeMap::new();
        for id in ids {
            // What has another form was never handed out here, so there is nothing to settle.
            let Ok(Place { shard, id }) = id.0.parse() else { continue };
            shards.entry(shard).or_default().push(id.to_string());
        }
        for (shard, ids) in shards {
            self.settle(&*self.shards.find(shard).await?, &ids).await?;
        }
        Ok(())
    }

    async fn put_aside(&self, letter: &NewDeadLetter) -> RedisResult<()> {
        let place: Place = letter.delivery.id.0.parse().map_err(std::io::Error::other)?;
        let keys = self.shards.find(place.shard).await?;
        let mut call = DEAD_LETTER.key(&keys.stream);
        call.key(&keys.dead_letters).key(&keys.settled);
        call.arg(names::GROUP).arg(place.id.to_string());
        dead_letters::encode(letter, |value| {
            call.arg(value);
        });
        self.with_group(&keys, || self.lane.script::<()>(&keys.stream, &call)).await
    }

    async fn take(&self, max: NonZeroUsize, wait: Duration) -> RedisResult<Vec<Delivery>> {
        let found = self.read_new(max, wait).await?.into_iter();
        let new = |entries: Vec<Entry>| entries.into_iter().map(|entry| (entry, 1)).collect();
        self.deliver(found.map(|(keys, entries)| (keys, new(entries))).collect()).await
    }

    async fn take_over(&self, max: NonZeroUsize, min_idle: Duration) -> RedisResult<Vec<Delivery>> {
        let (mut found, mut room) = (Vec::new(), max.get());
        for keys in self.held().await? {
            let Some(max) = NonZeroUsize::new(room) else { break };
            let entries = self.with_group(&keys, || self.claim(&keys, max, min_idle)).await?;
            room -= entries.len();
            found.push((keys, entries));
        }
        self.deliver(found).await
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
        self.take(max, wait).await.map_err(unavailable)
    }

    async fn reclaim(&self, max: NonZeroUsize, min_idle: Duration) -> Result<Vec<Delivery>, StreamError> {
        self.take_over(max, min_idle).await.map_err(unavailable)
    }

    async fn ack(&self, ids: &[DeliveryId]) -> Result<(), StreamError> {
        self.settle_all(ids).await.map_err(unavailable)
    }

    async fn dead_letter(&self, letters: &[NewDeadLetter]) -> Result<(), StreamError> {
        for letter in letters {
            self.put_aside(letter).await.map_err(unavailable)?;
            failpoint::hit(failpoint::MID_DEAD_LETTER);
        }
        Ok(())
    }

    async fn trim(&self, window: Duration, now: Timestamp) -> Result<u64, StreamError> {
        self.keep_house(window, now).await.map_err(unavailable)
    }

    async fn stats(&self, _now: Timestamp) -> Result<StreamStats, StreamError> {
        self.measure_all().await.map_err(unavailable)
    }

    async fn unsettled(&self, max: u64) -> Result<Unsettled, StreamError> {
        let mut unsettled = Unsettled::default();
        for keys in self.all().await.map_err(unavailable)? {
            if unsettled.total() >= max {
                unsettled.is_capped = true;
                break;
            }
            let room = max - unsettled.total();
            let counted = self.with_group(&keys, || self.count_unsettled(&keys, room)).await;
            unsettled.add(counted.map_err(unavailable)?);
        }
        Ok(unsettled)
    }

    async fn replay(&self, since: Timestamp) -> Result<BoundedCount, StreamError> {
        let mut all = BoundedCount { count: 0, is_capped: false };
        for keys in self.all().await.map_err(unavailable)? {
            let rewound = self.with_group(&keys, || self.rewind(&keys, since)).await.map_err(unavailable)?;
            all.count += rewound.count;
            all.is_capped |= rewound.is_capped;
        }
        Ok(all)
    }

    async fn purge(
        &self,
        selector: &ClickSelector,
        after: Option<&str>,
    ) -> Result<Page<ClickId, String>, StreamError> {
        let after = match after.map(str::parse) {
            None => None,
            Some(Ok(after)) => Some(after),
            Some(Err(_)) => return Ok(Page { items: Vec::new(), next: None }),
        };
        self.remove_matching(selector, after).await.map_err(unavailable)
    }

    fn shards_held(&self) -> usize {
        self.shards_held.load(Ordering::Relaxed)
    }

    async fn leave(&self) -> Result<(), StreamError> {
        self.forget_this_consumer().await.map_err(unavailable)
    }
}
