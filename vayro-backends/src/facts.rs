//! What the servers behind the ports say about themselves, for `vayro doctor`.

use vayro_core::ports::BoxError;
use vayro_postgres::ReplicaState;
use vayro_redis::ServerFacts;

use crate::backends::Backends;
use crate::set::Set;

/// What one server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReport {
    /// `Redis` or `replica`; other databases have nothing to tell beyond [`Backends::ping`].
    pub part: &'static str,
    /// Its version and the settings that matter.
    pub summary: String,
    /// A sentence for each setting that puts clicks at risk.
    pub warnings: Vec<String>,
}

impl Backends {
    /// Asks the servers about themselves.
    ///
    /// # Errors
    ///
    /// The words of a server that does not answer.
    pub async fn server_reports(&self) -> Result<Vec<ServerReport>, BoxError> {
        match &*self.set {
            Set::Clustered { redis, replica, .. } => {
                let report = |facts: ServerFacts| ServerReport {
                    part: "Redis",
                    summary: facts.to_string(),
                    warnings: facts.warnings(),
                };
                let mut reports: Vec<_> = redis.facts().await?.into_iter().map(report).collect();
                if let Some(replica) = replica {
                    reports.push(of_replica(&replica.state().await));
                }
                Ok(reports)
            }
            Set::Embedded { .. } => Ok(Vec::new()),
        }
    }
}

fn of_replica(state: &ReplicaState) -> ServerReport {
    let (summary, warnings) = match state {
        ReplicaState::Near => ("is near; it answers questions about clicks".to_owned(), Vec::new()),
        other => {
            let warning = format!("the replica {other}; the primary answers questions about clicks");
            ("is configured".to_owned(), vec![warning])
        }
    };
    ServerReport { part: "replica", summary, warnings }
}
