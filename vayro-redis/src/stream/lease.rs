//! Which shards this worker reads.
//!
//! Leases spread the work; nothing depends on them. Several workers may read the same shard, since each entry
//! is handed to one of them, and whoever cannot get a lease reads everything.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::RedisResult;

use super::RedisClickStream;
use crate::names::{self, ShardKeys};
use crate::scripts::{LEASE, RELEASE};
use crate::shards::Layout;
use crate::units::millis;

/// How often a worker says that it is alive and asks for its share.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How long a worker that says nothing keeps its shards.
const TTL: Duration = Duration::from_secs(10);

/// The shards this worker reads, and since when it knows.
#[derive(Debug, Default)]
pub(super) struct Held {
    shards: Vec<Arc<ShardKeys>>,
    asked_at: Option<Instant>,
}

impl RedisClickStream {
    /// Returns the shards this worker is to read.
    pub(super) async fn held(&self) -> RedisResult<Vec<Arc<ShardKeys>>> {
        let mut held = self.held.lock().await;
        if !held.shards.is_empty() && held.asked_at.is_some_and(|at| at.elapsed() < RENEW_EVERY) {
            return Ok(held.shards.clone());
        }
        let layout = self.shards.layout().await?;
        let shards = match self.lease(&layout).await {
            Ok(shards) => shards,
            Err(error) => {
                tracing::debug!(%error, "no lease of shards; reading all of them");
                layout.all().cloned().collect()
            }
        };
        if shards != held.shards {
            let streams: Vec<&str> = shards.iter().map(|keys| keys.stream.as_str()).collect();
            tracing::info!(?streams, "reading {} of {} shards", shards.len(), layout.all().count());
        }
        self.shards_held.store(shards.len(), Ordering::Relaxed);
        *held = Held { shards: shards.clone(), asked_at: Some(Instant::now()) };
        Ok(shards)
    }

    async fn lease(&self, layout: &Layout) -> RedisResult<Vec<Arc<ShardKeys>>> {
        let mut call = LEASE.key(names::WORKERS);
        call.key(names::LEASES).arg(&self.consumer).arg(millis(TTL));
        for keys in layout.all() {
            call.arg(&keys.stream);
        }
        let streams: Vec<String> = self.lane.script(names::LEASES, &call).await?;
        Ok(layout.all().filter(|keys| streams.contains(&keys.stream)).cloned().collect())
    }

    /// Gives up all leases at once.
    pub(super) async fn release(&self) -> RedisResult<()> {
        self.held.lock().await.asked_at = None;
        let mut call = RELEASE.key(names::WORKERS);
        call.key(names::LEASES).arg(&self.consumer);
        self.lane.script(names::LEASES, &call).await
    }
}
