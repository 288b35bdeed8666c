//! How many unknown codes a network may ask for.
//!
//! Who guesses codes asks for many that lead nowhere. A network that did so within the last minute is not told about
//! further codes that are not in memory until it has been quiet for a while; links in memory are served to everybody.
//!
//! Two tables of a fixed size, in each of which networks share places by chance; a network has used up its budget only
//! if both of its places say so. Nobody can choose whom to share with: the hashes have keys.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};

use vayro_core::timestamp::Timestamp;
use vayro_core::visitor::network;

use crate::log_limit::LogLimit;

/// Places of a table; half a megabyte.
const PLACES: usize = 1 << 16;
/// The time that a budget is for, in microseconds.
const MINUTE_MICROS: i64 = 60_000_000;

/// The budgets of all networks (IPv4 /24, IPv6 /48).
#[derive(Debug)]
pub(crate) struct MissBudgets {
    tables: [Table; 2],
    /// How long it takes until one more miss is allowed; zero if all are.
    micros_per_miss: i64,
    alerts: LogLimit,
}

/// When the budgets of networks will be whole again, in microseconds (the generic cell rate algorithm).
#[derive(Debug)]
struct Table {
    hash: RandomState,
    whole_at: Box<[AtomicI64]>,
}

impl Table {
    fn new() -> Self {
        let whole_at = (0..PLACES).map(|_| AtomicI64::new(i64::MIN)).collect();
        Self { hash: RandomState::new(), whole_at }
    }

    fn place(&self, network: IpAddr) -> &AtomicI64 {
        // Below the number of places.
        let place = usize::try_from(self.hash.hash_one(network) % PLACES as u64).unwrap_or(0);
        &self.whole_at[place]
    }
}

impl MissBudgets {
    /// Makes budgets of `per_minute` misses; zero sets no limit.
    pub(crate) fn new(per_minute: u32) -> Self {
        let micros_per_miss = if per_minute == 0 { 0 } else { MINUTE_MICROS / i64::from(per_minute) };
        Self { tables: [Table::new(), Table::new()], micros_per_miss, alerts: LogLimit::new() }
    }

    /// Tells whether the network of `visitor` has used up its budget.
    pub(crate) fn is_spent(&self, visitor: IpAddr, now: Timestamp) -> bool {
        if self.micros_per_miss == 0 {
            return false;
        }
        let network = network(visitor);
        let latest = now.as_micros().saturating_add(MINUTE_MICROS - self.micros_per_miss);
        self.tables.iter().all(|table| {
            let whole_at = table.place(network).load(Ordering::Relaxed);
            // A clock that was set back must not shut anybody out for longer.
            whole_at > latest && whole_at <= now.as_micros().saturating_add(2 * MINUTE_MICROS)
        })
    }

    /// Says in the log that a visitor was turned away.
    pub(crate) fn alert(&self, now: Timestamp) {
        if let Some(held_back) = self.alerts.turn(now) {
            // Without the network: logs say nothing about visitors.
            tracing::warn!(held_back, "a network asks for many unknown codes, somebody may be guessing");
        }
    }

    /// Takes a miss from the budget of the network of `visitor`.
    pub(crate) fn charge(&self, visitor: IpAddr, now: Timestamp) {
        if self.micros_per_miss == 0 {
            return;
        }
        let network = network(visitor);
        let most = now.as_micros().saturating_add(MINUTE_MICROS);
        for table in &self.tables {
            // Somebody else's charge that is lost here costs the network nothing.
            let place = table.place(network);
            let whole_at = place.load(Ordering::Relaxed).clamp(now.as_micros(), most);
            place.store(whole_at.saturating_add(self.micros_per_miss), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).expect("in range")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn misses_until_spent(budgets: &MissBudgets, visitor: IpAddr, now: Timestamp) -> u32 {
        (0..1000)
            .take_while(|_| {
                let is_left = !budgets.is_spent(visitor, now);
                budgets.charge(visitor, now);
                is_left
            })
            .count()
            .try_into()
            .expect("few")
    }

    #[test]
    fn a_network_has_its_budget_and_gets_it_back_over_a_minute() {
        let budgets = MissBudgets::new(60);
        let (guesser, neighbour) = (address("192.0.2.1"), address("192.0.2.200"));
        assert_eq!(misses_until_spent(&budgets, guesser, at(1000)), 60);
        assert!(budgets.is_spent(neighbour, at(1000)), "of the same network");
        assert!(!budgets.is_spent(address("198.51.100.1"), at(1000)));
        // One charge too many, so two seconds for the first one.
        assert!(budgets.is_spent(guesser, at(1001)));
        assert!(!budgets.is_spent(guesser, at(1002)));
        assert_eq!(misses_until_spent(&budgets, guesser, at(1061)), 60);
    }

    #[test]
    fn whoever_goes_on_asking_is_not_shut_out_for_ever() {
        let budgets = MissBudgets::new(60);
        let guesser = address("2001:db8:1::1");
        for _ in 0..10_000 {
            budgets.charge(guesser, at(0));
        }
        assert!(budgets.is_spent(guesser, at(0)));
        assert!(!budgets.is_spent(guesser, at(2)));
        budgets.charge(guesser, at(5_000));
        assert!(!budgets.is_spent(guesser, at(0)), "the clock was set back");
    }

    #[test]
    fn zero_is_no_limit() {
        let budgets = MissBudgets::new(0);
        assert_eq!(misses_until_spent(&budgets, address("192.0.2.1"), at(0)), 1000);
    }
}
