//! Reading new entries, on a connection of its own: a command that waits would hold up all others.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Value};
use tokio::sync::Mutex;

use crate::dial::{Dialer, Slot};
use crate::entry::{self, Entry};
use crate::lane::is_demoted;
use crate::names;
use crate::units::millis;
use crate::wire::{Request, Wire};

/// Time the server has to answer beyond the wait it was asked for.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);
/// Longest wait of one command.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Reader {
    dialer: Dialer,
    consumer: String,
    slot: Mutex<Slot<Connection>>,
}

#[derive(Debug)]
enum Connection {
    Wire(Wire),
    /// Where a bare connection cannot reach.
    Full(MultiplexedConnection),
}

impl Reader {
    pub(super) fn new(dialer: Dialer, consumer: String) -> Self {
        Self { dialer, consumer, slot: Mutex::default() }
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
        let mut connection = slot.take(self.dial()).await?;
        let wait = wait.saturating_sub(asked.elapsed());
        let ask = connection.ask(self.words(max, wait), wait + ANSWER_MARGIN);
        let answer =
            tokio::time::timeout(wait + ANSWER_MARGIN, ask).await.map_err(std::io::Error::from)??;
        if !answer.as_ref().is_err_and(is_demoted) {
            slot.put(connection);
        }
        answer
    }

    async fn dial(&self) -> RedisResult<Connection> {
        if self.dialer.has_wire() {
            self.dialer.dial_wire().await.map(Connection::Wire)
        } else {
            self.dialer.dial_blocking().await.map(Connection::Full)
        }
    }

    fn words(&self, max: NonZeroUsize, wait: Duration) -> Vec<String> {
        let mut words = vec!["XREADGROUP", "GROUP", names::GROUP, &self.consumer, "COUNT"];
        let (max, wait) = (max.to_string(), millis(wait).to_string());
        words.push(&max);
        // `BLOCK 0` would wait for ever.
        if wait != "0" {
            words.extend(["BLOCK", &wait]);
        }
        words.extend(["STREAMS", names::CLICKS, ">"]);
        words.into_iter().map(str::to_owned).collect()
    }
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
                let mut command = redis::Cmd::new();
                command.arg(&words);
                connection.set_response_timeout(timeout);
                match connection.send_packed_command(&command).await? {
                    Value::ServerError(error) => Ok(Err(error.into())),
                    reply => Ok(Ok(entry::read_reply(reply).map_err(std::io::Error::other)?)),
                }
            }
        }
    }
}
