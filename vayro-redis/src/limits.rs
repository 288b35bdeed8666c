//! Rate limits that all processes share.

use std::time::Duration;

use async_trait::async_trait;
use vayro_core::ports::{RateDecision, RateLimiter, StreamError};
use vayro_core::timestamp::Timestamp;

use crate::client::RedisClient;
use crate::lane::Lane;
use crate::names;
use crate::scripts::HIT;

/// Counts hits in Redis; windows end by its clock.
#[derive(Clone, Debug)]
pub struct RedisRateLimiter(Lane);

impl RedisRateLimiter {
    /// Returns the limits of this server.
    pub fn new(client: &RedisClient) -> Self {
        Self(client.commands.clone())
    }
}

#[async_trait]
impl RateLimiter for RedisRateLimiter {
    async fn hit(
        &self,
        key: &str,
        limit: u32,
        window: Duration,
        _now: Timestamp,
    ) -> Result<RateDecision, StreamError> {
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
        let key = names::limit(key);
        let mut call = HIT.key(&key);
        call.arg(window_ms);
        let (hits, left_ms): (u32, u64) =
            self.0.script(&key, &call).await.map_err(|error| StreamError(error.into()))?;
        Ok(RateDecision {
            is_allowed: hits <= limit,
            remaining: limit.saturating_sub(hits),
            resets_in: Duration::from_millis(left_ms.max(1)),
        })
    }

    async fn reset(&self, key: &str) -> Result<(), StreamError> {
        let key = names::limit(key);
        let mut command = redis::cmd("DEL");
        command.arg(&key);
        self.0.query::<()>(&key, &command).await.map_err(|error| StreamError(error.into()))
    }
}
