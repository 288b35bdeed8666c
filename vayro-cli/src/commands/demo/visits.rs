//! Visits as they might have been: who, when, from where, to which link.

use std::net::Ipv4Addr;
use std::time::Duration;

use rand::Rng;
use vayro_core::timestamp::Timestamp;

use super::agents::{Agent, BROWSERS, QUERIES, REFERRERS, ROBOTS};
use super::world::{COUNTRIES, Country};

/// Days that visits are spread over.
const DAYS: u64 = 30;
/// Robots among a hundred visits.
const ROBOTS_PERCENT: u32 = 6;
/// HEAD requests among a hundred visits of robots.
const HEADS_PERCENT: u32 = 30;
/// Prefetches among a hundred visits of people.
const PREFETCHES_PERCENT: u32 = 1;
/// Visits among a hundred that come from somebody who was here before.
const RETURNS_PERCENT: u32 = 30;
/// Share of visits per local hour from midnight: few at night, most at noon and in the evening.
const HOURS: [u32; 24] =
    [12, 8, 5, 4, 4, 6, 14, 28, 44, 55, 60, 62, 66, 60, 56, 55, 56, 60, 66, 72, 74, 62, 42, 24];

/// One visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visit {
    /// Position of the link.
    pub(super) link: usize,
    /// When.
    pub(super) at: Timestamp,
    /// From which address.
    pub(super) ip: Ipv4Addr,
    /// `User-Agent`.
    pub(super) user_agent: &'static str,
    /// `Referer`, empty if none.
    pub(super) referer: &'static str,
    /// `Accept-Language`, empty if none.
    pub(super) language: &'static str,
    /// Query of the short address.
    pub(super) query: Option<&'static str>,
    /// Whether it only looks.
    pub(super) is_head: bool,
    /// Whether the browser only fetches ahead.
    pub(super) is_prefetch: bool,
}

/// Somebody who visits.
#[derive(Clone, Copy)]
struct Visitor {
    country: &'static Country,
    ip: Ipv4Addr,
    user_agent: &'static str,
}

/// Draws `count` visits to `links` links that lie in the last 30 days before `now`.
pub(super) fn draw(count: usize, links: usize, now: Timestamp, rng: &mut impl Rng) -> Vec<Visit> {
    let mut known: Vec<Visitor> = Vec::new();
    (0..count).map(|_| visit(links, now, &mut known, rng)).collect()
}

fn visit(links: usize, now: Timestamp, known: &mut Vec<Visitor>, rng: &mut impl Rng) -> Visit {
    let is_robot = percent(ROBOTS_PERCENT, rng);
    let visitor = if is_robot {
        let country = &COUNTRIES[0];
        Visitor { country, ip: country.address(rng), user_agent: pick(&ROBOTS, rng) }
    } else {
        visitor(known, rng)
    };
    Visit {
        link: popular(links, rng),
        at: instant(visitor.country, now, rng),
        ip: visitor.ip,
        user_agent: visitor.user_agent,
        referer: if is_robot { "" } else { pick(&REFERRERS, rng) },
        language: if is_robot { "" } else { visitor.country.language },
        query: if is_robot { None } else { pick(&QUERIES, rng) },
        is_head: is_robot && percent(HEADS_PERCENT, rng),
        is_prefetch: !is_robot && percent(PREFETCHES_PERCENT, rng),
    }
}

/// Draws somebody new, or somebody who was here before.
fn visitor(known: &mut Vec<Visitor>, rng: &mut impl Rng) -> Visitor {
    if !known.is_empty() && percent(RETURNS_PERCENT, rng) {
        return known[rng.random_range(0..known.len())];
    }
    let weights: u32 = COUNTRIES.iter().map(|country| country.weight).sum();
    let mut left = rng.random_range(0..weights);
    let country = COUNTRIES.iter().find(|country| {
        let is_it = left < country.weight;
        left = left.saturating_sub(country.weight);
        is_it
    });
    let country = country.unwrap_or(&COUNTRIES[0]);
    let visitor =
        Visitor { country, ip: country.address(rng), user_agent: pick::<&str>(&BROWSERS as &[Agent], rng) };
    known.push(visitor);
    visitor
}

/// Draws a link; each is visited about half as often as a link twice as far up.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a draw"
)]
fn popular(links: usize, rng: &mut impl Rng) -> usize {
    let reach = (links as f64 + 1.0).ln();
    let drawn = (rng.random::<f64>() * reach).exp() - 1.0;
    (drawn as usize).min(links.saturating_sub(1))
}

/// Draws an instant: recent days a little more likely, and hours by the visitor's own clock.
fn instant(country: &Country, now: Timestamp, rng: &mut impl Rng) -> Timestamp {
    const DAY: Duration = Duration::from_hours(24);
    // The larger of two draws leans towards the present.
    let day = rng.random_range(0..DAYS).min(rng.random_range(0..DAYS));
    let weighted: Vec<(u32, i64)> = HOURS.into_iter().zip(0..).collect();
    let local_hour = pick(&weighted, rng);
    let utc_hour = (local_hour - country.utc_offset_hours).rem_euclid(24);
    let midnight = now.as_millis().div_euclid(86_400_000) * 86_400_000;
    let in_day = utc_hour * 3_600_000 + rng.random_range(0..3_600_000);
    let at =
        Timestamp::from_millis(midnight + in_day).unwrap_or(now).minus(DAY * u32::try_from(day).unwrap_or(0));
    // Today's later hours have not come yet; they go to yesterday.
    if at > now { at.minus(DAY) } else { at }
}

fn percent(share: u32, rng: &mut impl Rng) -> bool {
    rng.random_range(0..100) < share
}

/// Draws by weight.
fn pick<T: Copy>(weighted: &[(u32, T)], rng: &mut impl Rng) -> T {
    let sum: u32 = weighted.iter().map(|(weight, _)| weight).sum();
    let mut left = rng.random_range(0..sum.max(1));
    for (weight, value) in weighted {
        if left < *weight {
            return *value;
        }
        left -= weight;
    }
    weighted[weighted.len() - 1].1
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn now() -> Timestamp {
        "2026-05-10T12:00:00Z".parse().expect("valid")
    }

    #[test]
    fn visits_lie_in_the_last_thirty_days_and_reach_every_link() {
        let visits = draw(5000, 12, now(), &mut StdRng::seed_from_u64(1));
        let earliest = now().minus(Duration::from_hours(24 * (DAYS + 1)));
        assert!(visits.iter().all(|visit| visit.at <= now() && visit.at >= earliest));
        let mut per_link = [0; 12];
        for visit in &visits {
            per_link[visit.link] += 1;
        }
        assert!(per_link.iter().all(|count| *count > 0), "{per_link:?}");
        assert!(per_link[0] > per_link[6] && per_link[6] > 50, "{per_link:?}");
    }

    #[test]
    fn nights_are_quiet_and_people_come_back() {
        let visits = draw(5000, 3, now(), &mut StdRng::seed_from_u64(2));
        let german = visits.iter().filter(|visit| visit.language.starts_with("de-DE"));
        let hour = |visit: &Visit| (visit.at.as_millis() / 3_600_000 + 1).rem_euclid(24);
        let (mut night, mut evening) = (0, 0);
        for visit in german {
            match hour(visit) {
                1..=4 => night += 1,
                17..=20 => evening += 1,
                _ => {}
            }
        }
        assert!(evening > 5 * night, "{evening} in the evening, {night} at night");
        let people: HashSet<_> = visits.iter().map(|visit| visit.ip).collect();
        assert!(people.len() < 4200 && people.len() > 2500, "{}", people.len());
    }

    #[test]
    fn the_same_seed_gives_the_same_visits() {
        let draw = |seed| draw(50, 5, now(), &mut StdRng::seed_from_u64(seed));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn one_link_is_enough() {
        assert!(draw(100, 1, now(), &mut StdRng::seed_from_u64(3)).iter().all(|visit| visit.link == 0));
    }
}
