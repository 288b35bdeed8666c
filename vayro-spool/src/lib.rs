//! A crash-safe segment log: the edge's spill file and the embedded click stream.
//!
//! [`Spool`] runs the log on a thread of its own. On it stand [`SpillingSink`], which keeps clicks while
//! their stream is away and feeds them back afterwards, and [`EmbeddedClicks`], the whole click stream of
//! the embedded set: sink, stream and dead letters. Beside it [`DiskLedger`] keeps an edge's own count. One process holds a directory at a time. What a
//! record looks like is in `record.rs`, what the log promises in `log.rs`.

mod embedded;
mod fs;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod ledger;
mod log;
mod payload;
mod record;
mod spilling;
mod spool;

pub use embedded::{EmbeddedClicks, SpoolClickSink, SpoolClickStream, SpoolDeadLetters};
pub use ledger::DiskLedger;
pub use spilling::{SpillingOptions, SpillingSink};
pub use spool::{Spool, SpoolError, SpoolLevel, SpoolOptions};
