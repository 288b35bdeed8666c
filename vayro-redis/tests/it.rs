//! The adapters on a real Redis: the contracts of their ports, and what is particular to Redis.

#[path = "it/cache.rs"]
mod cache;
#[path = "it/client.rs"]
mod client;
#[path = "it/cluster.rs"]
mod cluster;
#[path = "it/contracts.rs"]
mod contracts;
#[path = "it/faults.rs"]
mod faults;
#[path = "it/feed.rs"]
mod feed;
#[path = "it/sentinel.rs"]
mod sentinel;
#[path = "it/shards.rs"]
mod shards;
#[path = "it/stream.rs"]
mod stream;
#[path = "it/support.rs"]
mod support;
#[path = "it/versions.rs"]
mod versions;
#[path = "it/visits.rs"]
mod visits;
