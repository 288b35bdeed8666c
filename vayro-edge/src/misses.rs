//! How many unknown codes a network may ask for.
//!
//! Who guesses codes asks for many that lead nowhere. A network that did so within the last minute is not told about
//! further codes that are not in memory until it has been quiet for a while; links in memory are served to everybody.
//!
//! A code is charged before it is looked up and given back if it leads somewhere: while look-ups are slow, any number of
//! guesses would be on their way before the first one is known to be one. Who finds the budget taken by look-ups that
//! run, and not by misses, waits for them.
//!
//! Tables of a fixed size, in each of which networks share places by chance; a network has used up its budget only if both
//! of its places say so. Nobody can choose whom to share with: the hashes have keys.

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
    /// What was charged.
    charged: [Table; 2],
    /// The part of it that is known to be misses.
    missed: [Table; 2],
    /// How long it takes until one more miss is allowed; zero if all are.
    micros_per_miss: i64,
    alerts: LogLimit,
}

/// What came of charging a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// It was charged.
    Taken,
    /// It is taken by look-ups that run; some of it may come back.
    Busy,
    /// It is used up by misses.
    Spent,
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
        let tables = || [Table::new(), Table::new()];
        Self { charged: tables(), missed: tables(), micros_per_miss, alerts: LogLimit::new() }
    }

    /// Says in the log that a visitor was turned away.
    pub(crate) fn alert(&self, now: Timestamp) {
        if let Some(held_back) = self.alerts.turn(now) {
            // Without the network: logs say nothing about visitors.
            tracing::warn!(held_back, "a network asks for many unknown codes, somebody may be guessing");
        }
    }

    /// Takes a code from the budget of the network of `visitor`.
    pub(crate) fn charge(&self, visitor: IpAddr, now: Timestamp) -> Charge {
        let (now, visitor) = (now.as_micros(), network(visitor));
        if self.move_to(&self.charged, visitor, |whole_at| self.after_one(whole_at, now)) {
            return Charge::Taken;
        }
        let may_miss =
            |table: &Table| self.after_one(table.place(visitor).load(Ordering::Relaxed), now).is_some();
        if self.missed.iter().any(may_miss) { Charge::Busy } else { Charge::Spent }
    }

    fn miss(&self, visitor: IpAddr, now: Timestamp) {
        let now = now.as_micros();
        self.move_to(&self.missed, network(visitor), |whole_at| self.after_one(whole_at, now));
    }

    /// Keeps what [`Self::charge`] took for a miss, and gives it back for anything else; `now`, that is, not when it was
    /// taken: a miss of a moment for which the budget is used up by now would not be noted.
    pub(crate) fn settle(&self, visitor: IpAddr, now: Timestamp, is_miss: bool) {
        if is_miss {
            self.miss(visitor, now);
        } else {
            self.give_back(visitor);
        }
    }

    fn give_back(&self, visitor: IpAddr) {
        let step = self.micros_per_miss;
        self.move_to(&self.charged, network(visitor), |whole_at| Some(whole_at.saturating_sub(step)));
    }

    /// Returns when a budget will be whole again after one more is taken at `now`; `None` if there is none left.
    fn after_one(&self, whole_at: i64, now: i64) -> Option<i64> {
        // A clock that was set back must not shut anybody out for longer.
        let is_credible = whole_at <= now.saturating_add(2 * MINUTE_MICROS);
        let whole_at = if is_credible { whole_at.max(now) } else { now };
        let latest = now.saturating_add(MINUTE_MICROS - self.micros_per_miss);
        (whole_at <= latest).then(|| whole_at.saturating_add(self.micros_per_miss))
    }

    /// Moves both places of a network as `change` says, and tells whether either was moved.
    fn move_to(&self, tables: &[Table; 2], network: IpAddr, change: impl Fn(i64) -> Option<i64>) -> bool {
        if self.micros_per_miss == 0 {
            return true;
        }
        tables.iter().fold(false, |is_moved, table| {
            let place = table.place(network);
            is_moved | place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, &change).is_ok()
        })
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

    fn misses_until_spent(budgets: &MissBudgets, visitor: IpAddr, now: Timestamp) -> usize {
        (0..1000)
            .take_while(|_| {
                let is_left = budgets.charge(visitor, now) == Charge::Taken;
                if is_left {
                    budgets.miss(visitor, now);
                }
                is_left
            })
            .count()
    }

    #[test]
    fn a_network_has_its_budget_and_gets_it_back_over_a_minute() {
        let budgets = MissBudgets::new(60);
        let (guesser, neighbour) = (address("192.0.2.1"), address("192.0.2.200"));
        assert_eq!(misses_until_spent(&budgets, guesser, at(1000)), 60);
        assert_eq!(budgets.charge(neighbour, at(1000)), Charge::Spent, "of the same network");
        assert_eq!(budgets.charge(address("198.51.100.1"), at(1000)), Charge::Taken);
        assert_eq!(misses_until_spent(&budgets, guesser, at(1002)), 2);
        assert_eq!(misses_until_spent(&budgets, guesser, at(1062)), 60);
    }

    #[test]
    fn whoever_goes_on_asking_is_not_shut_out_for_ever() {
        let budgets = MissBudgets::new(60);
        let guesser = address("2001:db8:1::1");
        for _ in 0..100 {
            misses_until_spent(&budgets, guesser, at(5_000));
        }
        assert_eq!(budgets.charge(guesser, at(5_000)), Charge::Spent);
        assert_eq!(misses_until_spent(&budgets, guesser, at(5_001)), 1);
        assert_eq!(budgets.charge(guesser, at(0)), Charge::Taken, "the clock was set back");
    }

    #[test]
    fn what_is_given_back_can_be_spent_again() {
        let budgets = MissBudgets::new(60);
        let visitor = address("192.0.2.1");
        for _ in 0..1000 {
            assert_eq!(budgets.charge(visitor, at(0)), Charge::Taken);
            budgets.give_back(visitor);
        }
        assert_eq!(misses_until_spent(&budgets, visitor, at(0)), 60);
    }

    #[test]
    fn look_ups_that_run_are_waited_for_and_misses_are_not() {
        let budgets = MissBudgets::new(60);
        let visitor = address("192.0.2.1");
        for _ in 0..60 {
            assert_eq!(budgets.charge(visitor, at(0)), Charge::Taken);
        }
        assert_eq!(budgets.charge(visitor, at(0)), Charge::Busy);
        budgets.give_back(visitor);
        assert_eq!(budgets.charge(visitor, at(0)), Charge::Taken);
        for _ in 0..60 {
            assert_eq!(budgets.charge(visitor, at(0)), Charge::Busy);
            budgets.miss(visitor, at(0));
        }
        assert_eq!(budgets.charge(visitor, at(0)), Charge::Spent);
    }

    #[test]
    fn threads_have_one_budget_together() {
        let budgets = MissBudgets::new(60);
        let charge = || misses_until_spent(&budgets, address("192.0.2.1"), at(0));
        let charged: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(charge)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it counts")).sum()
        });
        // A place of each table is charged after the other, so that a few may find room in one only.
        assert!((60..=63).contains(&charged), "{charged}");
    }

    #[test]
    fn zero_is_no_limit() {
        let budgets = MissBudgets::new(0);
        assert_eq!(misses_until_spent(&budgets, address("192.0.2.1"), at(0)), 1000);
    }
}
