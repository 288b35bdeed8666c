//! The account of clicks, for instance operators.

use serde::{Deserialize, Serialize};
use vayro_core::day::Day;
use vayro_core::timestamp::Timestamp;

use super::error::ApiError;
use super::http::{Api, Call};

/// What edges accepted, compared with what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClickAudit {
    /// When it was measured.
    pub at: Timestamp,
    /// Of all days together.
    pub verdict: String,
    /// Per UTC day, oldest first.
    pub days: Vec<DayAudit>,
    /// What is on the way, of whatever day.
    pub on_the_way: OnTheWay,
    /// What belongs to no day.
    pub undated: u64,
    /// Edges that have not ended.
    pub edges: Vec<AuditedEdge>,
}

impl ClickAudit {
    /// Tells whether some day does not add up.
    pub fn is_unbalanced(&self) -> bool {
        self.verdict == "unbalanced"
    }
}

/// The account of one day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DayAudit {
    /// The day.
    pub day: Day,
    /// Clicks that edges accepted.
    pub accepted: u64,
    /// Clicks stored that are newer than the edges' figures.
    pub untold: u64,
    /// Rows in the database.
    pub stored: u64,
    /// Clicks removed on purpose.
    pub removed: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Clicks on their way.
    pub in_flight: u64,
    /// Clicks dropped.
    pub dropped: Dropped,
    /// Clicks that killed edges held.
    pub unsure: u64,
    /// What nothing explains.
    pub unaccounted: i64,
    /// Whether it adds up.
    pub verdict: String,
}

/// Clicks dropped, by reason.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Dropped {
    /// A ring was full.
    pub ring_full: u64,
    /// The edge ended and its sink took nothing.
    pub shutdown: u64,
    /// The spool's disk failed.
    pub disk: u64,
}

impl Dropped {
    /// Returns the sum.
    pub const fn total(&self) -> u64 {
        self.ring_full + self.shutdown + self.disk
    }
}

/// Clicks on the way to the database.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OnTheWay {
    /// Entries of the stream that are not settled.
    pub stream: u64,
    /// Whether there are more than were counted.
    pub stream_is_capped: bool,
    /// Clicks in spools.
    pub spools: u64,
    /// Clicks in the hands of running edges.
    pub edges: u64,
}

/// An edge that has not ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditedEdge {
    /// Host name and boot id.
    pub edge: String,
    /// Whether it has not told its figures for a while.
    pub is_silent: bool,
    /// When it told them last.
    pub heard_at: Timestamp,
}

impl Api {
    /// Reconciles the clicks of one UTC day, or of the last seven.
    pub async fn audit_clicks(&self, day: Option<Day>) -> Result<ClickAudit, ApiError> {
        self.send(Call::get(&["ops", "audit", "clicks"]).query("day", day)).await
    }
}
