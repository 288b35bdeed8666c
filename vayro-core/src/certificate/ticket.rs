//! Keys of session tickets.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// How long one key makes tickets. It opens them for one period more, so a ticket resumes for at most a day; RFC 8446
/// §4.6.1 allows a week.
pub const TICKET_PERIOD: Duration = Duration::from_hours(12);

/// A key that all edges make and open session tickets with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketKey {
    /// The period in which it makes tickets, see [`ticket_period`].
    pub period: i64,
    /// The key, sealed.
    pub sealed: Vec<u8>,
}

/// Returns the number of the period that `at` lies in, counted from 1970.
pub fn ticket_period(at: Timestamp) -> i64 {
    let period = i64::try_from(TICKET_PERIOD.as_micros()).unwrap_or(i64::MAX);
    at.as_micros().div_euclid(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_begins_at_midnight_and_noon() {
        let period = |text: &str| ticket_period(text.parse().expect("valid"));
        let first = period("2026-11-28T00:00:00Z");
        assert_eq!(period("2026-11-28T11:59:59.999999Z"), first);
        assert_eq!(period("2026-11-28T12:00:00Z"), first + 1);
        assert_eq!(period("1969-12-31T23:59:59Z"), -1);
    }
}
