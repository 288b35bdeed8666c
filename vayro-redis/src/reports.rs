//! What edges say about themselves.

use std::collections::HashMap;

use async_trait::async_trait;
use vayro_core::ports::{EdgeReports, StreamError};
use vayro_core::stream::EdgeReport;
use vayro_core::timestamp::Timestamp;

use crate::client::RedisClient;
use crate::lane::Lane;
use crate::names;

/// Keeps the newest report of each edge in one hash.
#[derive(Clone, Debug)]
pub struct RedisEdgeReports(Lane);

impl RedisEdgeReports {
    /// Returns the reports on this server.
    pub fn new(client: &RedisClient) -> Self {
        Self(client.commands.clone())
    }

    /// Removes edges that are long gone: each start of an edge makes a new name.
    async fn forget(&self, gone: &[&str]) {
        let mut command = redis::cmd("HDEL");
        command.arg(names::EDGES).arg(gone);
        if let Err(error) = self.0.query::<()>(names::EDGES, &command).await {
            tracing::debug!(%error, "old edge reports stay for now");
        }
    }
}

#[async_trait]
impl EdgeReports for RedisEdgeReports {
    async fn report(&self, report: &EdgeReport) -> Result<(), StreamError> {
        let json = serde_json::to_vec(report).map_err(|error| StreamError(error.into()))?;
        let mut pipeline = redis::pipe();
        pipeline.cmd("HSET").arg(names::EDGES).arg(&report.edge).arg(json);
        pipeline.cmd("EXPIRE").arg(names::EDGES).arg(names::EDGE_TTL_SECONDS);
        self.0.pipeline::<()>(names::EDGES, &pipeline).await.map_err(|error| StreamError(error.into()))
    }

    async fn list(&self, since: Timestamp) -> Result<Vec<EdgeReport>, StreamError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(names::EDGES);
        let all: HashMap<String, Vec<u8>> =
            self.0.query(names::EDGES, &command).await.map_err(|error| StreamError(error.into()))?;
        // Another version's report may be unreadable here; it is left out and left alone.
        let reports: Vec<Option<EdgeReport>> =
            all.values().map(|json| serde_json::from_slice(json).ok()).collect();
        let newest = reports.iter().flatten().map(|report| report.at).max().unwrap_or(since);
        let oldest = newest.minus(std::time::Duration::from_secs(names::EDGE_TTL_SECONDS));
        let is_gone = |report: &Option<EdgeReport>| report.as_ref().is_some_and(|report| report.at < oldest);
        let gone: Vec<&str> = all
            .keys()
            .zip(&reports)
            .filter(|(_, report)| is_gone(report))
            .map(|(edge, _)| edge.as_str())
            .collect();
        if !gone.is_empty() {
            self.forget(&gone).await;
        }
        Ok(reports.into_iter().flatten().filter(|report| report.at >= since).collect())
    }
}
