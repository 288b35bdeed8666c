//! Reading new entries of one shard, on a connection of its own: a command that waits would hold up all others.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::sync::Mutex;

use crate::dial::{Dialer, Node, Redirect};
use crate::entry::{self, Entry};
use crate::lane::{Lane, is_demoted};
use crate::names::{self, ShardKeys};
use crate::slot::Slot;
use crate::units::millis;
use crate::wire::{Request, Wire};

/// Time the server has to answer beyond the wait it was asked for.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);
/// Longest wait of one command.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often a shard that moves between nodes is followed in one call.
const REDIRECTS_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Reader {
    dialer: Dialer,
    keys: Arc<ShardKeys>,
    consumer: String,
    slot: Mutex<Slot<(Node, Connection)>>,
    /// For what cannot be asked on the reader's own connection.
    lane: Lane,
}

#[derive(Debug)]
enum Connection {
    Wire(Wire),
    /// Where a bare connection cannot reach.
    Full(MultiplexedConnection),
}

impl Reader {
    pub(super) fn new(dialer: Dialer, lane: Lane, keys: Arc<ShardKeys>, consumer: String) -> Self {
        Self { dialer, keys, consumer, slot: Mutex::default(), lane }
    }

    /// Hands out new entries. Calls at the same time take turns; one whose turn does not come within its
    /// wait returns nothing.
    pub(super) async fn read(&self, max: NonZeroUsize, wait: Duration) -> RedisResult<Vec<Entry>> {
        let wait = wait.min(WAIT_MAX);
        let asked = Instant::now();
        let Ok(mut slot) = tokio::time::timeout(wait, self.slot.lock()).await else {
            return Ok(Vec::new());
        };
        if let Some(pause) = slot.pause() {
            // A worker that asks again at once would otherwise spin.
            tokio::time::sleep(pause).await;
        }
        let mut redirects = 0;
        loop {
            let (node, mut connection) = slot.take(self.dial()).await?;
            let wait = wait.saturating_sub(asked.elapsed());
            let ask = connection.ask(self.words(max, wait), wait + ANSWER_MARGIN);
            let answer = match tokio::time::timeout(wait + ANSWER_MARGIN, ask).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => return Err(self.lost(error, &node)),
                Err(elapsed) => return Err(self.lost(std::io::Error::from(elapsed).into(), &node)),
            };
            redirects += 1;
            match answer.as_ref().err().and_then(|error| self.dialer.learn(error, &node)) {
                Some(Redirect::Moved) if redirects <= REDIRECTS_MAX => {}
                Some(Redirect::Ask(_)) => {
                    slot.put((node, connection));
                    let mut command = Cmd::new();
                    command.arg(self.words(max, Duration::ZERO));
                    let reply: Value = self.lane.query(&self.keys.stream, &command).await?;
                    return Ok(entry::read_reply(reply).map_err(std::io::Error::other)?);
                }
                _ => {
                    if !answer.as_ref().is_err_and(|error| is_demoted(error) || is_moved(error)) {
                        slot.put((node, connection));
                    }
                    return answer;
                }
            }
        }
    }

    /// Returns how long it takes until the server may be asked again after a failure; `None` if it may be now,
    /// or if somebody is asking it.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.slot.try_lock().ok().and_then(|slot| slot.pause())
    }

    fn lost(&self, error: RedisError, node: &Node) -> RedisError {
        self.dialer.learn(&error, node);
        error
    }

    async fn dial(&self) -> RedisResult<(Node, Connection)> {
        let node = self.dialer.node_of(&self.keys.stream).await?;
        let connection = if self.dialer.has_wire() {
            self.dialer.dial_wire(&node).await.map(Connection::Wire)?
        } else {
            self.dialer.dial_blocking(&node).await.map(Connection::Full)?
        };
        Ok((node, connection))
    }

    fn words(&self, max: NonZeroUsize, wait: Duration) -> Vec<String> {
        let mut words = vec!["XREADGROUP", "GROUP", names::GROUP, &self.consumer, "COUNT"];
        let (max, wait) = (max.to_string(), millis(wait).to_string());
        words.push(&max);
        // `BLOCK 0` would wait for ever.
        if wait != "0" {
            words.extend(["BLOCK", &wait]);
        }
        words.extend(["STREAMS", &self.keys.stream, ">"]);
        words.into_iter().map(str::to_owned).collect()
    }
}

fn is_moved(error: &RedisError) -> bool {
    error.code() == Some("MOVED")
}

impl Connection {
    /// Asks for entries. The outer error ends the connection, the inner one is the server's answer.
    async fn ask(&mut self, words: Vec<String>, timeout: Duration) -> RedisResult<RedisResult<Vec<Entry>>> {
        match self {
            Self::Wire(wire) => {
                let mut request = Request::default();
                request.command(words.len());
                for word in &words {
                    request.value(word);
                }
                wire.send(&request).await?;
                Ok(wire.entries().await?.map_err(RedisError::from))
            }
            Self::Full(connection) => {
                let mut command = Cmd::new();
                command.arg(&words);
                connection.set_response_timeout(timeout);
                match connection.req_packed_command(&command).await? {
                    Value::ServerError(error) => Ok(Err(error.into())),
                    reply => Ok(Ok(entry::read_reply(reply).map_err(std::io::Error::other)?)),
                }
            }
        }
    }
}
