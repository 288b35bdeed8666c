//! The contract suites: what every adapter must do, run on each of them.

pub mod accounts;
pub mod amendments;
pub mod analytics;
pub mod certificates;
pub mod clicks;
mod concurrent;
pub mod events;
pub mod idempotency;
pub mod ledger;
pub mod link_lists;
pub mod links;
pub mod lookup;
pub mod messages;
pub mod outbox;
pub mod parts;
pub mod purges;
pub mod retention;
pub mod rollups;
mod rules;
pub mod shares;
pub mod stores;
pub mod stream;
pub mod visits;
pub mod weeks;

/// Longest time a rule may take; reaching it is a failure.
pub const RULE_TIME_MAX: std::time::Duration = std::time::Duration::from_mins(1);
