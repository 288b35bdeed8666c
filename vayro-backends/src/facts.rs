//! What the servers behind the ports say about themselves, for `vayro doctor`.

use vayro_core::ports::BoxError;

use crate::backends::Backends;
use crate::set::Set;

/// What one server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReport {
    /// `redis`; the databases have nothing to tell beyond [`Backends::ping`].
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
            Set::Clustered { redis, .. } => {
                let facts = redis.facts().await?;
                let (summary, warnings) = (facts.to_string(), facts.warnings());
                Ok(vec![ServerReport { part: "redis", summary, warnings }])
            }
            Set::Embedded { .. } => Ok(Vec::new()),
        }
    }
}
