//! What an edge hears about its cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vayro_core::change::Invalidation;
use vayro_core::click::Fields;
use vayro_core::link::LinkKey;
use vayro_core::ports::{BoxError, InvalidationFeed};

use crate::backoff;
use crate::client::RedisClient;
use crate::dial::{Dialer, Node};
use crate::entry::{self, Entry, ShapeError};
use crate::lane::ask_all;
use crate::names;
use crate::sentinel::says_master;
use crate::units::millis;

/// Fields of a message.
pub(crate) mod message {
    pub(crate) const KIND: &str = "kind";
    pub(crate) const KIND_LINK: &str = "link";
    pub(crate) const KIND_DOMAINS: &str = "domains";
    pub(crate) const DOMAIN: &str = "domain";
    pub(crate) const SHORT_CODE: &str = "short_code";
    pub(crate) const REVISION: &str = "revision";
}

/// Longest wait of one read. A server that has not answered by twice that time is given up.
const BLOCK: Duration = Duration::from_secs(1);
/// Messages of one read.
const READ_LEN_MAX: usize = 500;
/// Reads an edge may be behind before reading pauses; the stream keeps the rest.
const QUEUE_LEN_MAX: usize = 16;

/// Follows the stream of invalidations on a connection of its own, for ever.
///
/// It knows that it missed nothing as long as the last message it saw is still in the stream; otherwise,
/// and at its very start, it says [`Invalidation::Everything`].
#[derive(Debug)]
pub struct RedisInvalidationFeed {
    messages: mpsc::Receiver<Invalidation>,
    is_connected: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

impl RedisInvalidationFeed {
    /// Starts following.
    pub fn new(client: &RedisClient) -> Self {
        let (sender, messages) = mpsc::channel(QUEUE_LEN_MAX);
        let is_connected = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            dialer: client.dialer.clone(),
            sender,
            is_connected: Arc::clone(&is_connected),
            last: None,
        };
        // A task, so that dropping a call of `next` cannot lose what was already read.
        let reader = client.dialer.runtime().spawn(reader.run());
        Self { messages, is_connected, reader }
    }
}

impl Drop for RedisInvalidationFeed {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[async_trait]
impl InvalidationFeed for RedisInvalidationFeed {
    async fn next(&mut self) -> Invalidation {
        match self.messages.recv().await {
            Some(message) => message,
            // The runtime of the connections has ended, and with it the process.
            None => std::future::pending().await,
        }
    }

    fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }
}

struct Reader {
    dialer: Dialer,
    sender: mpsc::Sender<Invalidation>,
    is_connected: Arc<AtomicBool>,
    /// The last message seen; [`START`] if the stream was empty, `None` if it was never looked at.
    last: Option<String>,
}

/// The position before the first message.
const START: &str = "0-0";

impl Reader {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            let error = match self.dial().await {
                Ok((connection, node)) => self.follow(connection, &node, &mut failures).await,
                Err(error) => error.into(),
            };
            self.is_connected.store(false, Ordering::Relaxed);
            failures += 1;
            if failures == 1 {
                tracing::warn!(error = &*error as &dyn std::error::Error, "invalidations cannot be heard");
            }
            tokio::time::sleep(backoff::pause(failures)).await;
        }
    }

    async fn dial(&self) -> RedisResult<(MultiplexedConnection, Node)> {
        let node = self.dialer.node_of(names::INVALIDATIONS).await?;
        Ok((self.dialer.dial(&node, 2 * BLOCK).await?, node))
    }

    /// Reads until the connection fails, and says how it did.
    async fn follow(
        &mut self,
        mut connection: MultiplexedConnection,
        node: &Node,
        failures: &mut u32,
    ) -> BoxError {
        loop {
            match self.read(&mut connection).await {
                Ok(messages) => {
                    if !self.is_connected.swap(true, Ordering::Relaxed) {
                        tracing::info!("following invalidations");
                    }
                    *failures = 0;
                    for message in messages {
                        if self.sender.send(message).await.is_err() {
                            return "nobody listens".into();
                        }
                    }
                }
                Err(error) => {
                    if let Some(error) = error.downcast_ref() {
                        self.dialer.learn(error, node);
                    }
                    return error;
                }
            }
        }
    }

    /// Waits for messages for [`BLOCK`] at most.
    async fn read(&mut self, connection: &mut MultiplexedConnection) -> Result<Vec<Invalidation>, BoxError> {
        let Some(last) = &self.last else { return self.start_over(connection).await };
        let mut pipeline = redis::pipe();
        pipeline.cmd("XRANGE").arg(names::INVALIDATIONS).arg(last).arg(last);
        pipeline.cmd("XREAD").arg("COUNT").arg(READ_LEN_MAX).arg("BLOCK").arg(millis(BLOCK));
        pipeline.arg("STREAMS").arg(names::INVALIDATIONS).arg(last);
        if self.dialer.is_sentinel() {
            // A master that became a replica goes on answering reads, a little late.
            pipeline.cmd("ROLE");
        }
        let mut replies = ask_all(connection, &pipeline).await?.into_iter();
        let (anchor, read) = (replies.next().ok_or(ShapeError)?, replies.next().ok_or(ShapeError)?);
        if replies.next().is_some_and(|role| !says_master(role)) {
            return Err("the server is no master anymore".into());
        }
        // The stream is only ever cut at its old end, so while the last message is there, all since are.
        let is_gapless = !entry::list(anchor)?.is_empty() || (last == START && self.is_connected());
        if !is_gapless {
            return self.start_over(connection).await;
        }
        let entries = entry::read_reply(read)?;
        if let Some(newest) = entries.last() {
            self.last = Some(newest.id.clone());
        }
        Ok(understand(entries))
    }

    /// Goes to the end of the stream; whatever was before may have been missed.
    async fn start_over(
        &mut self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Vec<Invalidation>, BoxError> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(names::INVALIDATIONS).arg("+").arg("-").arg("COUNT").arg(1);
        let newest = entry::entries(command.query_async(connection).await?)?.pop();
        self.last = Some(newest.map_or_else(|| START.to_owned(), |newest| newest.id));
        Ok(vec![Invalidation::Everything])
    }

    fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }
}

/// Joins neighboring links into one message.
fn understand(entries: Vec<Entry>) -> Vec<Invalidation> {
    let mut messages = Vec::new();
    for entry in entries {
        let message = parse(&entry.fields.unwrap_or_default()).unwrap_or_else(|_| {
            tracing::warn!(entry.id, "an invalidation cannot be read; dropping the whole cache");
            Invalidation::Everything
        });
        match (messages.last_mut(), message) {
            (Some(Invalidation::Links(links)), Invalidation::Links(more)) => links.extend(more),
            (_, message) => messages.push(message),
        }
    }
    messages
}

fn parse(fields: &Fields) -> Result<Invalidation, ShapeError> {
    let find = |name: &str| {
        let value = fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice());
        std::str::from_utf8(value.ok_or(ShapeError)?).map_err(|_| ShapeError)
    };
    match find(message::KIND)? {
        message::KIND_DOMAINS => Ok(Invalidation::Domains),
        message::KIND_LINK => {
            let domain = match find(message::DOMAIN)? {
                "" => None,
                host => Some(host.parse().map_err(|_| ShapeError)?),
            };
            let short_code = find(message::SHORT_CODE)?.parse().map_err(|_| ShapeError)?;
            let revision = find(message::REVISION)?.parse().map_err(|_| ShapeError)?;
            Ok(Invalidation::Links(vec![(LinkKey { domain, short_code }, revision)]))
        }
        _ => Err(ShapeError),
    }
}

#[cfg(test)]
mod tests {
    use vayro_core::click::field;

    use super::*;

    fn entry(fields: &[(&str, &str)]) -> Entry {
        let fields = fields.iter().map(|(n, v)| (field::name(n.as_bytes()), v.as_bytes().to_vec())).collect();
        Entry { id: "1-0".to_owned(), fields: Some(fields) }
    }

    fn link(code: &str, revision: &str) -> Entry {
        entry(&[("kind", "link"), ("domain", ""), ("short_code", code), ("revision", revision)])
    }

    #[test]
    fn neighboring_links_are_one_message() {
        let domains = entry(&[("kind", "domains")]);
        let messages = understand(vec![link("a", "1"), link("b", "2"), domains, link("c", "3")]);
        let key = |code: &str| LinkKey { domain: None, short_code: code.parse().expect("a code") };
        let expected = [
            Invalidation::Links(vec![(key("a"), 1), (key("b"), 2)]),
            Invalidation::Domains,
            Invalidation::Links(vec![(key("c"), 3)]),
        ];
        assert_eq!(messages, expected);
    }

    #[test]
    fn what_cannot_be_read_invalidates_everything() {
        for odd in [link("not a code", "1"), link("a", "x"), entry(&[("kind", "new")]), entry(&[])] {
            assert_eq!(understand(vec![odd]), [Invalidation::Everything]);
        }
    }
}
