//! Ports of messages between processes: invalidations, edge reports, rate limits.

use std::time::Duration;

use async_trait::async_trait;

use super::StreamError;
use crate::change::Invalidation;
use crate::stream::EdgeReport;
use crate::timestamp::Timestamp;

/// What one edge hears about its cache, from when it was made.
#[async_trait]
pub trait InvalidationFeed: Send {
    /// Waits for the next message. After a loss of contact the first one is
    /// [`Invalidation::Everything`] unless nothing can have been missed. Never fails: it reconnects for
    /// ever, with a pause between tries. Dropping the future loses nothing.
    async fn next(&mut self) -> Invalidation;

    /// Tells whether the feed is connected; while it is not, caches rely on their time to live.
    fn is_connected(&self) -> bool;
}

/// Where edges say how they are.
#[async_trait]
pub trait EdgeReports: Send + Sync {
    /// Stores an edge's newest report.
    async fn report(&self, report: &EdgeReport) -> Result<(), StreamError>;

    /// Lists the newest report of every edge that reported at or after `since`.
    async fn list(&self, since: Timestamp) -> Result<Vec<EdgeReport>, StreamError>;
}

/// The answer of a rate limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateDecision {
    /// Whether the hit is within the limit.
    pub is_allowed: bool,
    /// Hits left in the window.
    pub remaining: u32,
    /// When the window ends.
    pub resets_in: Duration,
}

/// Counts hits in fixed windows that begin with the first hit.
#[async_trait]
pub trait RateLimiter: Send + Sync {
    /// Counts one hit of `key` and says whether it is within `limit` per `window`. Refused hits count too,
    /// without moving the end of the window.
    async fn hit(
        &self,
        key: &str,
        limit: u32,
        window: Duration,
        now: Timestamp,
    ) -> Result<RateDecision, StreamError>;

    /// Forgets a key, as after a successful sign-in.
    async fn reset(&self, key: &str) -> Result<(), StreamError>;
}
