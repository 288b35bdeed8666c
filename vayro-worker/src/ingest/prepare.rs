//! From stream entries to rows.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use vayro_core::click::{Click, ClickRow};
use vayro_core::stream::{DeadReason, Delivery, NewDeadLetter};
use vayro_core::timestamp::Timestamp;

use super::salts::{Day, day_of};
use super::{Abandoned, Pipeline};
use crate::enrich::{Enricher, Salt};
use crate::stop::Stop;

/// A batch that is ready to be written.
#[derive(Default)]
pub(super) struct Prepared {
    /// One row per entry of `deliveries`, in the same order.
    pub(super) rows: Vec<ClickRow>,
    pub(super) deliveries: Vec<Delivery>,
    /// Entries that make no row.
    pub(super) dead: Vec<NewDeadLetter>,
}

/// A batch whose entries were read.
#[derive(Default)]
struct Decoded {
    clicks: Vec<Click>,
    deliveries: Vec<Delivery>,
    dead: Vec<NewDeadLetter>,
}

impl Pipeline {
    /// Decodes and enriches a batch on a blocking thread.
    pub(super) async fn prepare(
        &self,
        deliveries: Vec<Delivery>,
        stop: &mut Stop,
    ) -> Result<Prepared, Abandoned> {
        let permit = self.enriching.acquire().await.expect("the semaphore is never closed");
        let now = (self.deps.clock)();
        let decoded = blocking(move || decode(deliveries, now)).await;
        // Waiting for the database must not keep others from enriching.
        drop(permit);
        let days: BTreeSet<Day> = decoded.clicks.iter().map(|click| day_of(click.timestamp())).collect();
        let salts = self.salts_of(&days, stop).await?;

        let _permit = self.enriching.acquire().await.expect("the semaphore is never closed");
        let enricher = Arc::clone(&self.enricher);
        let timer = self.metrics.enrich_seconds.start_timer();
        let prepared = blocking(move || enrich(decoded, &enricher, &salts, now)).await;
        timer.observe_duration();
        Ok(prepared)
    }

    /// Returns the salts of `days`, waiting out an outage.
    async fn salts_of(
        &self,
        days: &BTreeSet<Day>,
        stop: &mut Stop,
    ) -> Result<BTreeMap<Day, Salt>, Abandoned> {
        let mut backoff = self.backoff();
        loop {
            match self.salts.of(days.iter().copied(), (self.deps.clock)()).await {
                Ok(salts) => return Ok(salts),
                Err(error) => {
                    self.database.down(&error);
                    self.metrics.database_retries.inc();
                    if !backoff.wait(stop).await {
                        return Err(Abandoned);
                    }
                }
            }
        }
    }
}

/// Runs CPU-bound work where it does not hold up the network.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is being torn down; nothing awaits this task any more.
            Err(_) => std::future::pending().await,
        },
    }
}

fn decode(deliveries: Vec<Delivery>, now: Timestamp) -> Decoded {
    let mut decoded = Decoded::default();
    for delivery in deliveries {
        match guarded(|| Click::decode(&delivery.fields)) {
            Ok(Ok(click)) => {
                decoded.clicks.push(click);
                decoded.deliveries.push(delivery);
            }
            Ok(Err(error)) => {
                decoded.dead.push(letter(delivery, DeadReason::Undecodable, error.to_string(), now));
            }
            Err(panic) => decoded.dead.push(letter(delivery, DeadReason::Crashed, panic, now)),
        }
    }
    decoded
}

fn enrich(decoded: Decoded, enricher: &Enricher, salts: &BTreeMap<Day, Salt>, now: Timestamp) -> Prepared {
    let mut prepared = Prepared {
        rows: Vec::with_capacity(decoded.clicks.len()),
        deliveries: Vec::with_capacity(decoded.clicks.len()),
        dead: decoded.dead,
    };
    for (click, delivery) in decoded.clicks.into_iter().zip(decoded.deliveries) {
        let salt = salts.get(&day_of(click.timestamp()));
        match guarded(|| enricher.enrich(click, salt)) {
            Ok(row) => {
                prepared.rows.push(row);
                prepared.deliveries.push(delivery);
            }
            Err(panic) => prepared.dead.push(letter(delivery, DeadReason::Crashed, panic, now)),
        }
    }
    prepared
}

/// Runs `work` on one click. A panic is a bug, but it must cost one click and not the batch.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| format!("panicked: {}", message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// Makes a dead letter of an entry.
pub(super) fn letter(delivery: Delivery, reason: DeadReason, error: String, at: Timestamp) -> NewDeadLetter {
    NewDeadLetter { delivery, reason, error, at }
}

/// Returns how long ago the newest of the rows was accepted.
pub(super) fn lag(rows: &[ClickRow], now: Timestamp) -> Option<Duration> {
    rows.iter().map(|row| row.timestamp).max().map(|newest| now.since(newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_one_click_and_says_why() {
        assert_eq!(guarded(|| 1), Ok(1));
        let number = 7;
        assert_eq!(guarded(|| panic!("click {number}")), Err::<(), _>("panicked: click 7".to_owned()));
        assert_eq!(guarded(|| panic!("plain")), Err::<(), _>("panicked: plain".to_owned()));
    }
}
