//! Changes on their way to every cache.

use async_trait::async_trait;
use vayro_core::change::LinkChange;
use vayro_core::ports::{BoxError, LinkPublisher, PublishError};

use crate::client::RedisClient;
use crate::feed::message;
use crate::lane::Lane;
use crate::names;
use crate::scripts::PUBLISH;

/// Changes told in one step; more would hold up the server.
const CHANGES_PER_CALL: usize = 100;

/// Writes the cached link, its floor and the invalidation in one step per change.
#[derive(Clone, Debug)]
pub struct RedisPublisher(Lane);

impl RedisPublisher {
    /// Returns a publisher on this server.
    pub fn new(client: &RedisClient) -> Self {
        Self(client.commands.clone())
    }

    async fn publish_some(&self, changes: &[LinkChange]) -> Result<(), BoxError> {
        let mut call = PUBLISH.key(names::INVALIDATIONS);
        call.arg(names::LINK_TTL_SECONDS).arg(names::FLOOR_TTL_SECONDS).arg(names::INVALIDATIONS_LEN_MAX);
        for change in changes {
            let link_key = names::link(&change.key);
            let json = change.link.as_ref().map(serde_json::to_vec).transpose()?.unwrap_or_default();
            let domain = change.key.domain.as_ref().map_or("", |domain| domain.as_str());
            let floor = names::floor(&link_key);
            call.key(link_key).key(floor);
            call.arg(json).arg(change.revision).arg(domain).arg(change.key.short_code.as_str());
        }
        self.0.script::<u64>(&call).await?;
        Ok(())
    }
}

#[async_trait]
impl LinkPublisher for RedisPublisher {
    async fn publish(&self, changes: &[LinkChange]) -> Result<(), PublishError> {
        for some in changes.chunks(CHANGES_PER_CALL) {
            self.publish_some(some).await.map_err(PublishError)?;
        }
        Ok(())
    }

    async fn publish_domains(&self) -> Result<(), PublishError> {
        let mut command = redis::cmd("XADD");
        command.arg(names::INVALIDATIONS).arg("MAXLEN").arg("~").arg(names::INVALIDATIONS_LEN_MAX).arg("*");
        command.arg(message::KIND).arg(message::KIND_DOMAINS);
        self.0.query::<()>(&command).await.map_err(|error| PublishError(error.into()))
    }
}
