//! The edges' own count of the clicks they accepted, and what became of them.
//!
//! An edge counts what it takes out of its rings before it hands it to anybody, by the UTC day inside the
//! click's id, and keeps the figures on its own disk. They are never derived from the stream or the
//! database, so comparing them with what was stored proves something. [`reconcile()`] compares.

mod reconcile;

pub use reconcile::{DayAudit, DayEvidence, Dropped, Verdict, reconcile};

use crate::day::Day;
use crate::timestamp::Timestamp;

/// Days that figures are kept for; older ones are forgotten.
pub const KEPT_DAYS: u16 = 400;

/// Longest name of an edge, in bytes.
pub const EDGE_LEN_MAX: usize = 128;

/// What one start of an edge counted for one UTC day. Figures only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCounts {
    /// Clicks to be counted, those dropped for want of room included. Raised before a click is handed to
    /// the sink, so it is never less than what can be found later.
    pub accepted: u64,
    /// Of these, clicks the sink surely took.
    pub shipped: u64,
    /// Of these, clicks dropped because a ring was full.
    pub ring_full: u64,
    /// Of these, clicks dropped because the edge ended and its sink took nothing.
    pub shutdown: u64,
    /// Of the shipped ones, clicks that its spool lost to a failing disk; noted on the day it was found,
    /// since nobody can read their own day any more.
    pub disk: u64,
}

impl DayCounts {
    /// Returns how many were accepted and neither surely shipped nor dropped.
    pub const fn unsettled(&self) -> u64 {
        self.accepted
            .saturating_sub(self.shipped)
            .saturating_sub(self.ring_full)
            .saturating_sub(self.shutdown)
    }

    /// Adds the figures of another edge.
    pub const fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.shipped += other.shipped;
        self.ring_full += other.ring_full;
        self.shutdown += other.shutdown;
        self.disk += other.disk;
    }
}

/// The figures of one start of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeLedger {
    /// Host and boot id, as in its reports; at most [`EDGE_LEN_MAX`] bytes.
    pub edge: String,
    /// Whether that process has ended, so that these figures are its last.
    pub is_over: bool,
    /// When they were true.
    pub at: Timestamp,
    /// By day; days that were recorded long ago may be left out.
    pub days: Vec<(Day, DayCounts)>,
}

/// What an edge that told its figures is known to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownEdge {
    /// Its name.
    pub edge: String,
    /// Whether it has ended.
    pub is_over: bool,
    /// When it told its figures last.
    pub heard_at: Timestamp,
}

/// Why stored or put-aside clicks are no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Removal {
    /// Their link was deleted for good.
    LinkDeleted,
    /// Their dead letters were purged.
    LetterPurged,
    /// They were older than their workspace keeps clicks.
    Expired,
    /// Somebody asked to have them removed.
    Requested,
}

impl Removal {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::LinkDeleted, Self::LetterPurged, Self::Expired, Self::Requested];

    /// Returns its name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinkDeleted => "link_deleted",
            Self::LetterPurged => "letter_purged",
            Self::Expired => "expired",
            Self::Requested => "requested",
        }
    }
}

/// What the database holds of one UTC day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayTally {
    /// Rows of clicks.
    pub stored: u64,
    /// Of these, rows at or after the instant asked about.
    pub stored_late: u64,
    /// Clicks removed for a reason of [`Removal`].
    pub removed: u64,
}
