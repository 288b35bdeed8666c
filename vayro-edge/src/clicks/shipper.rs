//! From the rings to the sink.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use vayro_core::click::Click;
use vayro_core::ports::ClickSink;

use crate::log_limit::LogLimit;
use crate::shared::Shared;

/// Most clicks handed over at once.
const BATCH_MAX: usize = 512;
/// Pause between looks at the rings while clicks come in. Polling spares the redirect path the wake-up.
const POLL_EVERY: Duration = Duration::from_millis(5);
/// Pause while nothing happens.
const POLL_IDLE: Duration = Duration::from_millis(50);
/// Empty looks in a row before the shipper counts as idle.
const IDLE_AFTER: u32 = 200;
/// First and longest pause after a batch was not taken.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The shipper as its owner holds it.
#[derive(Debug)]
pub(crate) struct Shipper {
    task: tokio::task::JoinHandle<()>,
    finish: watch::Sender<bool>,
}

impl Shipper {
    /// Ships what is still in the rings and ends. Called when nobody accepts clicks any more.
    pub(crate) async fn finish(self) {
        self.finish.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(error = &error as &dyn std::error::Error, "click shipper died");
        }
    }
}

/// Starts the shipper on the current runtime.
pub(crate) fn ship(shared: Arc<Shared>) -> Shipper {
    let (finish, finishing) = watch::channel(false);
    let task = tokio::spawn(run(shared, finishing));
    Shipper { task, finish }
}

async fn run(shared: Arc<Shared>, mut finishing: watch::Receiver<bool>) {
    let failures = LogLimit::new();
    let mut batch: Vec<Click> = Vec::with_capacity(BATCH_MAX);
    let mut pause = RETRY_PAUSES.0;
    let mut empty_looks = 0_u32;
    let mut deadline = None;
    // What the sink took is saved with the next batch, or when none follows.
    let mut is_saved = true;
    loop {
        if deadline.is_none() && *finishing.borrow_and_update() {
            deadline = Some(Instant::now() + shared.settings.flush_timeout);
        }
        // A batch that was not taken is offered again as it is, before anything newer.
        let counted = batch.len();
        shared.rings.drain(&mut batch, BATCH_MAX);
        if batch.len() > counted {
            // Before the sink sees them: what can be found later must have been counted.
            shared.ledger.accept(&batch[counted..]);
            shared.ledger.save((shared.clock)()).await;
            is_saved = true;
        }
        if batch.is_empty() {
            if !is_saved {
                shared.ledger.save((shared.clock)()).await;
                is_saved = true;
            }
            if deadline.is_some() {
                return;
            }
            empty_looks = empty_looks.saturating_add(1);
            let pause = if empty_looks > IDLE_AFTER { POLL_IDLE } else { POLL_EVERY };
            rest(pause, &mut finishing).await;
            continue;
        }
        empty_looks = 0;
        if append(&shared, &failures, &batch).await {
            pause = RETRY_PAUSES.0;
            let is_full = batch.len() == BATCH_MAX;
            shared.ledger.ship(&batch);
            is_saved = false;
            batch.clear();
            if !is_full && deadline.is_none() {
                rest(POLL_EVERY, &mut finishing).await;
            }
            continue;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let counted = batch.len();
            shared.rings.drain(&mut batch, usize::MAX);
            let lost = batch.len();
            shared.ledger.accept(&batch[counted..]);
            shared.ledger.drop_at_shutdown(&batch);
            shared.metrics.clicks_dropped_shutdown.add(lost as u64);
            tracing::error!(clicks = lost, "clicks dropped at shutdown: the sink does not take them");
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSES.1);
    }
}

/// Sleeps, but not past the call to finish.
async fn rest(pause: Duration, finishing: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        _ = finishing.changed() => {}
    }
}

/// Offers the batch once and tells whether it was taken. After a time-out it may have been taken all the
/// same; offering the same ids again does no harm.
async fn append(shared: &Shared, failures: &LogLimit, batch: &[Click]) -> bool {
    let sink: &dyn ClickSink = &*shared.sink;
    let answer = tokio::time::timeout(shared.settings.click_timeout, sink.append(batch)).await;
    if let Ok(Ok(())) = answer {
        shared.metrics.clicks_shipped.add(batch.len() as u64);
        return true;
    }
    shared.metrics.click_appends_failed.add_one();
    if let Some(held_back) = failures.turn((shared.clock)()) {
        if let Ok(Err(error)) = answer {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, held_back, "clicks were not taken, offering them again");
        } else {
            tracing::warn!(held_back, "clicks were not taken in time, offering them again");
        }
    }
    false
}
