//! The end clicks come out at.

use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use vayro_core::failpoint;
use vayro_core::ids::ClickId;
use vayro_core::page::Page;
use vayro_core::ports::{ClickStream, StreamError};
use vayro_core::purge::ClickSelector;
use vayro_core::stream::{
    BoundedCount, ConsumerStats, Delivery, DeliveryId, NewDeadLetter, StreamStats, Unsettled,
};
use vayro_core::timestamp::Timestamp;

use super::EmbeddedClicks;
use crate::log::{Position, ReadLimit};
use crate::spool::SpoolError;

/// Entries looked at at a time while the place of a replay is looked for.
const REPLAY_STEP: ReadLimit = ReadLimit { records: 4096, bytes: 1 << 20 };

/// Hands out the clicks of the embedded stream. Clones and siblings are one consumer: the set has one
/// process, and a process has one worker.
#[derive(Clone, Debug)]
pub struct SpoolClickStream(EmbeddedClicks);

impl SpoolClickStream {
    pub(super) const fn new(clicks: EmbeddedClicks) -> Self {
        Self(clicks)
    }
}

/// Flattens what the thread and the disk say.
pub(super) fn flat<T>(result: Result<io::Result<T>, SpoolError>) -> Result<T, StreamError> {
    result.and_then(|inner| inner.map_err(SpoolError::Disk)).map_err(|error| StreamError(error.into()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl ClickStream for SpoolClickStream {
    async fn next_batch(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>, StreamError> {
        let deadline = tokio::time::Instant::now() + wait;
        let mut end = self.0.spool.end();
        loop {
            end.borrow_and_update();
            let mut available = pin!(self.0.available.notified());
            available.as_mut().enable();
            let take = move |log: &mut _, state: &mut super::State| {
                state.consumer.next_batch(log, max.get(), Instant::now())
            };
            let batch = flat(self.0.run(take).await)?;
            if !batch.is_empty() {
                return Ok(batch);
            }
            tokio::select! {
                changed = end.changed() => {
                    changed.map_err(|_| StreamError(SpoolError::Closed.into()))?;
                }
                () = available => {}
                () = tokio::time::sleep_until(deadline) => return Ok(batch),
            }
        }
    }

    async fn reclaim(&self, max: NonZeroUsize, min_idle: Duration) -> Result<Vec<Delivery>, StreamError> {
        flat(
            self.0
                .run(move |log, state| state.consumer.reclaim(log, max.get(), min_idle, Instant::now()))
                .await,
        )
    }

    async fn ack(&self, ids: &[DeliveryId]) -> Result<(), StreamError> {
        let ids = ids.to_vec();
        let done = flat(self.0.run(move |log, state| state.consumer.ack(log, &ids)).await);
        self.0.available.notify_waiters();
        done
    }

    async fn dead_letter(&self, letters: &[NewDeadLetter]) -> Result<(), StreamError> {
        let letters = letters.to_vec();
        let work = move |log: &mut crate::log::SegmentLog, state: &mut super::State| {
            for letter in &letters {
                // The letter is on the disk before its entry is settled. In between a crash leaves both,
                // and the entry, handed out again, becomes the same letter.
                if state.consumer.holds(&letter.delivery.id) {
                    state.letters.write(log.side_files().0, letter)?;
                    failpoint::hit(failpoint::MID_DEAD_LETTER);
                    state.consumer.ack(log, [&letter.delivery.id])?;
                }
            }
            Ok(())
        };
        let done = flat(self.0.run(work).await);
        self.0.available.notify_waiters();
        done
    }

    async fn trim(&self, window: Duration, now: Timestamp) -> Result<u64, StreamError> {
        flat(self.0.run(move |log, _| log.trim(Some(now.minus(window)))).await)
    }

    async fn stats(&self, now: Timestamp) -> Result<StreamStats, StreamError> {
        let name = self.0.name.to_string();
        let work = move |log: &mut crate::log::SegmentLog, state: &mut super::State| {
            let waiting_since = state.consumer.oldest_waiting(log)?;
            let consumer = state.consumer.state(Instant::now());
            Ok(StreamStats {
                undelivered: BoundedCount {
                    count: log.next_seq() - consumer.handed_out.min(log.next_seq()),
                    is_capped: false,
                },
                undelivered_oldest_ms: waiting_since.map(|at| millis(now.since(at))),
                pending: consumer.held,
                pending_oldest_ms: consumer.oldest_held.map(millis),
                length: log.len(),
                added_total: Some(log.next_seq()),
                acked_total: Some(consumer.settled),
                dead_letters: state.letters.count() as u64,
                shards: Vec::new(),
                server_lag: None,
                consumers: consumer
                    .idle
                    .map(|idle| ConsumerStats { name, pending: consumer.held, idle_ms: millis(idle) })
                    .into_iter()
                    .collect(),
            })
        };
        flat(self.0.run(work).await)
    }

    async fn unsettled(&self, max: u64) -> Result<Unsettled, StreamError> {
        flat(self.0.run(move |log, state| state.consumer.unsettled(log, max)).await)
    }

    async fn replay(&self, since: Timestamp) -> Result<BoundedCount, StreamError> {
        // The place is looked for in steps, so that clicks get in meanwhile.
        let mut position = None;
        loop {
            let from = position;
            let step = move |log: &mut crate::log::SegmentLog, state: &mut super::State| {
                let mut position = from.unwrap_or_else(|| Position::at(log.next_seq() - log.len()));
                let before = position.seq;
                let records = log.read(&mut position, REPLAY_STEP)?;
                let found = records.iter().find(|record| record.at >= since).map(|record| record.seq);
                if found.is_none() && position.seq != before {
                    return Ok((position, None));
                }
                let count = found.map_or(Ok(0), |seq| state.consumer.rewind(log, seq))?;
                Ok((position, Some(count)))
            };
            let (reached, count) = flat(self.0.run(step).await)?;
            if let Some(count) = count {
                self.0.available.notify_waiters();
                return Ok(BoundedCount { count, is_capped: false });
            }
            position = Some(reached);
        }
    }

    /// A log cannot lose one record. What is settled goes with all other settled records, which gives up the
    /// window; what is not goes when it is settled, and must be left out by whoever it is handed to.
    async fn purge(
        &self,
        selector: &ClickSelector,
        after: Option<&str>,
    ) -> Result<Page<ClickId, String>, StreamError> {
        let (selector, from) = (*selector, after.and_then(|after| after.parse().ok()).unwrap_or(0));
        let work = move |log: &mut crate::log::SegmentLog, state: &mut super::State| {
            state.consumer.purge(log, &selector, from)
        };
        let (items, next) = flat(self.0.run(work).await)?;
        Ok(Page { items, next: next.map(|seq| seq.to_string()) })
    }

    async fn leave(&self) -> Result<(), StreamError> {
        flat(
            self.0
                .run(|log, state| {
                    state.consumer.leave();
                    log.save_cursor()
                })
                .await,
        )
    }
}
