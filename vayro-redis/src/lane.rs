//! Shared connections that are made when needed and made anew after they failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, ScriptInvocation, Value};

use crate::backoff::Backoff;
use crate::dial::{Dialer, away};

/// One connection that many callers use at the same time. A caller waits at most the response timeout for
/// it and as long again for the answer. Never for commands that block: they would hold up everybody else.
#[derive(Clone, Debug)]
pub(crate) struct Lane(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dialer: Dialer,
    response_timeout: Duration,
    slot: Mutex<Slot>,
    /// Held while dialing, so that one failure is enough to learn that nobody answers.
    dialing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a late failure of an old one does not end its successor.
    generation: u64,
    backoff: Backoff,
}

impl Lane {
    /// Returns a lane that has no connection yet.
    pub(crate) fn new(dialer: Dialer, response_timeout: Duration) -> Self {
        Self(Arc::new(Shared {
            dialer,
            response_timeout,
            slot: Mutex::default(),
            dialing: tokio::sync::Mutex::default(),
        }))
    }

    /// Sends one command.
    pub(crate) async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> RedisResult<T> {
        let (mut connection, generation) = self.connection().await?;
        let result = cmd.query_async(&mut connection).await;
        self.judge(generation, &result);
        result
    }

    /// Sends several commands at once.
    pub(crate) async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> RedisResult<T> {
        let (mut connection, generation) = self.connection().await?;
        let result = pipeline.query_async(&mut connection).await;
        self.judge(generation, &result);
        result
    }

    /// Sends several commands at once and returns their replies as they are, errors included.
    pub(crate) async fn replies(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let (mut connection, generation) = self.connection().await?;
        let result = connection.send_packed_commands(pipeline, 0, pipeline.len()).await;
        self.judge(generation, &result);
        if let Ok(replies) = &result {
            let refused = replies.iter().find_map(|reply| match reply {
                Value::ServerError(error) if error.code() == READ_ONLY => Some(error.clone()),
                _ => None,
            });
            self.judge(generation, &refused.map_or(Ok(()), |error| Err(error.into())));
        }
        result
    }

    /// Runs a script, sending its text only if the server does not know it.
    pub(crate) async fn script<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> RedisResult<T> {
        let (mut connection, generation) = self.connection().await?;
        let result = call.invoke_async(&mut connection).await;
        self.judge(generation, &result);
        result
    }

    async fn connection(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        if let Some(found) = self.0.current() {
            return Ok(found);
        }
        // A task of the long-lived runtime: it finishes even if this caller gives up, so that a slow
        // dial serves the next one.
        let shared = Arc::clone(&self.0);
        let dial = self.0.dialer.runtime().spawn(async move { shared.dial().await });
        match tokio::time::timeout(self.0.response_timeout, dial).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(away("the runtime of the connections has ended")),
            Err(_) => Err(away("Redis is still being connected to")),
        }
    }

    /// Drops the connection if the result says that it is of no use anymore.
    fn judge<T>(&self, generation: u64, result: &RedisResult<T>) {
        let Err(error) = result else { return };
        if error.is_unrecoverable_error() || error.is_timeout() || is_demoted(error) {
            let mut slot = self.0.slot.lock();
            if slot.generation == generation && slot.connection.take().is_some() {
                tracing::warn!(error = error as &dyn std::error::Error, "dropped a connection to Redis");
            }
        }
    }
}

impl Shared {
    fn current(&self) -> Option<(MultiplexedConnection, u64)> {
        let slot = self.slot.lock();
        slot.connection.clone().map(|connection| (connection, slot.generation))
    }

    async fn dial(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        let _turn = self.dialing.lock().await;
        if let Some(found) = self.current() {
            return Ok(found);
        }
        if self.slot.lock().backoff.wait(Instant::now()).is_some() {
            return Err(away("Redis did not answer a moment ago"));
        }
        let result = self.dialer.dial(self.response_timeout).await;
        let mut slot = self.slot.lock();
        let is_first_failure = slot.backoff.note(result.is_ok(), Instant::now());
        match result {
            Ok(connection) => {
                slot.generation += 1;
                slot.connection = Some(connection.clone());
                Ok((connection, slot.generation))
            }
            Err(error) => {
                if is_first_failure {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot connect to Redis");
                }
                Err(error)
            }
        }
    }
}

/// What a server says that another took the place of.
const READ_ONLY: &str = "READONLY";

/// Tells whether the server is read-only because another took its place; dialing again finds that one.
pub(crate) fn is_demoted(error: &RedisError) -> bool {
    error.code() == Some(READ_ONLY)
}
