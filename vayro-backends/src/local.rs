//! What Redis does between processes, inside one process.

mod board;
mod broadcast;
mod closed;
mod ledger;
mod limits;
mod visits;

pub use board::LocalReports;
pub use broadcast::LocalBroadcast;
pub(crate) use closed::ClosedClicks;
pub(crate) use ledger::NoLedgerFile;
pub use limits::LocalLimits;
pub use visits::LocalVisits;
