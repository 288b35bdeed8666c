//! Ports of the edges' own count of clicks.

use async_trait::async_trait;

use super::{BoxError, StoreError};
use crate::day::Day;
use crate::ledger::{DayCounts, DayTally, EdgeLedger, KnownEdge, Removal};
use crate::timestamp::Timestamp;

/// The figures could not be put on the disk; they stay in memory.
#[derive(Debug, thiserror::Error)]
#[error("the ledger's disk failed")]
pub struct LedgerError(#[source] pub BoxError);

/// Where an edge keeps its figures through its own death; on its own disk, so that neither stream nor
/// database can take them along.
#[async_trait]
pub trait LedgerFile: Send + Sync {
    /// Replaces the figures of this start. When this returns `Ok` they survive the death of the process,
    /// though not a loss of power.
    async fn save(&self, ledger: &EdgeLedger) -> Result<(), LedgerError>;

    /// Returns the figures that earlier starts left and nobody has forgotten yet; all of them are over.
    fn earlier(&self) -> Vec<EdgeLedger>;

    /// Forgets earlier starts: their figures are safe elsewhere.
    async fn forget(&self, edges: &[String]);
}

/// Where the figures of all edges come together, and what they are compared with.
#[async_trait]
pub trait LedgerStore: Send + Sync {
    /// Stores the figures of starts of edges. Of two figures for the same start and day the greater one is
    /// kept, so that an old or repeated message changes nothing. Figures older than
    /// [`KEPT_DAYS`](crate::ledger::KEPT_DAYS) are forgotten.
    async fn record(&self, ledgers: &[EdgeLedger]) -> Result<(), StoreError>;

    /// Returns the figures of the days from `first` to `last`, both included, by day and edge.
    async fn figures(&self, first: Day, last: Day) -> Result<Vec<(Day, String, DayCounts)>, StoreError>;

    /// Returns every edge that told its figures, by name.
    async fn edges(&self) -> Result<Vec<KnownEdge>, StoreError>;

    /// Counts the rows of the days from `first` to `last`, both included, how many of them lie at or after
    /// `late`, and what was removed; days without any are left out.
    async fn tally(&self, first: Day, last: Day, late: Timestamp)
    -> Result<Vec<(Day, DayTally)>, StoreError>;

    /// Adds to what was removed. Links deleted for good are noted where they are deleted.
    async fn note_removed(&self, removed: &[(Day, u64)], why: Removal) -> Result<(), StoreError>;
}
