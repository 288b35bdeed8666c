//! What Vayro keeps in Redis: the shared link cache, the click stream with its dead letters,
//! invalidations, edge reports, rate limits and marks of recent visits.
//!
//! Nothing here is a source of truth: links live in the database, and clicks only pass through. Start
//! reading at [`names`] for the schema and [`client`] for connections; the scripts in `src/lua` hold
//! every step that must happen at once. One server, a master that sentinels know, or a cluster: which it is,
//! is known to the modules behind `dial` only.

mod address;
mod backoff;
mod breaker;
pub mod client;
mod cluster;
pub mod config;
mod dead_letters;
mod dial;
mod entry;
mod feed;
mod lane;
mod limits;
mod lookup;
pub mod names;
mod polled;
mod publisher;
mod reports;
mod scripts;
mod sentinel;
pub mod shard;
pub mod shards;
mod sink;
mod slot;
mod stream;
mod units;
mod visits;
mod wire;

pub use client::{ConnectError, RedisClient, ServerFacts};
pub use config::RedisConfig;
pub use dead_letters::RedisDeadLetters;
pub use feed::RedisInvalidationFeed;
pub use limits::RedisRateLimiter;
pub use lookup::{RedisCachedLinks, RedisLookup};
pub use names::ShardKeys;
pub use publisher::RedisPublisher;
pub use reports::RedisEdgeReports;
pub use shard::Shard;
pub use shards::{Layout, SetShardsError};
pub use sink::RedisClickSink;
pub use stream::RedisClickStream;
pub use visits::RedisRecentVisits;
