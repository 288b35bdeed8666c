//! Tells the rest of the instance how this edge is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vayro_core::ports::EdgeReports;
use vayro_core::stream::EdgeReport;

use crate::log_limit::LogLimit;
use crate::shared::Shared;
use crate::shutdown::until_told;

/// How often.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How long one report may take.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Reports until `stopping` turns true.
pub(crate) async fn keep_reporting(
    shared: Arc<Shared>,
    reports: Arc<dyn EdgeReports>,
    mut stopping: watch::Receiver<bool>,
) {
    let failures = LogLimit::new();
    loop {
        send(&shared, &*reports, &failures).await;
        tokio::select! {
            () = tokio::time::sleep(REPORT_EVERY) => {}
            () = until_told(&mut stopping) => return,
        }
    }
}

/// Reports once; called a last time when the clicks are flushed.
pub(crate) async fn send(shared: &Shared, reports: &dyn EdgeReports, failures: &LogLimit) {
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
        spool_oldest_ms: spool
            .oldest
            .map(|oldest| u64::try_from(now.since(oldest).as_millis()).unwrap_or(u64::MAX)),
        at: now,
    }
}
