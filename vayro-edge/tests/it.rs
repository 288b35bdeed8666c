//! A real edge on real sockets, over ports that live in memory.

#[path = "it/acme.rs"]
mod acme;
#[path = "it/admin.rs"]
mod admin;
#[path = "it/cache.rs"]
mod cache;
#[path = "it/clicks.rs"]
mod clicks;
#[path = "it/client.rs"]
mod client;
#[path = "it/connections.rs"]
mod connections;
#[path = "it/domains.rs"]
mod domains;
#[path = "it/guessing.rs"]
mod guessing;
#[path = "it/h2.rs"]
mod h2;
#[path = "it/h2_attacks.rs"]
mod h2_attacks;
#[path = "it/lane.rs"]
mod lane;
#[path = "it/lane_h2.rs"]
mod lane_h2;
#[path = "it/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "it/proxy_protocol_tls.rs"]
mod proxy_protocol_tls;
#[path = "it/proxying.rs"]
mod proxying;
#[path = "it/redirects.rs"]
mod redirects;
#[path = "it/shutdown.rs"]
mod shutdown;
#[path = "it/snapshot.rs"]
mod snapshot;
#[path = "it/tls.rs"]
mod tls;
#[path = "it/world.rs"]
mod world;
