//! Vayro's ports on PostgreSQL.
//!
//! [`PgStores`] implements every port of accounts, links, clicks and analytics on one pool of
//! connections. Every transaction begins and ends inside one method and has a time limit. What each
//! method must do is said at the ports in `vayro-core` and held by their contract suites; only what
//! is peculiar to PostgreSQL is said here. Nothing but this crate and `migrations/postgres` knows
//! its SQL. Start reading at `database.rs`, then `clicks.rs` for the fast path.
#![deny(missing_docs)]

mod amendments;
mod analytics;
mod audit;
mod certificates;
mod clicks;
mod copy;
mod database;
mod detach;
mod domains;
mod error;
mod events;
mod idempotency;
mod instant;
mod keys;
mod lease;
mod ledger;
mod link_lists;
mod links;
mod lookup;
mod months;
mod outbox;
mod outdated;
mod parts;
mod purges;
mod recount;
mod replica;
mod retention;
mod rollups;
mod row;
mod salts;
mod schema;
mod sessions;
mod shares;
mod users;
mod weeks;
mod workspaces;

pub use database::{ConnectError, PgStores, PostgresConfig};
pub use replica::{PgReplica, ReplicaConfig, ReplicaState};
pub use schema::MigrateError;
