//! The place of a connection that one caller uses at a time.

use std::time::{Duration, Instant};

use redis::io::tcp::socket2;
use redis::{RedisError, RedisResult};

use crate::backoff::Backoff;

/// Silence after which the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The connection is taken out while it is used and put back only after a whole answer: if the caller
/// vanishes in between, so does the connection, and the answer cannot reach the next caller.
#[derive(Debug)]
pub(crate) struct Slot<C> {
    connection: Option<C>,
    backoff: Backoff,
}

impl<C> Default for Slot<C> {
    fn default() -> Self {
        Self { connection: None, backoff: Backoff::default() }
    }
}

impl<C> Slot<C> {
    /// Returns how long it takes until a connection may be made, `None` if there is one or one may be made.
    pub(crate) fn pause(&self) -> Option<Duration> {
        if self.connection.is_some() { None } else { self.backoff.wait(Instant::now()) }
    }

    /// Takes the connection, making one if there is none. Fails at once during a pause after a failure.
    pub(crate) async fn take(&mut self, dial: impl Future<Output = RedisResult<C>>) -> RedisResult<C> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        if self.pause().is_some() {
            return Err(away("Redis did not answer a moment ago"));
        }
        let result = dial.await;
        self.backoff.note(result.is_ok(), Instant::now());
        result
    }

    /// Puts the connection back.
    pub(crate) fn put(&mut self, connection: C) {
        self.connection = Some(connection);
    }
}

/// The error of a server that nobody is connected to.
pub(crate) fn away(why: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::NotConnected, why).into()
}

/// Keeps dead peers from being waited for.
pub(crate) fn keepalive() -> socket2::TcpKeepalive {
    socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE)
}
