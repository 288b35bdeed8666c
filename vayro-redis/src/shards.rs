//! Which shards of the click stream there are, and changing that.
//!
//! Writers and readers look at the list of shards again every `LAYOUT_AGE_MAX`. A change adds the new shards and
//! marks those that are not needed anymore; they are read until they are empty and then removed. A writer that
//! has not seen the change yet writes into a stream that is read, and if that was removed already, it is found.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::RedisResult;
use vayro_core::ports::StreamError;

use crate::client::RedisClient;
use crate::lane::Lane;
use crate::names::{self, ShardKeys};
use crate::scripts::{ADOPT_SHARD, FORGET_SHARD, RETIRE_SHARD, SET_SHARDS};
use crate::shard::Shard;
use crate::units::millis;

/// How old a process's list of shards may get.
const LAYOUT_AGE_MAX: Duration = Duration::from_secs(1);

/// What the hash says of a shard that is written to.
const ACTIVE: &str = "active";

/// The shards that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Those that clicks are written into, by number.
    pub active: Vec<Arc<ShardKeys>>,
    /// Those that are only read until they are empty.
    pub retiring: Vec<Arc<ShardKeys>>,
}

impl Layout {
    /// Returns every shard that may hold clicks: what deletes, counts or searches goes over all of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ShardKeys>> {
        self.active.iter().chain(&self.retiring)
    }

    /// Returns how many shards clicks are written into.
    pub fn count(&self) -> NonZeroU16 {
        u16::try_from(self.active.len()).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
    }

    /// Returns the shard that may hold entries and has this number.
    pub(crate) fn find(&self, shard: Shard) -> Option<&Arc<ShardKeys>> {
        self.all().find(|keys| keys.shard == shard)
    }
}

/// The list of shards as this process knows it.
#[derive(Debug)]
pub(crate) struct Shards {
    lane: Lane,
    is_cluster: bool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    layout: Option<Arc<Layout>>,
    asked_at: Option<Instant>,
}

impl Shards {
    pub(crate) fn new(lane: Lane, is_cluster: bool) -> Self {
        Self { lane, is_cluster, known: Mutex::default() }
    }

    /// Returns the shards, as they were a moment ago. While Redis is away they stay what they were.
    pub(crate) async fn layout(&self) -> RedisResult<Arc<Layout>> {
        let known = {
            let mut known = self.known.lock();
            let is_young = known.asked_at.is_some_and(|at| at.elapsed() < LAYOUT_AGE_MAX);
            if let Some(layout) = known.layout.as_ref().filter(|_| is_young) {
                return Ok(Arc::clone(layout));
            }
            // The others go on with what is known while this call asks.
            if known.layout.is_some() {
                known.asked_at = Some(Instant::now());
            }
            known.layout.clone()
        };
        match (self.ask().await, known) {
            (Ok(layout), _) | (Err(_), Some(layout)) => Ok(layout),
            (Err(error), None) => Err(error),
        }
    }

    /// Returns the shards as they are now.
    pub(crate) async fn ask(&self) -> RedisResult<Arc<Layout>> {
        let mut command = redis::cmd("HGETALL");
        command.arg(names::SHARDS);
        let said: Vec<(String, String)> = self.lane.query(names::SHARDS, &command).await?;
        let layout = Arc::new(self.read(&said));
        let mut known = self.known.lock();
        known.layout = Some(Arc::clone(&layout));
        known.asked_at = Some(Instant::now());
        Ok(layout)
    }

    fn read(&self, said: &[(String, String)]) -> Layout {
        let mut shards: Vec<_> = said
            .iter()
            .filter_map(|(stream, state)| Some((Shard::from_stream(stream)?, state == ACTIVE)))
            .collect();
        shards.sort();
        let keys = |wanted: bool| {
            let some = shards.iter().filter(|(_, is_active)| *is_active == wanted);
            some.map(|(shard, _)| self.keys(*shard)).collect::<Vec<_>>()
        };
        let (mut active, retiring) = (keys(true), keys(false));
        if active.is_empty() {
            active.push(self.keys(Shard::Whole));
        }
        Layout { active, retiring }
    }

    fn keys(&self, shard: Shard) -> Arc<ShardKeys> {
        Arc::new(ShardKeys::new(shard, self.is_cluster))
    }

    /// Returns the keys of a shard, known or not.
    pub(crate) async fn find(&self, shard: Shard) -> RedisResult<Arc<ShardKeys>> {
        let layout = self.layout().await?;
        Ok(layout.find(shard).map_or_else(|| self.keys(shard), Arc::clone))
    }

    async fn set(&self, count: NonZeroU16) -> RedisResult<()> {
        let mut call = SET_SHARDS.key(names::SHARDS);
        call.arg(names::CLICKS);
        for shard in Shard::all(count) {
            call.arg(shard.stream());
        }
        self.lane.script::<()>(names::SHARDS, &call).await?;
        self.ask().await.map(drop)
    }

    /// Takes up streams that are there and no known shards, so that nothing in them is forgotten.
    pub(crate) async fn adopt(&self) -> RedisResult<()> {
        let layout = self.ask().await?;
        for shard in Shard::possible().filter(|shard| layout.find(*shard).is_none()) {
            let keys = self.keys(shard);
            let mut pipeline = redis::pipe();
            pipeline.cmd("EXISTS").arg(&keys.stream);
            pipeline.cmd("XLEN").arg(&keys.stream);
            pipeline.cmd("XLEN").arg(&keys.dead_letters);
            let (is_there, clicks, letters): (bool, u64, u64) =
                self.lane.pipeline(&keys.stream, &pipeline).await?;
            if clicks + letters == 0 {
                if is_there {
                    // A reader made it that had not heard yet that it was removed.
                    self.remove(&keys, Duration::ZERO).await?;
                }
                continue;
            }
            let mut call = ADOPT_SHARD.key(names::SHARDS);
            call.arg(names::CLICKS).arg(&keys.stream);
            if self.lane.script::<u64>(names::SHARDS, &call).await? == 1 {
                tracing::warn!(
                    stream = %keys.stream,
                    "{} was written to although it is no shard anymore; its clicks are counted too",
                    keys.stream
                );
            }
        }
        Ok(())
    }

    /// Removes shards that are not written to anymore, are empty, and were not written to within `window`.
    pub(crate) async fn retire(&self, window: Duration) -> RedisResult<()> {
        let layout = self.ask().await?;
        for keys in &layout.retiring {
            if !self.remove(keys, window).await? {
                continue;
            }
            let mut call = FORGET_SHARD.key(names::SHARDS);
            call.arg(&keys.stream);
            self.lane.script::<u64>(names::SHARDS, &call).await?;
            tracing::info!(stream = %keys.stream, "{} is empty and was removed", keys.stream);
        }
        if !layout.retiring.is_empty() {
            self.ask().await?;
        }
        Ok(())
    }
}

impl Shards {
    /// Removes the keys of a shard if nothing is left in it, and tells whether it did.
    async fn remove(&self, keys: &ShardKeys, window: Duration) -> RedisResult<bool> {
        let mut call = RETIRE_SHARD.key(&keys.stream);
        call.key(&keys.dead_letters).key(&keys.settled).arg(millis(window));
        self.lane.script(&keys.stream, &call).await
    }
}

/// Nobody can change the number of shards like that.
#[derive(Debug, thiserror::Error)]
pub enum SetShardsError {
    /// There would be too many.
    #[error("the click stream may have at most {} shards", names::SHARDS_MAX)]
    TooMany,
    /// Redis is away.
    #[error(transparent)]
    Stream(StreamError),
}

impl RedisClient {
    /// Returns the shards of the click stream as they are now: all keys that hold clicks.
    ///
    /// # Errors
    ///
    /// [`StreamError`] when the server is away.
    pub async fn shards(&self) -> Result<Arc<Layout>, StreamError> {
        self.shards.ask().await.map_err(|error| StreamError(error.into()))
    }

    /// Changes how many shards clicks are written into. Every process follows within about a second; the
    /// shards that are not needed anymore are read until they are empty.
    ///
    /// # Errors
    ///
    /// [`SetShardsError`]; nothing was changed then, unless the server went away before it answered.
    pub async fn set_shards(&self, count: NonZeroU16) -> Result<(), SetShardsError> {
        if count.get() > names::SHARDS_MAX {
            return Err(SetShardsError::TooMany);
        }
        self.shards.set(count).await.map_err(|error| SetShardsError::Stream(StreamError(error.into())))
    }
}
