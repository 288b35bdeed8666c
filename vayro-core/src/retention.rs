//! How long clicks and what they add up to are kept.
//!
//! Clicks go by whole UTC days: what is kept for 90 days is kept until the day it happened on has ended 90
//! days ago. The first day that is still kept is the horizon of a workspace; it only moves forward. Rollups
//! outlive the clicks they were made of, so those of days before the horizon cannot be counted again.

use std::time::Duration;

use crate::account::Plan;
use crate::day::Day;
use crate::timestamp::Timestamp;

/// The shortest time clicks may be kept. A click that comes twice is told by the row it left; this is far
/// longer than the same click can be on its way.
pub const CLICKS_KEEP_MIN: Duration = Duration::from_secs(7 * 86_400);

/// How long something is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Until somebody deletes it.
    #[default]
    Forever,
    /// So long, then until the end of the UTC day.
    For(Duration),
}

impl Keep {
    /// Returns the first day that is kept at `now`; `None` if all are.
    pub fn first_day(self, now: Timestamp) -> Option<Day> {
        match self {
            Self::Forever => None,
            Self::For(span) => Some(Day::of(now.minus(span))),
        }
    }

    /// Tells whether this is at least as long as `other`.
    pub fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Forever, _) => true,
            (Self::For(_), Self::Forever) => false,
            (Self::For(mine), Self::For(theirs)) => mine >= theirs,
        }
    }
}

/// What becomes of a month's storage that was taken out of the table, where months have one of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detached {
    /// It is dropped.
    #[default]
    Drop,
    /// It stays beside the table, for the operator to archive and drop.
    Keep,
}

/// How long clicks are kept, by the plan of their workspace, and rollups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Clicks of workspaces on [`Plan::Free`].
    pub free: Keep,
    /// Clicks of workspaces on [`Plan::Pro`].
    pub pro: Keep,
    /// Clicks of workspaces on [`Plan::Enterprise`].
    pub enterprise: Keep,
    /// Rollups of every workspace; at least as long as any clicks.
    pub rollups: Keep,
    /// What becomes of whole months.
    pub detached: Detached,
}

impl Retention {
    /// Returns how long clicks of a plan are kept.
    pub const fn clicks(&self, plan: Plan) -> Keep {
        match plan {
            Plan::Free => self.free,
            Plan::Pro => self.pro,
            Plan::Enterprise => self.enterprise,
        }
    }

    /// Returns what is too old at `now`.
    pub fn cut(&self, now: Timestamp) -> Cut {
        Cut {
            clicks: Plan::ALL.map(|plan| (plan, self.clicks(plan).first_day(now))),
            rollups: self.rollups.first_day(now),
        }
    }
}

/// What is too old at one instant. A day of `None` means that nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    clicks: [(Plan, Option<Day>); Plan::ALL.len()],
    rollups: Option<Day>,
}

impl Cut {
    /// Returns the first day of which clicks of a plan are kept.
    pub fn clicks(&self, plan: Plan) -> Option<Day> {
        self.clicks.iter().find(|(of, _)| *of == plan).and_then(|(_, day)| *day)
    }

    /// Returns the first day of which rollups are kept.
    pub const fn rollups(&self) -> Option<Day> {
        self.rollups
    }

    /// Returns the first of the months of which some plan keeps clicks: what happened before it, nobody
    /// keeps.
    pub fn month(&self) -> Option<Day> {
        let mut earliest: Option<Day> = None;
        for (_, day) in self.clicks {
            let day = day?;
            earliest = Some(earliest.map_or(day, |earliest| earliest.min(day)));
        }
        earliest.map(Day::first_of_month)
    }

    /// Returns the plans of which clicks are too old from some day on, each with the first day that is kept.
    pub fn plans(&self) -> impl Iterator<Item = (Plan, Day)> {
        self.clicks.into_iter().filter_map(|(plan, day)| Some((plan, day?)))
    }
}

/// A month that was removed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedMonth {
    /// Its first day.
    pub first: Day,
    /// How many clicks it held.
    pub clicks: u64,
}

/// What is too old and still there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionReview {
    /// Per plan of which clicks become too old, in the order of [`Plan::ALL`].
    pub plans: Vec<PlanReview>,
    /// First days of the months that will be removed as a whole; none where months have no storage of their own.
    pub months: Vec<Day>,
    /// Rollups that are too old.
    pub rollups: u64,
}

/// What is too old of the workspaces on one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanReview {
    /// The plan.
    pub plan: Plan,
    /// How many workspaces have it.
    pub workspaces: u64,
    /// Their clicks that are too old.
    pub clicks: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(text: &str) -> Timestamp {
        text.parse().expect("valid")
    }

    fn day(text: &str) -> Day {
        text.parse().expect("valid")
    }

    #[test]
    fn a_day_is_kept_until_its_last_instant_is_old_enough() {
        let keep = Keep::For(90 * DAY);
        assert_eq!(keep.first_day(at("2026-06-30T00:00:00Z")), Some(day("2026-04-01")));
        assert_eq!(keep.first_day(at("2026-06-30T23:59:59Z")), Some(day("2026-04-01")));
        assert_eq!(Keep::Forever.first_day(at("2026-06-30T00:00:00Z")), None);
    }

    #[test]
    fn a_month_goes_when_no_plan_keeps_any_of_it() {
        let now = at("2026-06-30T12:00:00Z");
        let mut retention = Retention {
            free: Keep::For(30 * DAY),
            pro: Keep::For(90 * DAY),
            enterprise: Keep::For(60 * DAY),
            ..Retention::default()
        };
        let cut = retention.cut(now);
        assert_eq!(cut.month(), Some(day("2026-04-01")));
        assert_eq!(cut.clicks(Plan::Free), Some(day("2026-05-31")));
        assert_eq!(cut.plans().count(), 3);
        retention.enterprise = Keep::Forever;
        let cut = retention.cut(now);
        assert_eq!((cut.month(), cut.clicks(Plan::Enterprise)), (None, None));
        assert_eq!(cut.plans().count(), 2);
    }

    #[test]
    fn forever_is_longer_than_anything() {
        let (short, long) = (Keep::For(DAY), Keep::For(2 * DAY));
        assert!(long.covers(short) && short.covers(short) && Keep::Forever.covers(Keep::Forever));
        assert!(!short.covers(long) && !long.covers(Keep::Forever));
    }
}
