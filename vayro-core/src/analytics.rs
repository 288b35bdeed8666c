//! Questions about clicks and their answers; buckets that are right in every time zone.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Unit, Zoned};
use serde::{Deserialize, Serialize};

use crate::click::ClickClass;
use crate::ids::{LinkId, WorkspaceId};
use crate::timestamp::Timestamp;

/// Something clicks can be grouped and filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// ISO 3166-1 alpha-2.
    Country,
    /// Region's name.
    Region,
    /// City's name.
    City,
    /// `mobile`, `desktop`, `tablet`.
    Device,
    /// Browser family.
    Browser,
    /// Operating system family.
    Os,
    /// Language asked for.
    Language,
    /// Host of the referrer.
    Referrer,
    /// The link's id.
    Link,
    /// Host of the link's domain.
    Domain,
    /// `link` or `qr`.
    Trigger,
    /// `utm_source`.
    UtmSource,
    /// `utm_medium`.
    UtmMedium,
    /// `utm_campaign`.
    UtmCampaign,
    /// `utm_term`.
    UtmTerm,
    /// `utm_content`.
    UtmContent,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 16] = [
        Self::Country,
        Self::Region,
        Self::City,
        Self::Device,
        Self::Browser,
        Self::Os,
        Self::Language,
        Self::Referrer,
        Self::Link,
        Self::Domain,
        Self::Trigger,
        Self::UtmSource,
        Self::UtmMedium,
        Self::UtmCampaign,
        Self::UtmTerm,
        Self::UtmContent,
    ];

    /// Returns its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::Region => "region",
            Self::City => "city",
            Self::Device => "device",
            Self::Browser => "browser",
            Self::Os => "os",
            Self::Language => "language",
            Self::Referrer => "referrer",
            Self::Link => "link",
            Self::Domain => "domain",
            Self::Trigger => "trigger",
            Self::UtmSource => "utm_source",
            Self::UtmMedium => "utm_medium",
            Self::UtmCampaign => "utm_campaign",
            Self::UtmTerm => "utm_term",
            Self::UtmContent => "utm_content",
        }
    }

    /// Reads a dimension's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.as_str() == name)
    }
}

/// Keeps clicks whose dimension has, or has not, one of some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimensionFilter {
    /// Which dimension.
    pub dimension: Dimension,
    /// The values; the empty text stands for "unknown".
    pub values: Vec<String>,
    /// Whether the values are excluded rather than asked for.
    pub is_negated: bool,
}

/// Most values one filter may name.
pub const FILTER_VALUES_MAX: usize = 50;
/// Most rows a breakdown may have.
pub const BREAKDOWN_ROWS_MAX: u16 = 500;
/// Most points a series may have.
pub const BUCKETS_MAX: usize = 1000;

/// Which clicks a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickScope {
    /// Of which workspace; every question is scoped.
    pub workspace_id: WorkspaceId,
    /// Of which link; `None` for all of the workspace.
    pub link_id: Option<LinkId>,
    /// From this instant on.
    pub start: Timestamp,
    /// Up to, not including, this instant.
    pub end: Timestamp,
    /// Of these classes; the headline is [`ClickClass::Counted`] alone.
    pub classes: Vec<ClickClass>,
    /// All of these filters must hold.
    pub filters: Vec<DimensionFilter>,
}

/// A number of clicks and of the visitors behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickCount {
    /// Clicks.
    pub clicks: i64,
    /// Unique visitors per UTC day, summed over days: the salt of the visitor hash changes daily.
    pub visitors: i64,
}

/// One value of a dimension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakdownRow {
    /// The value; empty for "unknown".
    pub value: String,
    /// Its clicks.
    pub clicks: i64,
}

/// A dimension's values by clicks, most first, ties by value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// The top values.
    pub rows: Vec<BreakdownRow>,
    /// Clicks over all values.
    pub total: i64,
    /// Clicks of the values that are not in `rows`.
    pub others: i64,
}

/// The width of a series' buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BucketSize {
    /// An hour.
    Hour,
    /// A day of 23, 24 or 25 hours.
    Day,
    /// A week from Monday.
    Week,
    /// A calendar month.
    Month,
}

impl BucketSize {
    /// Returns the size that gives a readable number of points for a span.
    pub fn automatic(start: Timestamp, end: Timestamp) -> Self {
        const HOUR: u64 = 3600;
        match end.since(start).as_secs() {
            0..=259_200 => Self::Hour,
            s if s <= 24 * HOUR * 120 => Self::Day,
            s if s <= 24 * HOUR * 731 => Self::Week,
            _ => Self::Month,
        }
    }
}

/// A period that ends now or at a calendar edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Interval {
    /// The last hour.
    #[serde(rename = "1h")]
    LastHour,
    /// The last 24 hours.
    #[serde(rename = "24h")]
    Last24Hours,
    /// The last 7 days, today included.
    #[serde(rename = "7d")]
    Last7Days,
    /// The last 30 days, today included.
    #[serde(rename = "30d")]
    Last30Days,
    /// The last 90 days, today included.
    #[serde(rename = "90d")]
    Last90Days,
    /// The last 12 months, today included.
    #[serde(rename = "1y")]
    LastYear,
    /// This month so far.
    #[serde(rename = "mtd")]
    MonthToDate,
    /// This year so far.
    #[serde(rename = "ytd")]
    YearToDate,
    /// Everything.
    #[serde(rename = "all")]
    All,
}

impl Interval {
    /// Every interval with its name in the API.
    pub const ALL: [(&'static str, Self); 9] = [
        ("1h", Self::LastHour),
        ("24h", Self::Last24Hours),
        ("7d", Self::Last7Days),
        ("30d", Self::Last30Days),
        ("90d", Self::Last90Days),
        ("1y", Self::LastYear),
        ("mtd", Self::MonthToDate),
        ("ytd", Self::YearToDate),
        ("all", Self::All),
    ];

    /// Reads an interval's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(n, _)| *n == name).map(|(_, interval)| interval)
    }

    /// Returns start and end of the interval; `first` bounds [`Interval::All`] and is usually when the
    /// workspace was made.
    pub fn bounds(self, now: Timestamp, zone: &TimeZone, first: Timestamp) -> (Timestamp, Timestamp) {
        let here = now.to_jiff().to_zoned(zone.clone());
        let day = |days: i64| start_of_day(&here.saturating_sub(days.days()));
        let start = match self {
            Self::LastHour => Timestamp::from(here.saturating_sub(1.hour()).timestamp()),
            Self::Last24Hours => Timestamp::from(here.saturating_sub(24.hours()).timestamp()),
            Self::Last7Days => day(6),
            Self::Last30Days => day(29),
            Self::Last90Days => day(89),
            Self::LastYear => start_of_day(&here.saturating_sub(1.year()).saturating_add(1.day())),
            Self::MonthToDate => start_of_day(&here.first_of_month().unwrap_or_else(|_| here.clone())),
            Self::YearToDate => start_of_day(&here.first_of_year().unwrap_or_else(|_| here.clone())),
            Self::All => first.min(now),
        };
        // One microsecond later, so that a click of this very instant is inside.
        (start, now.plus(std::time::Duration::from_micros(1)))
    }
}

fn start_of_day(at: &Zoned) -> Timestamp {
    at.start_of_day().map_or_else(|_| Timestamp::from(at.timestamp()), |day| Timestamp::from(day.timestamp()))
}

/// The span cannot be cut into buckets.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BucketError {
    /// Too many points.
    #[error("that is more than {BUCKETS_MAX} points, choose a larger bucket or a shorter span")]
    TooMany,
    /// The end does not lie after the start.
    #[error("the end must lie after the start")]
    Empty,
}

/// Returns the starts of the buckets that cover `start` to `end` in `zone`, and the end of the last one.
///
/// Hours follow the zone's clock, so a zone at +05:45 has hours that begin at :15 UTC; days are as
/// long as the zone makes them.
///
/// # Errors
///
/// [`BucketError`] when there would be none or more than [`BUCKETS_MAX`].
pub fn bucket_edges(
    start: Timestamp,
    end: Timestamp,
    size: BucketSize,
    zone: &TimeZone,
) -> Result<Vec<Timestamp>, BucketError> {
    if end <= start {
        return Err(BucketError::Empty);
    }
    let first = start.to_jiff().to_zoned(zone.clone());
    let mut edges = Vec::new();
    match size {
        BucketSize::Hour => {
            // Stepping in absolute time from a rounded start keeps both hours of a clock set back.
            let minutes_past = i64::from(first.minute());
            let into = minutes_past * 60_000_000
                + i64::from(first.second()) * 1_000_000
                + i64::from(first.subsec_nanosecond()) / 1000;
            let mut edge = start.as_micros() - into;
            loop {
                edges.push(Timestamp::from_micros(edge).unwrap_or(start));
                if edge >= end.as_micros() {
                    break;
                }
                if edges.len() > BUCKETS_MAX {
                    return Err(BucketError::TooMany);
                }
                edge += 3_600_000_000;
            }
        }
        BucketSize::Day | BucketSize::Week | BucketSize::Month => {
            let mut date = match size {
                BucketSize::Week => {
                    let back = i64::from(first.weekday().to_monday_zero_offset());
                    first.date().saturating_sub(back.days())
                }
                BucketSize::Month => first.date().first_of_month(),
                _ => first.date(),
            };
            loop {
                let edge = date_start(date, zone).unwrap_or(end);
                edges.push(edge);
                if edge >= end {
                    break;
                }
                if edges.len() > BUCKETS_MAX {
                    return Err(BucketError::TooMany);
                }
                date = match size {
                    BucketSize::Week => date.saturating_add(1.week()),
                    BucketSize::Month => date.saturating_add(1.month()),
                    _ => date.saturating_add(1.day()),
                };
            }
        }
    }
    Ok(edges)
}

fn date_start(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    // Where midnight does not exist, the day begins at the first instant that does.
    let zoned = date.to_datetime(Time::midnight()).to_zoned(zone.clone()).ok()?;
    Some(Timestamp::from(zoned.timestamp()))
}

/// Reads the name of an IANA time zone such as `Europe/Berlin`.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    // An offset or a POSIX rule is no IANA name.
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+'));
    (is_name && name.len() <= 64).then(|| TimeZone::get(name).ok()).flatten()
}

/// Writes an instant with the offset it has in `zone`, such as `2026-03-29T00:00:00+01:00`.
pub fn local_text(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_jiff().to_zoned(zone.clone());
    let rounded = zoned.round(Unit::Microsecond).unwrap_or(zoned);
    rounded.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("valid")
    }

    fn hours(edges: &[Timestamp]) -> Vec<u64> {
        edges.windows(2).map(|pair| pair[1].since(pair[0]).as_secs() / 3600).collect()
    }

    #[test]
    fn days_have_23_24_or_25_hours() {
        let berlin = time_zone("Europe/Berlin").expect("known");
        let spring = bucket_edges(
            at("2026-03-28T00:00:00+01:00"),
            at("2026-03-31T00:00:00+02:00"),
            BucketSize::Day,
            &berlin,
        );
        assert_eq!(hours(&spring.expect("fits")), [24, 23, 24]);
        let autumn = bucket_edges(
            at("2026-10-24T00:00:00+02:00"),
            at("2026-10-27T00:00:00+01:00"),
            BucketSize::Day,
            &berlin,
        );
        assert_eq!(hours(&autumn.expect("fits")), [24, 25, 24]);
    }

    #[test]
    fn hours_follow_zones_of_45_minutes() {
        let nepal = time_zone("Asia/Kathmandu").expect("known");
        let edges =
            bucket_edges(at("2026-05-01T00:00:00Z"), at("2026-05-01T02:00:00Z"), BucketSize::Hour, &nepal)
                .expect("fits");
        assert_eq!(edges[0], at("2026-04-30T23:15:00Z"));
        assert_eq!(edges.len(), 4);
        assert_eq!(local_text(edges[0], &nepal), "2026-05-01T05:00:00+05:45");
    }

    #[test]
    fn a_clock_set_back_has_both_hours() {
        let berlin = time_zone("Europe/Berlin").expect("known");
        let edges = bucket_edges(
            at("2026-10-25T00:00:00+02:00"),
            at("2026-10-26T00:00:00+01:00"),
            BucketSize::Hour,
            &berlin,
        );
        assert_eq!(edges.expect("fits").len(), 26);
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let utc = TimeZone::UTC;
        let weeks =
            bucket_edges(at("2026-05-07T12:00:00Z"), at("2026-05-12T00:00:00Z"), BucketSize::Week, &utc);
        assert_eq!(weeks.expect("fits")[0], at("2026-05-04T00:00:00Z"));
        let months =
            bucket_edges(at("2026-01-31T12:00:00Z"), at("2026-03-02T00:00:00Z"), BucketSize::Month, &utc);
        assert_eq!(
            months.expect("fits"),
            ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"]
                .map(at)
        );
    }

    #[test]
    fn too_many_points_are_refused() {
        let utc = TimeZone::UTC;
        let result =
            bucket_edges(at("2000-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"), BucketSize::Hour, &utc);
        assert_eq!(result, Err(BucketError::TooMany));
        let none =
            bucket_edges(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"), BucketSize::Day, &utc);
        assert_eq!(none, Err(BucketError::Empty));
    }

    #[test]
    fn today_begins_at_local_midnight() {
        let berlin = time_zone("Europe/Berlin").expect("known");
        let (start, end) = Interval::Last7Days.bounds(at("2026-05-10T23:30:00Z"), &berlin, Timestamp::EPOCH);
        assert_eq!(start, at("2026-05-05T00:00:00+02:00"));
        assert!(end > at("2026-05-10T23:30:00Z"));
    }

    #[test]
    fn zones_are_iana_names_only() {
        assert!(time_zone("Europe/Berlin").is_some());
        assert!(time_zone("UTC").is_some());
        assert!(time_zone("Mars/Olympus").is_none());
        assert!(time_zone("../../etc/passwd").is_none());
    }
}
