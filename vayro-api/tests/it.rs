//! The API in memory, and its published surface. On the embedded set, or with `VAYRO_TEST_SET=clustered`
//! and the test servers on the clustered one.

#[path = "it/access.rs"]
mod access;
#[path = "it/analytics.rs"]
mod analytics;
#[path = "it/app.rs"]
mod app;
#[path = "it/audit.rs"]
mod audit;
#[path = "it/domains.rs"]
mod domains;
#[path = "it/events.rs"]
mod events;
#[path = "it/explain.rs"]
mod explain;
#[path = "it/export.rs"]
mod export;
#[path = "it/gate.rs"]
mod gate;
#[path = "it/health.rs"]
mod health;
#[path = "it/idempotency.rs"]
mod idempotency;
#[path = "it/keys.rs"]
mod keys;
#[path = "it/links.rs"]
mod links;
#[path = "it/links_bulk.rs"]
mod links_bulk;
#[path = "it/links_list.rs"]
mod links_list;
#[path = "it/live.rs"]
mod live;
#[path = "it/ops.rs"]
mod ops;
#[path = "it/problems.rs"]
mod problems;
#[path = "it/process.rs"]
mod process;
#[path = "it/rubbish.rs"]
mod rubbish;
#[path = "it/serve.rs"]
mod serve;
#[path = "it/shares.rs"]
mod shares;
#[path = "it/sign_in.rs"]
mod sign_in;
#[path = "it/surface.rs"]
mod surface;
#[path = "it/workspaces.rs"]
mod workspaces;
