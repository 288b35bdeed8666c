//! The embedded click stream as tools see it: in the hands of the running server.

use std::num::NonZeroUsize;
use std::time::Duration;

use async_trait::async_trait;
use vayro_core::click::Click;
use vayro_core::page::Page;
use vayro_core::ports::{ClickSink, ClickStream, DeadLetterStore, SinkError, StreamError};
use vayro_core::stream::{
    BoundedCount, DeadLetter, DeadLetterFilter, Delivery, DeliveryId, NewDeadLetter, StreamStats, Unsettled,
};
use vayro_core::timestamp::Timestamp;

#[derive(Debug, thiserror::Error)]
#[error("the click stream is held by the server; ask it through its API")]
struct HeldByServer;

fn closed<T>() -> Result<T, StreamError> {
    Err(StreamError(Box::new(HeldByServer)))
}

/// Refuses everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedClicks;

#[async_trait]
impl ClickSink for ClosedClicks {
    async fn append(&self, _: &[Click]) -> Result<(), SinkError> {
        Err(SinkError(Box::new(HeldByServer)))
    }
}

#[async_trait]
impl ClickStream for ClosedClicks {
    async fn next_batch(&self, _: NonZeroUsize, _: Duration) -> Result<Vec<Delivery>, StreamError> {
        closed()
    }

    async fn reclaim(&self, _: NonZeroUsize, _: Duration) -> Result<Vec<Delivery>, StreamError> {
        closed()
    }

    async fn ack(&self, _: &[DeliveryId]) -> Result<(), StreamError> {
        closed()
    }

    async fn dead_letter(&self, _: &[NewDeadLetter]) -> Result<(), StreamError> {
        closed()
    }

    async fn trim(&self, _: Duration, _: Timestamp) -> Result<u64, StreamError> {
        closed()
    }

    async fn stats(&self, _: Timestamp) -> Result<StreamStats, StreamError> {
        closed()
    }

    async fn unsettled(&self, _: u64) -> Result<Unsettled, StreamError> {
        closed()
    }

    async fn replay(&self, _: Timestamp) -> Result<BoundedCount, StreamError> {
        closed()
    }

    async fn leave(&self) -> Result<(), StreamError> {
        closed()
    }
}

#[async_trait]
impl DeadLetterStore for ClosedClicks {
    async fn list(
        &self,
        _: &DeadLetterFilter,
        _: Option<&str>,
        _: u16,
    ) -> Result<Page<DeadLetter, String>, StreamError> {
        closed()
    }

    async fn find(&self, _: &str) -> Result<Option<DeadLetter>, StreamError> {
        closed()
    }

    async fn replay(&self, _: &[String]) -> Result<u64, StreamError> {
        closed()
    }

    async fn purge(&self, _: &[String]) -> Result<u64, StreamError> {
        closed()
    }
}
