//! Keeps clicks on disk while their stream is away.

mod drainer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vayro_core::click::Click;
use vayro_core::ports::{BoxError, ClickSink, SinkError, SpoolStats};

use crate::payload;
use crate::spool::{Spool, SpoolError};
use drainer::Drainer;

/// How clicks get past a stream that is away.
#[derive(Clone, Copy, Debug)]
pub struct SpillingOptions {
    /// How long the stream may take for one batch before the batch is spooled. Whoever calls
    /// [`ClickSink::append`] should wait longer than that.
    pub append_timeout: Duration,
    /// Spooled clicks per second fed back to the stream; at least one.
    pub drain_rate: u32,
}

/// A sink that puts clicks into its spool when the stream in front of it is away, and feeds them back
/// once it answers again: first in, first out, at a limited rate.
///
/// New clicks do not queue behind spooled ones: as soon as the stream answers they go straight to it,
/// while the spool empties beside them at its own pace. Each click carries its time, so nothing
/// downstream depends on the order between the two, and recovery cannot starve what happens now.
///
/// After a failure every click goes to the spool without another try, so a dead stream costs one time
/// limit and not one per batch. The task that empties the spool finds out when the stream is back.
///
/// A batch whose fate at the stream is unknown is spooled under the same ids, and arrives twice at
/// worst; the worker tells by the ids.
///
/// The spool may come later, see [`SpillingSink::attach`]. Until then every batch is offered to the stream, and
/// what it does not take stays with the caller.
pub struct SpillingSink {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    drainer: Mutex<Option<JoinHandle<()>>>,
}

/// What sink and drainer both see.
struct Shared {
    inner: Arc<dyn ClickSink>,
    spool: OnceLock<Spool>,
    options: SpillingOptions,
    /// Whether the last try failed.
    is_away: AtomicBool,
}

impl SpillingSink {
    /// Puts `spool` behind `inner` and starts feeding back what it holds, on the current runtime.
    pub fn start(inner: Arc<dyn ClickSink>, spool: Spool, options: SpillingOptions) -> Self {
        let sink = Self::without_spool(inner, options);
        sink.attach(spool);
        sink
    }

    /// Puts nothing behind `inner` yet.
    pub fn without_spool(inner: Arc<dyn ClickSink>, options: SpillingOptions) -> Self {
        let shared =
            Arc::new(Shared { inner, spool: OnceLock::new(), options, is_away: AtomicBool::new(false) });
        Self { shared, stop: watch::Sender::new(false), drainer: Mutex::new(None) }
    }

    /// Puts `spool` behind the stream, if nothing is there yet, and starts feeding back what it holds, on the current
    /// runtime.
    pub fn attach(&self, spool: Spool) {
        if self.shared.spool.set(spool.clone()).is_ok() {
            let drainer = Drainer::new(Arc::clone(&self.shared), spool);
            *self.drainer.lock() = Some(tokio::spawn(drainer.run(self.stop.subscribe())));
        }
    }

    /// Ends the feeding back, forces the spool to the disk and closes it. What it still holds is fed
    /// back after the next start.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Disk`] when not everything could be forced to the disk.
    pub async fn close(&self) -> Result<(), SpoolError> {
        self.stop.send_replace(true);
        let drainer = self.drainer.lock().take();
        if let Some(drainer) = drainer
            && let Err(error) = drainer.await
        {
            tracing::error!(error = &error as &dyn std::error::Error, "the task that empties the spool died");
        }
        match self.shared.spool.get() {
            Some(spool) => spool.close().await,
            None => Ok(()),
        }
    }
}

impl Shared {
    /// Offers a batch to the stream, within the time limit, and remembers how it went; also when the
    /// caller gives up before.
    async fn offer(&self, clicks: &[Click]) -> Result<(), BoxError> {
        let mut outcome = Outcome { shared: self, is_taken: false };
        let answer = tokio::time::timeout(self.options.append_timeout, self.inner.append(clicks)).await;
        match answer {
            Ok(Ok(())) => {
                outcome.is_taken = true;
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(elapsed) => Err(elapsed.into()),
        }
    }
}

/// Notes on drop how an offer ended, so that a dropped future counts as a failure.
struct Outcome<'a> {
    shared: &'a Shared,
    is_taken: bool,
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        let was_away = self.shared.is_away.swap(!self.is_taken, Ordering::Relaxed);
        match (was_away, self.is_taken) {
            (false, false) => tracing::warn!("the click stream is away; clicks go to the spool"),
            (true, true) => tracing::info!("the click stream is back"),
            (false, true) | (true, false) => {}
        }
    }
}

#[async_trait]
impl ClickSink for SpillingSink {
    async fn append(&self, clicks: &[Click]) -> Result<(), SinkError> {
        if clicks.is_empty() {
            return Ok(());
        }
        let Some(spool) = self.shared.spool.get() else {
            return self.shared.offer(clicks).await.map_err(SinkError);
        };
        let is_tried = !self.shared.is_away.load(Ordering::Relaxed);
        if is_tried && self.shared.offer(clicks).await.is_ok() {
            return Ok(());
        }
        let payloads = clicks.iter().map(payload::of_click).collect();
        match spool.append(payloads).await {
            Ok(()) => Ok(()),
            // With a spool that is full or broken the stream is the only hope left.
            Err(_) if !is_tried && self.shared.offer(clicks).await.is_ok() => Ok(()),
            Err(error) => Err(SinkError(error.into())),
        }
    }

    /// Counts as dropped what the spool had taken and lost to a broken disk. What it refuses is the
    /// caller's to keep or to drop, and to count.
    fn spool_stats(&self) -> SpoolStats {
        let Some(level) = self.shared.spool.get().map(Spool::level) else { return SpoolStats::default() };
        SpoolStats {
            bytes: level.backlog_bytes,
            clicks: level.backlog,
            oldest: level.oldest,
            dropped: level.lost,
        }
    }
}
