//! The contract suites: what every adapter must do, run on each of them.

pub mod accounts;
mod concurrent;
pub mod messages;
mod rules;
pub mod stores;
pub mod stream;

/// Longest time a rule may take; reaching it is a failure.
pub const RULE_TIME_MAX: std::time::Duration = std::time::Duration::from_mins(1);
