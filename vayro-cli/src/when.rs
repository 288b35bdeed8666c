//! Instants as people write them on a command line.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp as JiffTimestamp, Zoned};
use vayro_core::timestamp::Timestamp;

/// An instant as it was written: absolute, or relative to the moment the command runs.
#[derive(Clone, Debug)]
pub enum When {
    /// `2026-05-01T12:00:00Z`.
    At(Timestamp),
    /// `2026-05-01`: the beginning of that day where this machine is.
    On(Date),
    /// `30d`, `12h`, `2w`: that far away, in the direction the option means.
    Away(Box<Span>),
}

/// The text is no instant.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is neither a time such as 2026-05-01T12:00:00Z, nor a day such as 2026-05-01, nor a span such as 30d or 12h"
)]
pub struct WhenError(String);

impl FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || WhenError(text.chars().take(64).collect());
        if let Ok(at) = text.parse::<JiffTimestamp>() {
            return Ok(Self::At(at.into()));
        }
        // A bare day parses as a span nowhere, and a span as a day nowhere.
        if let Ok(date) = text.parse::<Date>() {
            return Ok(Self::On(date));
        }
        let span: Span = text.parse().map_err(|_| error())?;
        if span.is_negative() { Err(error()) } else { Ok(Self::Away(Box::new(span))) }
    }
}

impl When {
    /// Returns the instant, spans counted into the future from `now`.
    pub fn ahead_of(&self, now: Timestamp) -> Timestamp {
        self.resolve(now, Zoned::saturating_add::<Span>)
    }

    /// Returns the instant, spans counted into the past from `now`.
    pub fn before(&self, now: Timestamp) -> Timestamp {
        self.resolve(now, Zoned::saturating_sub::<Span>)
    }

    fn resolve(&self, now: Timestamp, apply: impl FnOnce(&Zoned, Span) -> Zoned) -> Timestamp {
        match self {
            Self::At(at) => *at,
            Self::On(date) => {
                date.to_zoned(TimeZone::system()).map_or(now, |day| Timestamp::from(day.timestamp()))
            }
            Self::Away(span) => {
                let here = now.to_jiff().to_zoned(TimeZone::system());
                Timestamp::from(apply(&here, **span).timestamp())
            }
        }
    }
}

/// Reads a span of time such as `2s` or `500ms`.
///
/// # Errors
///
/// A sentence saying what a span is.
pub fn parse_span(text: &str) -> Result<std::time::Duration, String> {
    let refused = || format!("`{text}` is not a span of time such as `2s` or `500ms`");
    let span: Span = text.parse().map_err(|_| refused())?;
    let exact = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| refused())?;
    std::time::Duration::try_from(exact).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_spans_are_understood() {
        let now: Timestamp = "2026-05-10T12:00:00Z".parse().expect("valid");
        let at = |text: &str| text.parse::<When>().expect("valid");
        assert_eq!(at("2026-05-01T12:00:00+02:00").ahead_of(now).to_string(), "2026-05-01T10:00:00Z");
        assert_eq!(at("12h").ahead_of(now).to_string(), "2026-05-11T00:00:00Z");
        assert_eq!(at("90min").before(now).to_string(), "2026-05-10T10:30:00Z");
        assert!(matches!(at("2026-05-01"), When::On(_)));
    }

    #[test]
    fn nonsense_is_refused_with_examples() {
        for bad in ["", "soon", "-3d", "2026-13-01"] {
            let error = bad.parse::<When>().expect_err(bad);
            assert!(error.to_string().contains("30d"));
        }
        assert_eq!(parse_span("2s"), Ok(std::time::Duration::from_secs(2)));
        assert!(parse_span("two").is_err());
        assert!(parse_span("-1s").is_err());
    }
}
