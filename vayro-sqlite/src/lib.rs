//! Vayro's ports on one SQLite file.
//!
//! [`SqliteStores`] implements every port of accounts, links, clicks and analytics. One connection
//! writes, in transactions that take the write lock at their start, and one more, in its turn, the clicks;
//! a pool of others reads, each statement on its own snapshot, and never waits for a writer. Several processes may open the
//! file. What every method must do is said at the ports in `vayro-core` and held by their contract
//! suites; only what is peculiar to SQLite is said here. Start reading at [`open`].
#![deny(missing_docs)]

mod amendments;
mod analytics;
mod audit;
#[cfg(test)]
mod cast;
mod certificates;
mod click_connection;
mod clicks;
mod database;
mod domains;
mod error;
mod events;
mod idempotency;
mod keys;
mod ledger;
mod link_lists;
mod link_row;
mod links;
mod lookup;
pub mod open;
mod outbox;
mod outdated;
mod parts;
mod purge;
mod purges;
mod recount;
mod retention;
mod rollups;
mod row;
mod salts;
pub mod schema;
mod sessions;
mod shares;
mod users;
mod weeks;
mod workspaces;

pub use database::SqliteStores;
pub use open::{OpenError, SqliteOptions};
