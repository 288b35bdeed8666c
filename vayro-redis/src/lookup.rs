//! The shared cache in front of the database.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use redis::RedisResult;
use vayro_core::link::LinkKey;
use vayro_core::ports::{LinkLookup, StoreError};
use vayro_core::resolve::CachedLink;

use crate::breaker::Breaker;
use crate::client::RedisClient;
use crate::lane::Lane;
use crate::names;
use crate::scripts::FILL;

/// Asks Redis first and fills it from the look-up behind.
///
/// Redis never makes a look-up fail: away, slow or talking nonsense, it is passed over, and after a few
/// failures in a row it is left alone for a while.
pub struct RedisLookup {
    lane: Lane,
    breaker: Breaker,
    inner: Arc<dyn LinkLookup>,
}

impl RedisLookup {
    /// Puts the cache in front of `inner`.
    pub fn new(client: &RedisClient, inner: Arc<dyn LinkLookup>) -> Self {
        Self { lane: client.lookups.clone(), breaker: Breaker::default(), inner }
    }

    /// Reads the cached value and starts its time to live anew. `None` if Redis has to be left alone.
    async fn read(&self, link_key: &str) -> Option<Option<Vec<u8>>> {
        if !self.breaker.admits(Instant::now()) {
            return None;
        }
        let mut command = redis::cmd("GETEX");
        command.arg(link_key).arg("EX").arg(names::LINK_TTL_SECONDS);
        self.judge(self.lane.query(link_key, &command).await)
    }

    /// Caches what the database said. Losing this costs one more look-up later.
    async fn fill(&self, link_key: &str, link: &CachedLink) {
        let Ok(json) = serde_json::to_vec(link) else { return };
        let floor = names::floor(link_key);
        let mut call = FILL.key(link_key);
        call.key(floor).arg(json).arg(link.revision).arg(names::LINK_TTL_SECONDS);
        self.judge(self.lane.script::<()>(link_key, &call).await);
    }

    /// Keeps book about how Redis does.
    fn judge<T>(&self, result: RedisResult<T>) -> Option<T> {
        match result {
            Ok(value) => {
                if self.breaker.succeeded() {
                    tracing::info!("the link cache in Redis answers again");
                }
                Some(value)
            }
            Err(error) => {
                if self.breaker.failed(Instant::now()) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the link cache in Redis does not answer; asking the database");
                }
                None
            }
        }
    }
}

#[async_trait]
impl LinkLookup for RedisLookup {
    async fn lookup(&self, key: &LinkKey) -> Result<Option<CachedLink>, StoreError> {
        let link_key = names::link(key);
        let read = self.read(&link_key).await;
        if let Some(Some(json)) = &read {
            match serde_json::from_slice(json) {
                Ok(link) => return Ok(Some(link)),
                Err(error) => {
                    tracing::warn!(%error, link.key = %link_key, "overwriting a cached link that cannot be read");
                }
            }
        }
        let link = self.inner.lookup(key).await?;
        // Unknown codes are not cached here: anybody could fill the memory with them.
        if let (Some(_), Some(link)) = (&read, &link) {
            self.fill(&link_key, link).await;
        }
        Ok(link)
    }
}

/// What the shared cache holds, for those who only look: nothing is asked of the database, nothing is filled in, and
/// no time to live starts anew.
pub struct RedisCachedLinks {
    lane: Lane,
}

impl RedisCachedLinks {
    /// Looks into the cache of `client`.
    pub fn new(client: &RedisClient) -> Self {
        Self { lane: client.lookups.clone() }
    }
}

#[async_trait]
impl LinkLookup for RedisCachedLinks {
    async fn lookup(&self, key: &LinkKey) -> Result<Option<CachedLink>, StoreError> {
        let link_key = names::link(key);
        let mut command = redis::cmd("GET");
        command.arg(&link_key);
        let read: RedisResult<Option<Vec<u8>>> = self.lane.query(&link_key, &command).await;
        let json = read.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        // What edges cannot read they do not use either.
        Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
    }
}
