//! Tells the rest of the instance how this edge is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vayro_core::ledger::EdgeLedger;
use vayro_core::ports::{EdgeReports, LedgerStore};
use vayro_core::stream::EdgeReport;

use crate::clicks::Losses;
use crate::log_limit::LogLimit;
use crate::shared::Shared;
use crate::shutdown::until_told;

/// How often.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How long one report may take.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the count of clicks may stay untold while it does not change; telling also says that the edge
/// is alive.
const LEDGER_REPEAT: Duration = Duration::from_secs(30);

/// Where an edge says how it is and what it counted.
#[derive(Clone)]
pub(crate) struct Boards {
    pub(crate) reports: Arc<dyn EdgeReports>,
    pub(crate) ledger: Arc<dyn LedgerStore>,
}

impl Boards {
    /// Tells both; called a last time when the clicks are flushed.
    pub(crate) async fn send(&self, shared: &Shared, failures: &LogLimit) {
        drop(tell(shared, &*self.ledger, None, failures).await);
        send(shared, &*self.reports, failures).await;
    }
}

/// Reports until `stopping` turns true.
pub(crate) async fn keep_reporting(shared: Arc<Shared>, boards: Boards, mut stopping: watch::Receiver<bool>) {
    let (failures, ledger_failures) = (LogLimit::new(), LogLimit::new());
    let mut told = None;
    loop {
        // The two go to different places, and neither waits for the other's outage.
        let (now_told, ()) = tokio::join!(
            tell(&shared, &*boards.ledger, told.as_ref(), &ledger_failures),
            send(&shared, &*boards.reports, &failures)
        );
        told = now_told.or(told);
        tokio::select! {
            () = tokio::time::sleep(REPORT_EVERY) => {}
            () = until_told(&mut stopping) => return,
        }
    }
}

/// Saves the ledger and has it recorded, unless it is the same as was `told` a short while ago. Returns what
/// was recorded.
async fn tell(
    shared: &Shared,
    ledger: &dyn LedgerStore,
    told: Option<&EdgeLedger>,
    failures: &LogLimit,
) -> Option<EdgeLedger> {
    let now = (shared.clock)();
    let losses = Losses {
        ring_full: shared.metrics.clicks_dropped_ring_full.get(),
        disk: shared.sink.spool_stats().dropped,
    };
    shared.ledger.lose(losses, now);
    let current = shared.ledger.current(now);
    let mut all = shared.ledger.earlier();
    let is_known = told.is_some_and(|told| told.days == current.days && now.since(told.at) < LEDGER_REPEAT);
    if is_known && !current.is_over && all.is_empty() {
        return None;
    }
    shared.ledger.save(now).await;
    all.push(current.clone());
    match tokio::time::timeout(REPORT_TIMEOUT, ledger.record(&all)).await {
        Ok(Ok(())) => {
            shared.ledger.recorded(&all, now).await;
            return Some(current);
        }
        Ok(Err(error)) => {
            if let Some(held_back) = failures.turn(now) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, held_back, "the count of accepted clicks is not recorded yet");
            }
        }
        Err(_) => {
            if let Some(held_back) = failures.turn(now) {
                tracing::warn!(held_back, "recording the count of accepted clicks took too long");
            }
        }
    }
    None
}

/// Reports once.
async fn send(shared: &Shared, reports: &dyn EdgeReports, failures: &LogLimit) {
    let report = current(shared);
    match tokio::time::timeout(REPORT_TIMEOUT, reports.report(&report)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            if let Some(held_back) = failures.turn(report.at) {
                tracing::warn!(error = &error as &dyn std::error::Error, held_back, "edge report failed");
            }
        }
        Err(_) => {
            if let Some(held_back) = failures.turn(report.at) {
                tracing::warn!(held_back, "edge report took too long");
            }
        }
    }
}

fn current(shared: &Shared) -> EdgeReport {
    let now = (shared.clock)();
    let metrics = &shared.metrics;
    let spool = shared.sink.spool_stats();
    EdgeReport {
        edge: shared.name.as_ref().to_owned(),
        clicks_accepted: metrics.clicks_accepted.get(),
        clicks_shipped: metrics.clicks_shipped.get(),
        clicks_dropped: metrics.clicks_dropped_ring_full.get()
            + metrics.clicks_dropped_shutdown.get()
            + spool.dropped,
        spool_bytes: spool.bytes,
        spool_clicks: spool.clicks,
        spool_oldest_ms: spool
            .oldest
            .map(|oldest| u64::try_from(now.since(oldest).as_millis()).unwrap_or(u64::MAX)),
        at: now,
    }
}
