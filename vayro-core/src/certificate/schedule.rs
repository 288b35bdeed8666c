//! When to try again and when to renew.

use std::time::Duration;

use rand::{Rng as _, RngCore};

use super::{REASON_LEN_MAX, Validity};
use crate::timestamp::Timestamp;

/// Pauses after the first, second, … failure in a row; the last one goes on for ever. An owner who sets the DNS up
/// late waits little, and a name that nobody looks after costs the ACME server one question a day.
pub const RETRY_PAUSES: [Duration; 6] = [
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
    Duration::from_secs(6 * 3_600),
    Duration::from_secs(12 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// Pauses are longer by up to this share, so that names added at one time drift apart.
const RETRY_JITTER: f64 = 0.1;
/// Renewals are earlier by up to this share of the lifetime, for the same reason.
const RENEWAL_JITTER: f64 = 1.0 / 24.0;

/// When the ACME server wants a certificate to be renewed (RFC 9773).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewalWindow {
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
}

/// Returns the pause after `failures` failures in a row.
pub fn retry_pause(failures: u32, rng: &mut dyn RngCore) -> Duration {
    let step = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = RETRY_PAUSES[step.min(RETRY_PAUSES.len() - 1)];
    pause.mul_f64(1.0 + rng.random_range(0.0..RETRY_JITTER))
}

/// Returns when a certificate is to be renewed: at a random instant of the server's window if it says one that ends
/// before the certificate does, else when `percent` of the lifetime are over, less some jitter.
pub fn renewal(
    validity: Validity,
    window: Option<RenewalWindow>,
    percent: u8,
    rng: &mut dyn RngCore,
) -> Timestamp {
    let usable = window.filter(|window| window.start < window.end && window.start < validity.not_after);
    if let Some(RenewalWindow { start, end }) = usable {
        return start.plus(end.min(validity.not_after).since(start).mul_f64(rng.random_range(0.0..1.0)));
    }
    let lifetime = validity.not_after.since(validity.not_before);
    let share = (f64::from(percent.min(100)) / 100.0 - rng.random_range(0.0..RENEWAL_JITTER)).max(0.0);
    validity.not_before.plus(lifetime.mul_f64(share))
}

/// Brings somebody else's words into the form of a reason: one line of bounded length without control characters.
pub fn clear_reason(text: &str) -> String {
    let mut reason = String::with_capacity(text.len().min(REASON_LEN_MAX));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let space = usize::from(!reason.is_empty());
        let room = REASON_LEN_MAX.saturating_sub(reason.len() + space);
        if room == 0 {
            break;
        }
        if space > 0 {
            reason.push(' ');
        }
        let end = (0..=word.len().min(room)).rev().find(|end| word.is_char_boundary(*end)).unwrap_or(0);
        reason.push_str(&word[..end]);
        if end < word.len() {
            break;
        }
    }
    reason
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).expect("in range")
    }

    #[test]
    fn pauses_grow_to_a_day_and_stay_there() {
        let mut rng = StdRng::seed_from_u64(1);
        let pauses: Vec<Duration> = (1..=8).map(|failures| retry_pause(failures, &mut rng)).collect();
        assert!(pauses.windows(2).take(5).all(|pair| pair[0] < pair[1]), "{pauses:?}");
        let day = Duration::from_secs(86_400);
        assert!(pauses[5..].iter().all(|pause| (day..=day.mul_f64(1.1)).contains(pause)), "{pauses:?}");
        assert!(retry_pause(0, &mut rng) <= Duration::from_secs(66));
        assert!(retry_pause(u32::MAX, &mut rng) >= day);
    }

    proptest! {
        #[test]
        fn renewal_lies_between_half_and_all_of_the_lifetime(
            from in 0i64..4_000_000_000, days in 1i64..400, percent in 60u8..=90, seed: u64,
        ) {
            let validity = Validity { not_before: at(from), not_after: at(from + days * 86_400) };
            let when = renewal(validity, None, percent, &mut StdRng::seed_from_u64(seed));
            let share = when.since(validity.not_before).as_secs_f64()
                / validity.not_after.since(validity.not_before).as_secs_f64();
            let most = f64::from(percent) / 100.0;
            prop_assert!(share <= most + 1e-6 && share >= most - RENEWAL_JITTER - 1e-6, "{share}");
        }

        #[test]
        fn a_window_of_the_server_is_kept(start in 0i64..100, len in 1i64..100, seed: u64) {
            let validity = Validity { not_before: at(0), not_after: at(150) };
            let window = RenewalWindow { start: at(start), end: at(start + len) };
            let when = renewal(validity, Some(window), 66, &mut StdRng::seed_from_u64(seed));
            prop_assert!(window.start <= when && when <= window.end && when < validity.not_after);
        }

        #[test]
        fn a_senseless_window_is_not(start in 200i64..300, len in -50i64..=50, seed: u64) {
            let validity = Validity { not_before: at(0), not_after: at(150) };
            let window = RenewalWindow { start: at(start), end: at(start + len) };
            let when = renewal(validity, Some(window), 66, &mut StdRng::seed_from_u64(seed));
            prop_assert!(when < at(100));
        }

        #[test]
        fn reasons_are_one_short_line(text in ".{0,2000}") {
            let reason = clear_reason(&text);
            prop_assert!(reason.len() <= REASON_LEN_MAX && !reason.chars().any(char::is_control));
        }
    }

    #[test]
    fn reasons_keep_their_words() {
        assert_eq!(clear_reason("  No valid\n IP\taddresses "), "No valid IP addresses");
        assert_eq!(clear_reason(&"ä".repeat(400)).len(), REASON_LEN_MAX);
    }
}
