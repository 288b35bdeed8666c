//! The end clicks go in at.

use async_trait::async_trait;
use vayro_core::click::Click;
use vayro_core::ports::{ClickSink, SinkError, SpoolStats};

use crate::payload;
use crate::spool::Spool;

/// Appends clicks to the embedded stream.
#[derive(Clone, Debug)]
pub struct SpoolClickSink(Spool);

impl SpoolClickSink {
    pub(super) const fn new(spool: Spool) -> Self {
        Self(spool)
    }
}

#[async_trait]
impl ClickSink for SpoolClickSink {
    async fn append(&self, clicks: &[Click]) -> Result<(), SinkError> {
        if clicks.is_empty() {
            return Ok(());
        }
        let payloads = clicks.iter().map(payload::of_click).collect();
        self.0.append(payloads).await.map_err(|error| SinkError(error.into()))
    }

    /// Nothing waits in front of this stream; but what it lost to a failing disk is lost here.
    fn spool_stats(&self) -> SpoolStats {
        SpoolStats { dropped: self.0.level().lost, ..SpoolStats::default() }
    }
}
