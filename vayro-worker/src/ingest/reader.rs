//! Takes new clicks out of the stream, at most as many as may be in memory.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use vayro_core::failpoint;
use vayro_core::stream::Delivery;

use super::{Abandoned, Pipeline, Slot};
use crate::stop::Stop;

/// Reads until stopping is asked for, then gives the batches in hand `stop_timeout` to be settled.
pub(crate) async fn read(pipeline: Arc<Pipeline>, mut stop: Stop) {
    let mut batches = JoinSet::new();
    let mut backoff = pipeline.backoff();
    while !stop.is_requested() {
        let slot = tokio::select! {
            slot = pipeline.in_flight.slot() => slot,
            () = stop.requested() => break,
        };
        // A stop does not cut this short: what the stream hands out at that moment would be nobody's until
        // `reclaim_idle` is over. `batch_wait` bounds it.
        match pipeline.deps.stream.next_batch(pipeline.settings.batch_max, pipeline.settings.batch_wait).await
        {
            Ok(deliveries) => {
                pipeline.stream.up();
                backoff.reset();
                let is_full = deliveries.len() >= NonZeroUsize::get(pipeline.settings.batch_max);
                if !deliveries.is_empty() {
                    failpoint::hit(failpoint::AFTER_READ);
                    batches.spawn(work(Arc::clone(&pipeline), deliveries, slot, stop.clone()));
                    // The stream is nearly empty. A short rest makes one transaction of the clicks of that
                    // time instead of one of each.
                    if !is_full && !stop.pause(pipeline.settings.linger).await {
                        break;
                    }
                }
            }
            Err(error) => {
                pipeline.stream.down(&error);
                pipeline.metrics.stream_retries.inc();
                if !backoff.wait(&mut stop).await {
                    break;
                }
            }
        }
        while let Some(ended) = batches.try_join_next() {
            report(ended);
        }
    }
    finish(&pipeline, batches).await;
}

async fn work(pipeline: Arc<Pipeline>, deliveries: Vec<Delivery>, mut slot: Slot, mut stop: Stop) {
    slot.begin();
    let clicks = deliveries.len();
    pipeline.metrics.read(clicks);
    if pipeline.process(deliveries, &mut stop).await == Err(Abandoned) {
        tracing::info!(clicks, "left {clicks} clicks to be handed out again");
    }
}

/// A batch whose task failed was not settled and will be handed out again, here or elsewhere.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = %error, "working on a batch failed: {error}");
    }
}

async fn finish(pipeline: &Pipeline, mut batches: JoinSet<()>) {
    let all = async {
        while let Some(ended) = batches.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(pipeline.settings.stop_timeout, all).await.is_err() {
        let left = batches.len();
        tracing::warn!(
            batches = left,
            "{left} batches were not finished in time and will be handed out again"
        );
    }
    batches.shutdown().await;
}
