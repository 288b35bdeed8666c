//! Domain types, rules and ports of Vayro.
//!
//! Everything here is free of I/O: types that parse at the border and are trusted afterwards, the
//! pure decision [`resolve::resolve`] and what visitors get for it in [`visit`], and the [`ports`] that
//! the adapter crates implement. Time, ids and randomness are passed in. Start reading at [`link`],
//! then [`resolve`], [`visit`], [`click`] and [`ports`].
#![deny(missing_docs)]

pub mod access;
pub mod account;
pub mod amendment;
pub mod analytics;
pub mod certificate;
pub mod change;
pub mod click;
#[cfg(feature = "contract")]
pub mod contract;
pub mod day;
pub mod dead_letters;
pub mod event;
pub mod failpoint;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod host;
pub mod idempotency;
pub mod ids;
pub mod ledger;
pub mod link;
pub mod links;
pub mod outbox;
pub mod page;
pub mod ports;
pub mod purge;
pub mod resolve;
pub mod retention;
pub mod rollup;
pub mod schema;
pub mod share;
pub mod short_code;
pub mod stream;
pub mod target;
pub mod timestamp;
pub mod visit;
pub mod visitor;
pub mod visits;
