//! The edge's own count of what it accepted.
//!
//! Counted here, on its way from the rings to the sink, and saved to the edge's disk before the sink sees
//! it. So what can be found later was always counted, and a process that is killed leaves at most the
//! clicks of the rings uncounted (which nobody has seen) and one batch of which nobody knows whether the
//! sink took it (which the figures tell apart).

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vayro_core::click::Click;
use vayro_core::day::Day;
use vayro_core::ledger::{DayCounts, EdgeLedger};
use vayro_core::ports::LedgerFile;
use vayro_core::timestamp::Timestamp;

use crate::log_limit::LogLimit;

/// Clicks dropped since start, as their counters say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    pub(crate) ring_full: u64,
    pub(crate) disk: u64,
}

/// The figures of this start.
pub(crate) struct Ledger {
    edge: Arc<str>,
    file: Arc<dyn LedgerFile>,
    state: Mutex<State>,
    failures: LogLimit,
}

#[derive(Default)]
struct State {
    days: BTreeMap<Day, DayCounts>,
    /// Losses already in `days`.
    seen: Losses,
    is_over: bool,
}

impl Ledger {
    pub(crate) fn new(edge: Arc<str>, file: Arc<dyn LedgerFile>) -> Self {
        Self { edge, file, state: Mutex::default(), failures: LogLimit::new() }
    }

    /// Counts clicks that were just taken out of the rings.
    pub(crate) fn accept(&self, clicks: &[Click]) {
        self.raise(clicks, |counts, clicks| counts.accepted += clicks);
    }

    /// Counts accepted clicks that the sink surely took.
    pub(crate) fn ship(&self, clicks: &[Click]) {
        self.raise(clicks, |counts, clicks| counts.shipped += clicks);
    }

    /// Counts accepted clicks that are dropped because the edge ends.
    pub(crate) fn drop_at_shutdown(&self, clicks: &[Click]) {
        self.raise(clicks, |counts, clicks| counts.shutdown += clicks);
    }

    fn raise(&self, clicks: &[Click], figure: impl Fn(&mut DayCounts, u64)) {
        let mut state = self.state.lock();
        // Nearly always one day.
        for clicks in clicks.chunk_by(|one, next| day_of(one) == day_of(next)) {
            figure(state.days.entry(day_of(&clicks[0])).or_default(), clicks.len() as u64);
        }
    }

    /// Counts what was lost since the last call, under the day that holds `now`.
    pub(crate) fn lose(&self, losses: Losses, now: Timestamp) {
        let mut state = self.state.lock();
        let ring_full = losses.ring_full.saturating_sub(state.seen.ring_full);
        let disk = losses.disk.saturating_sub(state.seen.disk);
        if ring_full + disk > 0 {
            state.seen = losses;
            let counts = state.days.entry(Day::of(now)).or_default();
            // They were to be counted, and were not let in.
            counts.accepted += ring_full;
            counts.ring_full += ring_full;
            counts.disk += disk;
        }
    }

    /// Says that nothing will be counted any more.
    pub(crate) fn finish(&self) {
        self.state.lock().is_over = true;
    }

    /// Returns the figures.
    pub(crate) fn current(&self, now: Timestamp) -> EdgeLedger {
        let state = self.state.lock();
        EdgeLedger {
            edge: self.edge.as_ref().to_owned(),
            is_over: state.is_over,
            at: now,
            days: state.days.iter().map(|(day, counts)| (*day, *counts)).collect(),
        }
    }

    /// Returns what earlier starts left.
    pub(crate) fn earlier(&self) -> Vec<EdgeLedger> {
        self.file.earlier()
    }

    /// Saves the figures. If the disk fails they stay in memory, clicks go on, and only a crash would lose
    /// them.
    pub(crate) async fn save(&self, now: Timestamp) {
        if let Err(error) = self.file.save(&self.current(now)).await
            && let Some(held_back) = self.failures.turn(now)
        {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, held_back, "the count of accepted clicks is not on the disk");
        }
    }

    /// Takes note that these figures are recorded for good: earlier starts are forgotten, and days that
    /// cannot change any more.
    pub(crate) async fn recorded(&self, ledgers: &[EdgeLedger], now: Timestamp) {
        let earlier: Vec<String> =
            ledgers.iter().map(|ledger| ledger.edge.clone()).filter(|edge| **edge != *self.edge).collect();
        if !earlier.is_empty() {
            self.file.forget(&earlier).await;
        }
        let Some(ours) = ledgers.iter().find(|ledger| *ledger.edge == *self.edge) else { return };
        // Clocks step; a day stays until nobody counts for it any more.
        let keep_from = Day::of(now).minus(2);
        let mut state = self.state.lock();
        for (day, counts) in &ours.days {
            if *day < keep_from && counts.unsettled() == 0 && state.days.get(day) == Some(counts) {
                state.days.remove(day);
            }
        }
    }
}

fn day_of(click: &Click) -> Day {
    Day::of(click.timestamp())
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use vayro_core::ids::ClickId;
    use vayro_core::ports::LedgerError;

    use super::*;
    use crate::clicks::bare_click;

    /// Keeps everything it was told.
    #[derive(Default)]
    struct Memory(Mutex<Vec<EdgeLedger>>);

    #[async_trait]
    impl LedgerFile for Memory {
        async fn save(&self, ledger: &EdgeLedger) -> Result<(), LedgerError> {
            self.0.lock().push(ledger.clone());
            Ok(())
        }

        fn earlier(&self) -> Vec<EdgeLedger> {
            Vec::new()
        }

        async fn forget(&self, _: &[String]) {}
    }

    fn at(day: i32) -> Timestamp {
        Day::from_number(day).expect("a day").start()
    }

    fn click(day: i32) -> Click {
        bare_click(ClickId::from_parts(at(day), [1; 10]))
    }

    fn day(ledger: &EdgeLedger, number: i32) -> Option<DayCounts> {
        ledger.days.iter().find(|(day, _)| day.number() == number).map(|(_, counts)| *counts)
    }

    #[tokio::test]
    async fn clicks_count_under_their_own_day_and_losses_once() {
        let file = Arc::new(Memory::default());
        let ledger = Ledger::new("one".into(), file.clone());
        let batch = [click(20_000), click(20_000), click(20_001)];
        ledger.accept(&batch);
        ledger.ship(&batch[..2]);
        ledger.drop_at_shutdown(&batch[2..]);
        for _ in 0..2 {
            ledger.lose(Losses { ring_full: 3, disk: 1 }, at(20_001));
        }
        ledger.save(at(20_001)).await;
        let saved = file.0.lock().pop().expect("saved");
        let counts = DayCounts { accepted: 2, shipped: 2, ..DayCounts::default() };
        assert_eq!(day(&saved, 20_000), Some(counts));
        let counts = DayCounts { accepted: 4, shipped: 0, ring_full: 3, shutdown: 1, disk: 1 };
        assert_eq!(day(&saved, 20_001), Some(counts));
    }

    #[tokio::test]
    async fn days_are_forgotten_when_they_are_recorded_old_and_settled() {
        let ledger = Ledger::new("one".into(), Arc::new(Memory::default()));
        let batch = [click(20_000), click(20_001), click(20_009)];
        ledger.accept(&batch);
        ledger.ship(&[batch[0].clone(), batch[2].clone()]);
        let told = ledger.current(at(20_009));
        ledger.recorded(std::slice::from_ref(&told), at(20_009)).await;
        let left: Vec<i32> = ledger.current(at(20_009)).days.iter().map(|(day, _)| day.number()).collect();
        assert_eq!(left, [20_001, 20_009], "one is not settled, one is of today");
        // What changed after it was told is told again.
        ledger.ship(&batch[1..2]);
        ledger.recorded(&[told], at(20_009)).await;
        assert_eq!(ledger.current(at(20_009)).days.len(), 2);
    }
}
