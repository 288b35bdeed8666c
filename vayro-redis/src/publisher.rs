//! Changes on their way to every cache.

use async_trait::async_trait;
use redis::Pipeline;
use vayro_core::change::LinkChange;
use vayro_core::ports::{BoxError, LinkPublisher, PublishError};

use crate::client::RedisClient;
use crate::feed::message;
use crate::lane::Lane;
use crate::names;
use crate::scripts::{CACHE, PUBLISH};

/// Changes told in one step; more would hold up the server.
const CHANGES_PER_CALL: usize = 100;

/// Writes the cached link, its floor and the invalidation in one step per change.
///
/// In a cluster links lie on other nodes than the stream of invalidations, so there are two steps: first the
/// link, then the message. Whoever dies in between has not said that the change is told, so it is told again.
#[derive(Clone, Debug)]
pub struct RedisPublisher {
    lane: Lane,
    is_cluster: bool,
}

impl RedisPublisher {
    /// Returns a publisher on this server.
    pub fn new(client: &RedisClient) -> Self {
        Self { lane: client.commands.clone(), is_cluster: client.dialer.is_cluster() }
    }

    async fn publish_apart(&self, changes: &[LinkChange]) -> Result<(), BoxError> {
        let mut messages = Pipeline::with_capacity(changes.len());
        for change in changes {
            let Told { link_key, floor, json, domain } = Told::new(change)?;
            let mut call = CACHE.key(&link_key);
            call.key(floor).arg(names::LINK_TTL_SECONDS).arg(names::FLOOR_TTL_SECONDS);
            call.arg(json).arg(change.revision);
            // What is older than what is known was told already, by whoever made it known.
            if self.lane.script::<bool>(&link_key, &call).await? {
                let message = add_message(&mut messages).arg(message::KIND).arg(message::KIND_LINK);
                message.arg(message::DOMAIN).arg(domain);
                message.arg(message::SHORT_CODE).arg(change.key.short_code.as_str());
                message.arg(message::REVISION).arg(change.revision);
            }
        }
        if !messages.is_empty() {
            self.lane.pipeline::<()>(names::INVALIDATIONS, &messages).await?;
        }
        Ok(())
    }

    async fn publish_some(&self, changes: &[LinkChange]) -> Result<(), BoxError> {
        let mut call = PUBLISH.key(names::INVALIDATIONS);
        call.arg(names::LINK_TTL_SECONDS).arg(names::FLOOR_TTL_SECONDS).arg(names::INVALIDATIONS_LEN_MAX);
        for change in changes {
            let Told { link_key, floor, json, domain } = Told::new(change)?;
            call.key(link_key).key(floor);
            call.arg(json).arg(change.revision).arg(domain).arg(change.key.short_code.as_str());
        }
        self.lane.script::<u64>(names::INVALIDATIONS, &call).await?;
        Ok(())
    }
}

/// A change in the words of Redis.
struct Told<'a> {
    link_key: String,
    floor: String,
    /// Empty if the link is gone.
    json: Vec<u8>,
    domain: &'a str,
}

impl<'a> Told<'a> {
    fn new(change: &'a LinkChange) -> Result<Self, BoxError> {
        let link_key = names::link(&change.key);
        Ok(Self {
            floor: names::floor(&link_key),
            link_key,
            json: change.link.as_ref().map(serde_json::to_vec).transpose()?.unwrap_or_default(),
            domain: change.key.domain.as_ref().map_or("", |domain| domain.as_str()),
        })
    }
}

/// Begins a message; its fields follow.
fn add_message(pipeline: &mut Pipeline) -> &mut Pipeline {
    let command = pipeline.cmd("XADD").arg(names::INVALIDATIONS);
    command.arg("MAXLEN").arg("~").arg(names::INVALIDATIONS_LEN_MAX).arg("*")
}

#[async_trait]
impl LinkPublisher for RedisPublisher {
    async fn publish(&self, changes: &[LinkChange]) -> Result<(), PublishError> {
        for some in changes.chunks(CHANGES_PER_CALL) {
            let published =
                if self.is_cluster { self.publish_apart(some).await } else { self.publish_some(some).await };
            published.map_err(PublishError)?;
        }
        Ok(())
    }

    async fn publish_domains(&self) -> Result<(), PublishError> {
        let mut message = Pipeline::with_capacity(1);
        add_message(&mut message).arg(message::KIND).arg(message::KIND_DOMAINS);
        self.lane
            .pipeline::<()>(names::INVALIDATIONS, &message)
            .await
            .map_err(|error| PublishError(error.into()))
    }
}
