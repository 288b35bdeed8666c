//! Clicks on their way into the stream.

use async_trait::async_trait;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use vayro_core::click::Click;
use vayro_core::ports::{ClickSink, SinkError};

use crate::client::RedisClient;
use crate::lane::Lane;
use crate::names;

/// Clicks sent before an answer is awaited. 64 are enough for full speed, more only take memory.
const CLICKS_PER_PIPELINE: usize = 512;
/// Values of an entry: eleven fields at most, with their names, and the command itself.
const ARGS_PER_CLICK: usize = 25;
/// Usual bytes of an entry.
const BYTES_PER_CLICK: usize = 512;

/// Appends clicks to the stream, many at a time and one entry each.
///
/// The stream is never cut here: a length limit would drop clicks that no worker has seen. When memory is
/// full the server refuses, and the caller keeps the clicks.
#[derive(Clone, Debug)]
pub struct RedisClickSink(Lane);

impl RedisClickSink {
    /// Returns the near end of the stream.
    pub fn new(client: &RedisClient) -> Self {
        Self(client.clicks.clone())
    }

    async fn append_some(&self, clicks: &[Click]) -> RedisResult<()> {
        let mut pipeline = Pipeline::with_capacity(clicks.len());
        for click in clicks {
            pipeline.add_command(encode(click));
        }
        for reply in self.0.replies(&pipeline).await? {
            if let Value::ServerError(error) = reply {
                return Err(RedisError::from(error));
            }
        }
        Ok(())
    }
}

fn encode(click: &Click) -> Cmd {
    let mut command = Cmd::with_capacity(ARGS_PER_CLICK, BYTES_PER_CLICK);
    command.arg("XADD").arg(names::CLICKS).arg("*");
    click.encode(|name, value| {
        command.arg(name).arg(value);
    });
    command
}

#[async_trait]
impl ClickSink for RedisClickSink {
    async fn append(&self, clicks: &[Click]) -> Result<(), SinkError> {
        for some in clicks.chunks(CLICKS_PER_PIPELINE) {
            self.append_some(some).await.map_err(|error| SinkError(error.into()))?;
        }
        Ok(())
    }
}
