//! Rows into the database: outages are waited out, refused rows are found.

use std::ops::Range;
use std::sync::Arc;

use tokio::time::timeout;
use vayro_backends::causes;
use vayro_core::click::ClickRow;
use vayro_core::ports::{BoxError, WriteError, WriteOutcome};
use vayro_core::stream::{DeadReason, Delivery, NewDeadLetter};

use super::prepare::{lag, letter};
use super::{Abandoned, Pipeline, WRITE_TIMEOUT};
use crate::purges::KnownPurges;
use crate::stop::Stop;

/// The database refuses at least one of the rows.
struct Refused {
    reason: DeadReason,
    source: BoxError,
}

/// What became of rows.
enum Written {
    Stored(WriteOutcome),
    Refused(Refused),
    /// Purges were added meanwhile: some of the rows may not be wanted any more.
    Outdated,
}

impl Pipeline {
    /// Writes all rows the database accepts and returns the letters of the others. `deliveries` are those
    /// of the rows, in the same order. `None` if purges were added to those that the rows were compared with;
    /// then not all of them were written.
    pub(super) async fn store(
        &self,
        rows: Vec<ClickRow>,
        deliveries: &[Delivery],
        purges: &Arc<KnownPurges>,
        stop: &mut Stop,
    ) -> Result<Option<Vec<NewDeadLetter>>, Abandoned> {
        if rows.is_empty() {
            return Ok(Some(Vec::new()));
        }
        // Held through an outage: the database is asked by as many as it is written to, not by every batch.
        let _permit = self.writing.acquire().await.expect("the semaphore is never closed");
        let mut dead = Vec::new();
        let mut left: Vec<Range<usize>> = Vec::with_capacity(16);
        left.push(0..rows.len());
        while let Some(range) = left.pop() {
            let part = &rows[range.clone()];
            match self.write(part, purges, stop).await? {
                Written::Outdated => return Ok(None),
                Written::Stored(outcome) => self.count(part, outcome),
                Written::Refused(refused) if range.len() == 1 => {
                    let error = causes(&*refused.source);
                    dead.push(letter(
                        deliveries[range.start].clone(),
                        refused.reason,
                        error,
                        (self.deps.clock)(),
                    ));
                }
                Written::Refused(_) => {
                    let middle = range.start + range.len() / 2;
                    left.push(middle..range.end);
                    left.push(range.start..middle);
                }
            }
        }
        Ok(Some(dead))
    }

    /// Writes rows in one transaction, as often as it takes while the database is unavailable.
    async fn write(
        &self,
        rows: &[ClickRow],
        purges: &Arc<KnownPurges>,
        stop: &mut Stop,
    ) -> Result<Written, Abandoned> {
        let mut backoff = self.backoff();
        loop {
            // Rows may have waited for long, for their turn or through an outage.
            if !self.purges.is_current(purges) {
                return Ok(Written::Outdated);
            }
            let timer = self.metrics.write_seconds.start_timer();
            let written = timeout(WRITE_TIMEOUT, self.deps.clicks.write(rows)).await;
            timer.observe_duration();
            match written {
                Ok(Ok(outcome)) => {
                    self.database.up();
                    return Ok(Written::Stored(outcome));
                }
                Ok(Err(WriteError::Rejected { reason, source })) => {
                    // It answered, after all.
                    self.database.up();
                    return Ok(Written::Refused(Refused { reason, source }));
                }
                Ok(Err(error @ WriteError::Unavailable(_))) => self.database.down(&error),
                Err(elapsed) => self.database.down(&elapsed),
            }
            self.metrics.database_retries.inc();
            if !backoff.wait(stop).await {
                return Err(Abandoned);
            }
        }
    }

    fn count(&self, rows: &[ClickRow], outcome: WriteOutcome) {
        self.metrics.written(rows, outcome);
        if let Some(lag) = lag(rows, (self.deps.clock)()) {
            self.metrics.lag_seconds.observe(lag.as_secs_f64());
        }
    }
}
