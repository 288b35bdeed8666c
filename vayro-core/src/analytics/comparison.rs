//! Which earlier span a span is compared with, so that both are cut into the same points.

use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan as _, Zoned};
use serde::{Deserialize, Serialize};

use super::Interval;
use crate::timestamp::Timestamp;

/// What a span is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The span of the same length right before it.
    Previous,
    /// The same days of the calendar a year before.
    Year,
}

impl Comparison {
    /// Every comparison.
    pub const ALL: [Self; 2] = [Self::Previous, Self::Year];

    /// Returns its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Previous => "previous",
            Self::Year => "year",
        }
    }

    /// Reads a comparison's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|comparison| comparison.as_str() == name)
    }

    /// Returns how far back the span from `start` to `end` is moved.
    ///
    /// `interval` is the period's name if it has one. Periods of hours, and spans that begin at some time of
    /// the day, are moved by their exact length; all others by whole days or a year of `zone`'s calendar, so
    /// that they begin and end at the same time of the day, whatever the clocks did in between.
    pub fn shift(
        self,
        start: Timestamp,
        end: Timestamp,
        interval: Option<Interval>,
        zone: &TimeZone,
    ) -> Shift {
        if self == Self::Year {
            return Shift::Year;
        }
        let first = start.to_jiff().to_zoned(zone.clone());
        let last = end.minus(std::time::Duration::from_micros(1)).to_jiff().to_zoned(zone.clone());
        let is_of_hours = matches!(interval, Some(Interval::LastHour | Interval::Last24Hours));
        let begins_with_a_day = first.start_of_day().is_ok_and(|midnight| midnight == first);
        if is_of_hours || !begins_with_a_day {
            return Shift::Exactly(end.since(start));
        }
        let days = last.date().since(first.date()).map_or(0, |span| i64::from(span.get_days()));
        Shift::Days(days.saturating_add(1))
    }
}

/// How far back a span is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// By this much time.
    Exactly(std::time::Duration),
    /// By this many days of the calendar.
    Days(i64),
    /// By a year of the calendar.
    Year,
}

impl Shift {
    /// Moves an instant back. Later instants are never moved to earlier ones.
    ///
    /// What the earlier calendar does not have takes no time there: a 29 February becomes the very beginning
    /// of 1 March, and the second pass of an hour that clocks repeat becomes the end of that hour.
    pub fn apply(self, at: Timestamp, zone: &TimeZone) -> Timestamp {
        let by = match self {
            Self::Exactly(time) => return at.minus(time),
            Self::Days(days) => Span::new().try_days(days).unwrap_or_default(),
            Self::Year => 1.year(),
        };
        let clock = clock_time(&at.to_jiff().to_zoned(zone.clone()));
        let moved = match self {
            Self::Year if is_leap_day(clock.date()) => {
                date(clock.year(), 3, 1).at(0, 0, 0, 0).saturating_sub(by)
            }
            _ => clock.saturating_sub(by),
        };
        moved.to_zoned(zone.clone()).map_or(at, |moved| Timestamp::from(moved.timestamp()))
    }
}

fn is_leap_day(day: Date) -> bool {
    (day.month(), day.day()) == (2, 29)
}

/// Returns what a clock shows, and the time at which it is set back for instants that it shows again.
fn clock_time(at: &Zoned) -> DateTime {
    let shown = at.datetime();
    let first = at.time_zone().to_ambiguous_zoned(shown).earlier();
    let is_again = first.is_ok_and(|first| first.timestamp() < at.timestamp());
    if !is_again {
        return shown;
    }
    // The transition lies within the pass; what was shown right before it is its end.
    let transition = at.time_zone().preceding(at.timestamp() + 1.nanosecond()).next();
    transition.map_or(shown, |transition| {
        let before = transition.timestamp() - 1.microsecond();
        let shown = before.to_zoned(at.time_zone().clone()).datetime();
        shown.saturating_add(1.microsecond())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analytics::{BucketSize, bucket_edges, time_zone};

    fn at(text: &str) -> Timestamp {
        text.parse().expect("valid")
    }

    fn berlin() -> TimeZone {
        time_zone("Europe/Berlin").expect("known")
    }

    /// Returns where the span from `start` to `end` is moved.
    fn moved(comparison: Comparison, start: &str, end: &str, zone: &TimeZone) -> (Timestamp, Timestamp) {
        let shift = comparison.shift(at(start), at(end), None, zone);
        (shift.apply(at(start), zone), shift.apply(at(end), zone))
    }

    #[test]
    fn days_are_moved_by_days_whatever_the_clocks_did() {
        // Seven days with a 23-hour day among them, against seven ordinary ones.
        let (start, end) =
            moved(Comparison::Previous, "2026-03-28T00:00:00+01:00", "2026-04-04T00:00:00+02:00", &berlin());
        assert_eq!(start, at("2026-03-21T00:00:00+01:00"));
        assert_eq!(end, at("2026-03-28T00:00:00+01:00"));
    }

    #[test]
    fn a_day_that_is_not_over_is_compared_up_to_the_same_time() {
        let (start, end) =
            moved(Comparison::Previous, "2026-05-04T00:00:00+02:00", "2026-05-10T14:30:00+02:00", &berlin());
        assert_eq!(start, at("2026-04-27T00:00:00+02:00"));
        assert_eq!(end, at("2026-05-03T14:30:00+02:00"));
    }

    #[test]
    fn hours_are_moved_by_their_length() {
        let (start, end) =
            moved(Comparison::Previous, "2026-03-29T00:30:00Z", "2026-03-29T05:30:00Z", &berlin());
        assert_eq!((start, end), (at("2026-03-28T19:30:00Z"), at("2026-03-29T00:30:00Z")));
        // Even if the last hour begins at midnight.
        let (start, end) = (at("2026-05-10T00:00:00+02:00"), at("2026-05-10T01:00:00+02:00"));
        let shift = Comparison::Previous.shift(start, end, Some(Interval::LastHour), &berlin());
        assert_eq!(shift, Shift::Exactly(std::time::Duration::from_hours(1)));
    }

    #[test]
    fn a_year_before_has_the_same_dates() {
        let (start, end) =
            moved(Comparison::Year, "2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00", &berlin());
        assert_eq!(start, at("2025-03-01T00:00:00+01:00"));
        assert_eq!(end, at("2025-04-01T00:00:00+02:00"));
    }

    #[test]
    fn a_leap_day_has_no_counterpart_and_its_neighbors_keep_theirs() {
        let utc = TimeZone::UTC;
        let edges =
            bucket_edges(at("2028-02-28T00:00:00Z"), at("2028-03-02T00:00:00Z"), BucketSize::Day, &utc)
                .expect("fits");
        let moved: Vec<Timestamp> = edges.iter().map(|edge| Shift::Year.apply(*edge, &utc)).collect();
        let expected =
            ["2027-02-28T00:00:00Z", "2027-03-01T00:00:00Z", "2027-03-01T00:00:00Z", "2027-03-02T00:00:00Z"];
        assert_eq!(moved, expected.map(at));
    }

    #[test]
    fn a_repeated_hour_has_one_counterpart() {
        let zone = berlin();
        let edges = bucket_edges(
            at("2026-10-25T01:00:00+02:00"),
            at("2026-10-25T04:00:00+01:00"),
            BucketSize::Hour,
            &zone,
        )
        .expect("fits");
        assert_eq!(edges.len(), 5);
        let moved: Vec<Timestamp> = edges.iter().map(|edge| Shift::Days(1).apply(*edge, &zone)).collect();
        let expected =
            ["01", "02", "03", "03", "04"].map(|hour| at(&format!("2026-10-24T{hour}:00:00+02:00")));
        assert_eq!(moved, expected);
    }

    #[test]
    fn an_hour_that_the_earlier_day_skips_is_empty_there() {
        let zone = berlin();
        let edges: Vec<Timestamp> =
            ["01", "02", "03", "04"].map(|hour| at(&format!("2026-03-30T{hour}:00:00+02:00"))).to_vec();
        let moved: Vec<Timestamp> = edges.iter().map(|edge| Shift::Days(1).apply(*edge, &zone)).collect();
        let skipped = at("2026-03-29T03:00:00+02:00");
        let expected = [at("2026-03-29T01:00:00+01:00"), skipped, skipped, at("2026-03-29T04:00:00+02:00")];
        assert_eq!(moved, expected);
    }

    #[test]
    fn names_round_trip() {
        for comparison in Comparison::ALL {
            assert_eq!(Comparison::from_name(comparison.as_str()), Some(comparison));
            assert_eq!(serde_json::to_value(comparison).ok(), Some(comparison.as_str().into()));
        }
        assert_eq!(Comparison::from_name("last"), None);
    }

    proptest! {
        #[test]
        fn order_is_kept(
            one in 1_262_304_000_i64..2_500_000_000, gap in 0_i64..200_000, days in 1_i64..800, zone in 0_usize..4,
        ) {
            let names = ["Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo"];
            let zone = time_zone(names[zone]).expect("known");
            let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).expect("in range");
            for shift in [Shift::Days(days), Shift::Year, Shift::Exactly(std::time::Duration::from_secs(60))] {
                prop_assert!(shift.apply(at(one), &zone) <= shift.apply(at(one + gap), &zone));
            }
        }
    }
}
