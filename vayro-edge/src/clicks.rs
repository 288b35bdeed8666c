//! Clicks on their way out of the redirect path.
//!
//! A request puts its click into a bounded ring and goes on; it never waits. One shipper on the outer
//! runtime empties the rings every few milliseconds and hands batches to the sink, one at a time, each after it was
//! counted in the ledger.

mod ledger;
mod rings;
mod shipper;

pub(crate) use ledger::{Ledger, Losses};
pub(crate) use rings::Rings;
pub(crate) use shipper::{Shipper, ship};
