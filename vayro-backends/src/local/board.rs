//! Reports of edges inside one process.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use vayro_core::ports::{EdgeReports, StreamError};
use vayro_core::stream::EdgeReport;
use vayro_core::timestamp::Timestamp;

/// Most edges remembered; beyond, the one that was silent longest is forgotten.
const EDGES_MAX: usize = 64;

/// The newest report of each edge of this process.
#[derive(Debug, Default)]
pub struct LocalReports(Mutex<BTreeMap<String, EdgeReport>>);

#[async_trait]
impl EdgeReports for LocalReports {
    async fn report(&self, report: &EdgeReport) -> Result<(), StreamError> {
        let mut reports = self.0.lock();
        reports.insert(report.edge.clone(), report.clone());
        if reports.len() > EDGES_MAX {
            let oldest = reports.values().min_by_key(|report| report.at).map(|report| report.edge.clone());
            if let Some(oldest) = oldest {
                reports.remove(&oldest);
            }
        }
        Ok(())
    }

    async fn list(&self, since: Timestamp) -> Result<Vec<EdgeReport>, StreamError> {
        Ok(self.0.lock().values().filter(|report| report.at >= since).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn edges_that_came_and_went_do_not_pile_up() {
        let reports = LocalReports::default();
        for n in 0..200 {
            let report = EdgeReport {
                edge: format!("edge:{n}"),
                clicks_accepted: 0,
                clicks_shipped: 0,
                clicks_dropped: 0,
                spool_bytes: 0,
                spool_clicks: 0,
                spool_oldest_ms: None,
                at: Timestamp::from_micros(n).expect("in range"),
            };
            reports.report(&report).await.expect("stored");
        }
        let list = reports.list(Timestamp::EPOCH).await.expect("a list");
        assert_eq!(list.len(), EDGES_MAX);
        assert!(list.iter().any(|report| report.edge == "edge:199"));
    }
}
