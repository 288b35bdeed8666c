//! What Redis does between processes, inside one process.

mod board;
mod broadcast;
mod closed;
mod limits;

pub use board::LocalReports;
pub use broadcast::LocalBroadcast;
pub(crate) use closed::ClosedClicks;
pub use limits::LocalLimits;
