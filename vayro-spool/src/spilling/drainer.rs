//! Feeds the spool back to the stream.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::sync::watch;
use tokio::time::Instant;
use vayro_core::click::Click;

use super::Shared;
use crate::log::{Position, READ_PAUSE, ReadLimit};
use crate::payload;
use crate::spool::{Spool, SpoolError};

/// Most clicks fed back at once.
const BATCH: ReadLimit = ReadLimit { records: 256, bytes: 1 << 20 };
/// First and longest pause after a batch was not taken.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

pub(super) struct Drainer {
    shared: Arc<Shared>,
    spool: Spool,
    /// What to read next; `None` before the log said where it stands.
    position: Option<Position>,
    pause: Duration,
}

impl Drainer {
    pub(super) fn new(shared: Arc<Shared>, spool: Spool) -> Self {
        Self { shared, spool, position: None, pause: PAUSES.0 }
    }

    /// Runs until `stopping` turns true or the spool is closed.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut end = self.spool.end();
        loop {
            end.borrow_and_update();
            let work = self.feed_batch();
            let next = tokio::select! {
                biased;
                _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
                next = work => next,
            };
            tokio::select! {
                biased;
                _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
                () = async {
                    match next {
                        Next::At(at) => tokio::time::sleep_until(at).await,
                        // An error means that the spool is closed; then the next read says so.
                        Next::OnAppend => drop(end.changed().await),
                        Next::Closed => std::future::pending().await,
                    }
                } => {}
            }
        }
    }

    /// Feeds one batch to the stream and settles it, and says when to go on.
    async fn feed_batch(&mut self) -> Next {
        let began = Instant::now();
        let from = self.position;
        let read = self
            .spool
            .run(move |log| {
                let mut position = from.unwrap_or(Position::at(log.cursor()));
                log.read(&mut position, BATCH).map(|records| (records, position))
            })
            .await;
        let (records, position) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => {
                tracing::error!(error = %error, "cannot read the spool");
                return Next::At(began + READ_PAUSE);
            }
            Err(_) => return Next::Closed,
        };
        if records.is_empty() && from.is_some_and(|from| from.seq == position.seq) {
            return Next::OnAppend;
        }
        let clicks: Vec<Click> = records
            .iter()
            .filter_map(|record| match Click::decode(&payload::to_fields(&record.payload)) {
                Ok(click) => Some(click),
                Err(error) => {
                    // Its checksum is right, so a newer or broken program wrote it; nobody can use it.
                    tracing::error!(spool.seq = record.seq, error = %error, "a spooled record is no click");
                    None
                }
            })
            .collect();
        if !clicks.is_empty() && self.shared.offer(&clicks).await.is_err() {
            // Some jitter keeps many edges from coming back in step.
            let wait = self.pause.mul_f64(rand::rng().random_range(0.5..1.0));
            self.pause = (self.pause * 2).min(PAUSES.1);
            return Next::At(Instant::now() + wait);
        }
        self.pause = PAUSES.0;
        self.position = Some(position);
        if let Err(SpoolError::Closed) = self.settle(position).await {
            return Next::Closed;
        }
        let rate = f64::from(self.shared.options.drain_rate.max(1));
        Next::At(
            began
                + Duration::from_secs_f64(f64::from(u32::try_from(records.len()).unwrap_or(u32::MAX)) / rate),
        )
    }

    async fn settle(&self, position: Position) -> Result<(), SpoolError> {
        let settled = self
            .spool
            .run(move |log| {
                log.settle(position.seq);
                log.trim(None).and_then(|_| log.oldest(Some(position)))
            })
            .await?;
        if let Err(error) = settled {
            // The clicks are in the stream; after a crash they would be fed to it once more.
            tracing::warn!(error = %error, "cannot give back the spool's disk");
        }
        Ok(())
    }
}

/// When to go on.
enum Next {
    At(Instant),
    OnAppend,
    Closed,
}
