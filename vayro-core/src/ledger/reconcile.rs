//! Accepted against found, for one day.

use super::DayCounts;
use crate::day::Day;

/// Everything that is known about the clicks of one UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayEvidence {
    /// The day.
    pub day: Day,
    /// What the edges counted; `None` if none ever told anything about this day.
    pub counts: Option<DayCounts>,
    /// Clicks in the hands of edges that run.
    pub in_hand: u64,
    /// Clicks in the hands of edges at the moment they were killed; the sink may have taken them or not.
    pub unsure: u64,
    /// Rows in the database.
    pub stored: u64,
    /// Of these, rows that are newer than the edges' figures.
    pub stored_late: u64,
    /// Clicks that were stored or put aside once and removed on purpose.
    pub removed: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Entries of the stream that are not settled. Some may be stored already.
    pub in_stream: u64,
    /// Clicks in spools, of whatever day. Some may be in the stream already.
    pub in_spools: u64,
    /// Clicks that spools lost to failing disks, of whatever day.
    pub disk: u64,
}

/// Clicks dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// Whether a day adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Balanced,
    /// Clicks are missing, or there are too many.
    Unbalanced,
    /// No edge has counted this day, so there is nothing to compare with.
    Unknown,
}

impl Verdict {
    /// Returns its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::Unbalanced => "unbalanced",
            Self::Unknown => "unknown",
        }
    }
}

/// A day's account:
/// `accepted + untold = stored + removed + dead_letters + in_flight + dropped + unsure + unaccounted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Clicks that are nowhere yet and may be on their way; never more than are on the way.
    pub in_flight: u64,
    /// Clicks dropped.
    pub dropped: Dropped,
    /// Clicks missing that were in the hands of an edge when it was killed; never more than it held.
    pub unsure: u64,
    /// What nothing explains: above zero clicks are missing, below zero there are too many.
    pub unaccounted: i64,
    /// Whether it adds up.
    pub verdict: Verdict,
}

/// Compares what edges accepted with what is found.
///
/// Counts are taken at different instants while clicks move, and one click may be seen both on its way and
/// stored. So what is on the way only bounds how many may be missing; with nothing on the way the account
/// is exact.
pub fn reconcile(evidence: &DayEvidence) -> DayAudit {
    let DayEvidence { day, stored, removed, dead_letters, .. } = *evidence;
    let counts = evidence.counts.unwrap_or_default();
    let accepted = counts.accepted;
    let mut dropped = Dropped { ring_full: counts.ring_full, shutdown: counts.shutdown, disk: 0 };
    let found = stored + removed + dead_letters + dropped.total();
    let mut missing = accepted.saturating_sub(found);
    let mut take = |available: u64| {
        let taken = missing.min(available);
        missing -= taken;
        taken
    };
    let in_flight = take(evidence.in_stream + evidence.in_spools + evidence.in_hand);
    dropped.disk = take(evidence.disk);
    let unsure = take(evidence.unsure);
    let excess = found.saturating_sub(accepted);
    let untold = excess.min(evidence.stored_late);
    let unaccounted = signed(missing) - signed(excess - untold);
    let verdict = match (evidence.counts, unaccounted) {
        (None, _) => Verdict::Unknown,
        (Some(_), 0) => Verdict::Balanced,
        (Some(_), _) => Verdict::Unbalanced,
    };
    DayAudit {
        day,
        accepted,
        untold,
        stored,
        removed,
        dead_letters,
        in_flight,
        dropped,
        unsure,
        unaccounted,
        verdict,
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn evidence(accepted: u64, stored: u64) -> DayEvidence {
        DayEvidence {
            day: "2026-05-01".parse().expect("a day"),
            counts: Some(DayCounts { accepted, shipped: accepted, ..DayCounts::default() }),
            in_hand: 0,
            unsure: 0,
            stored,
            stored_late: 0,
            removed: 0,
            dead_letters: 0,
            in_stream: 0,
            in_spools: 0,
            disk: 0,
        }
    }

    #[test]
    fn one_click_too_few_or_too_many_is_noticed() {
        assert_eq!(reconcile(&evidence(10, 10)).verdict, Verdict::Balanced);
        let missing = reconcile(&evidence(10, 9));
        assert_eq!((missing.verdict, missing.unaccounted), (Verdict::Unbalanced, 1));
        let extra = reconcile(&evidence(10, 11));
        assert_eq!((extra.verdict, extra.unaccounted), (Verdict::Unbalanced, -1));
    }

    #[test]
    fn what_is_missing_may_be_on_its_way_but_no_more_than_that() {
        let moving = DayEvidence { in_stream: 2, in_spools: 1, in_hand: 1, ..evidence(10, 6) };
        assert_eq!(reconcile(&moving).in_flight, 4);
        assert_eq!(reconcile(&moving).verdict, Verdict::Balanced);
        let short = DayEvidence { stored: 5, ..moving };
        assert_eq!(reconcile(&short).unaccounted, 1);
        // Entries that are stored and not yet settled are not counted twice.
        assert_eq!(reconcile(&DayEvidence { stored: 10, ..moving }).in_flight, 0);
    }

    #[test]
    fn dropped_killed_and_removed_clicks_are_explained() {
        let mut day = evidence(10, 4);
        day.counts = Some(DayCounts { accepted: 10, shipped: 7, ring_full: 1, shutdown: 1, disk: 1 });
        let day = DayEvidence { unsure: 1, disk: 1, removed: 1, dead_letters: 1, ..day };
        let audit = reconcile(&day);
        assert_eq!(audit.verdict, Verdict::Balanced);
        assert_eq!((audit.dropped.total(), audit.unsure), (3, 1));
    }

    #[test]
    fn rows_newer_than_the_figures_are_no_excess() {
        let early = DayEvidence { stored_late: 3, ..evidence(10, 12) };
        assert_eq!((reconcile(&early).untold, reconcile(&early).verdict), (2, Verdict::Balanced));
        assert_eq!(reconcile(&DayEvidence { stored: 14, ..early }).unaccounted, -1);
    }

    #[test]
    fn a_day_nobody_counted_is_unknown() {
        let day = DayEvidence { counts: None, ..evidence(0, 12) };
        assert_eq!(reconcile(&day).verdict, Verdict::Unknown);
    }

    proptest! {
        #[test]
        fn every_account_adds_up_in_writing(
            accepted in 0_u64..1000, ring_full in 0_u64..9, shutdown in 0_u64..9, stored in 0_u64..1000,
            late in 0_u64..50, removed in 0_u64..9, dead_letters in 0_u64..9, in_stream in 0_u64..50,
            in_spools in 0_u64..50, in_hand in 0_u64..50, unsure in 0_u64..50, disk in 0_u64..9,
        ) {
            let counts = DayCounts { accepted, shipped: accepted, ring_full, shutdown, disk };
            let a = reconcile(&DayEvidence {
                counts: Some(counts), stored_late: late.min(stored), removed, dead_letters, in_stream, in_spools,
                in_hand, unsure, disk, ..evidence(accepted, stored)
            });
            let left = signed(a.accepted + a.untold);
            let right = a.stored + a.removed + a.dead_letters + a.in_flight + a.dropped.total() + a.unsure;
            prop_assert_eq!(left, signed(right) + a.unaccounted);
        }
    }
}
