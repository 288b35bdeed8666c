//! Clicks on their way into the stream.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::Mutex;
use vayro_core::click::Click;
use vayro_core::ports::{ClickSink, SinkError};

use crate::client::RedisClient;
use crate::dial::{Dialer, Slot};
use crate::lane::Lane;
use crate::names;
use crate::wire::{Request, Wire};

/// Clicks sent before their answers are awaited. 64 are enough for full speed; more only take memory.
const CLICKS_PER_REQUEST: usize = 512;

/// Appends clicks to the stream, many at a time and one entry each.
///
/// The stream is never cut here: a length limit would drop clicks that no worker has seen. When memory is
/// full the server refuses, and the caller keeps the clicks. One call is on its way at a time.
#[derive(Debug)]
pub struct RedisClickSink {
    dialer: Dialer,
    timeout: Duration,
    state: Mutex<State>,
    /// Where a bare connection cannot reach.
    lane: Lane,
}

#[derive(Debug, Default)]
struct State {
    slot: Slot<Wire>,
    request: Request,
}

impl RedisClickSink {
    /// Returns the near end of the stream.
    pub fn new(client: &RedisClient) -> Self {
        Self {
            dialer: client.dialer.clone(),
            timeout: client.response_timeout,
            state: Mutex::default(),
            lane: client.commands.clone(),
        }
    }

    async fn append_by_wire(&self, clicks: &[Click]) -> RedisResult<()> {
        let State { slot, request } = &mut *self.state.lock().await;
        for some in clicks.chunks(CLICKS_PER_REQUEST) {
            request.clear();
            for click in some {
                encode(request, click);
            }
            let mut wire = slot.take(self.dialer.dial_wire()).await?;
            let exchange = async {
                wire.send(request).await?;
                wire.expect(some.len()).await
            };
            let outcome =
                tokio::time::timeout(self.timeout, exchange).await.map_err(std::io::Error::from)??;
            let outcome = outcome.map_err(RedisError::from);
            if !outcome.as_ref().is_err_and(crate::lane::is_demoted) {
                slot.put(wire);
            }
            outcome?;
        }
        Ok(())
    }

    async fn append_by_lane(&self, clicks: &[Click]) -> RedisResult<()> {
        for some in clicks.chunks(CLICKS_PER_REQUEST) {
            let mut pipeline = Pipeline::with_capacity(some.len());
            for click in some {
                let mut command = Cmd::new();
                command.arg("XADD").arg(names::CLICKS).arg("*");
                click.encode(|name, value| {
                    command.arg(name).arg(value);
                });
                pipeline.add_command(command);
            }
            for reply in self.lane.replies(&pipeline).await? {
                if let Value::ServerError(error) = reply {
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }
}

fn encode(request: &mut Request, click: &Click) {
    let at = request.begin();
    request.value("XADD").value(names::CLICKS).value("*");
    let mut values = 3;
    click.encode(|name, value| {
        request.value(name).value(value);
        values += 2;
    });
    request.finish(at, values);
}

#[async_trait]
impl ClickSink for RedisClickSink {
    async fn append(&self, clicks: &[Click]) -> Result<(), SinkError> {
        let appended = if self.dialer.has_wire() {
            self.append_by_wire(clicks).await
        } else {
            self.append_by_lane(clicks).await
        };
        appended.map_err(|error| SinkError(error.into()))
    }
}
