//! UTC days, by which clicks are reconciled.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::timestamp::Timestamp;

const MICROS: i64 = 86_400_000_000;

/// A UTC day between the years 1 and 9999. Displays as `2026-05-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(i32);

/// The text is not a day such as `2026-05-01`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a day such as `2026-05-01`")]
pub struct DayError(String);

impl Day {
    /// Returns the day that holds `at`.
    ///
    /// # Panics
    ///
    /// Never: instants lie between the years 1 and 9999.
    pub fn of(at: Timestamp) -> Self {
        let days = at.as_micros().div_euclid(MICROS);
        Self(i32::try_from(days).expect("ten thousand years have fewer days than an i32 has values"))
    }

    /// Returns the day with this number, counted from 1970-01-01; `None` outside the years 1 to 9999.
    pub fn from_number(number: i32) -> Option<Self> {
        Timestamp::from_micros(i64::from(number).checked_mul(MICROS)?).map(|_| Self(number))
    }

    /// Returns its number, counted from 1970-01-01.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Returns its first instant.
    pub fn start(self) -> Timestamp {
        Timestamp::from_micros(i64::from(self.0) * MICROS).unwrap_or(Timestamp::EPOCH)
    }

    /// Returns the first instant after it.
    pub fn end(self) -> Timestamp {
        self.start().plus(std::time::Duration::from_secs(86_400))
    }

    /// Returns the first day of its month.
    #[must_use]
    pub fn first_of_month(self) -> Self {
        let date = self.start().to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date();
        self.minus(u16::try_from(date.day() - 1).unwrap_or(0))
    }

    /// Returns the first day of the month after its own, or the last day there is.
    #[must_use]
    pub fn next_month(self) -> Self {
        // Whatever the month, its first day and 31 more lie in the next one.
        Self::from_number(self.first_of_month().0 + 31).map_or(Self(self.0), Self::first_of_month)
    }

    /// Returns the day `days` before it, or the first one there is.
    #[must_use]
    pub fn minus(self, days: u16) -> Self {
        Self::from_number(self.0.saturating_sub(i32::from(days)))
            .unwrap_or(Self::of(Timestamp::EPOCH.minus(std::time::Duration::MAX)))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.start().to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date().fmt(f)
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || DayError(text.chars().take(32).collect());
        let date: jiff::civil::Date = text.parse().map_err(|_| error())?;
        let at = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| error())?;
        Ok(Self::of(Timestamp::from(at.timestamp())))
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_holds_its_first_and_not_its_last_instant() {
        let day: Day = "2026-05-01".parse().expect("a day");
        assert_eq!(day.to_string(), "2026-05-01");
        assert_eq!(Day::of(day.start()), day);
        assert_eq!(Day::of(day.end()).number(), day.number() + 1);
        assert_eq!(day.minus(1).to_string(), "2026-04-30");
        assert_eq!(day.minus(1).first_of_month().to_string(), "2026-04-01");
        assert_eq!(day.first_of_month(), day);
        assert_eq!(day.minus(1).next_month(), day);
        assert_eq!("2026-01-31".parse::<Day>().expect("a day").next_month().to_string(), "2026-02-01");
        assert_eq!("2026-12-01".parse::<Day>().expect("a day").next_month().to_string(), "2027-01-01");
        assert_eq!(Day::from_number(day.number()), Some(day));
        assert_eq!(Day::of(Timestamp::EPOCH.minus(std::time::Duration::from_secs(1))).number(), -1);
    }

    #[test]
    fn other_texts_and_numbers_are_no_days() {
        for text in ["", "yesterday", "2026-02-30", "20 May"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        assert_eq!(Day::from_number(i32::MAX), None);
    }
}
