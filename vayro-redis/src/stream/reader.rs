//! Reading new entries, on a connection of its own: a command that waits would hold up all others.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Value};
use tokio::sync::Mutex;

use crate::backoff;
use crate::dial::Dialer;
use crate::entry::{self, Entry};
use crate::names;
use crate::units::millis;

/// Time the server has to answer beyond the wait it was asked for.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);
/// Longest wait of one command.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Reader {
    dialer: Dialer,
    consumer: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Absent while a command is out: if its caller vanishes, so does the connection, and the answer
    /// cannot reach the next caller.
    connection: Option<MultiplexedConnection>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Reader {
    pub(super) fn new(dialer: Dialer, consumer: String) -> Self {
        Self { dialer, consumer, state: Mutex::default() }
    }

    /// Hands out new entries. Calls at the same time take turns; one that gets none within its wait
    /// returns nothing.
    pub(super) async fn read(&self, max: NonZeroUsize, wait: Duration) -> RedisResult<Vec<Entry>> {
        let wait = wait.min(WAIT_MAX);
        let asked = Instant::now();
        let Ok(mut state) = tokio::time::timeout(wait, self.state.lock()).await else {
            return Ok(Vec::new());
        };
        let mut connection = match state.connection.take() {
            Some(connection) => connection,
            None => self.dial(&mut state).await?,
        };
        let left = wait.saturating_sub(asked.elapsed());
        connection.set_response_timeout(left + ANSWER_MARGIN);
        let reply = connection.send_packed_command(&self.command(max, left)).await?;
        let result = match reply {
            Value::ServerError(error) => Err(RedisError::from(error)),
            reply => entry::read_reply(reply).map_err(|error| std::io::Error::other(error).into()),
        };
        // A read-only server was demoted; dialing again finds its successor.
        if result.as_ref().err().and_then(RedisError::code) != Some("READONLY") {
            state.connection = Some(connection);
        }
        result
    }

    fn command(&self, max: NonZeroUsize, wait: Duration) -> redis::Cmd {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(names::GROUP).arg(&self.consumer).arg("COUNT").arg(max.get());
        // `BLOCK 0` would wait for ever.
        if millis(wait) > 0 {
            command.arg("BLOCK").arg(millis(wait));
        }
        command.arg("STREAMS").arg(names::CLICKS).arg(">");
        command
    }

    async fn dial(&self, state: &mut State) -> RedisResult<MultiplexedConnection> {
        if let Some(pause) = state.not_before.and_then(|at| at.checked_duration_since(Instant::now())) {
            tokio::time::sleep(pause).await;
        }
        let dialer = self.dialer.clone();
        let dial = self.dialer.runtime().spawn(async move { dialer.dial(ANSWER_MARGIN).await });
        let result = dial.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
        if result.is_ok() {
            (state.failures, state.not_before) = (0, None);
        } else {
            state.failures = state.failures.saturating_add(1);
            state.not_before = Some(Instant::now() + backoff::pause(state.failures));
        }
        result
    }
}
