//! Takes over clicks that a worker held when it died.

use std::num::NonZeroUsize;
use std::sync::Arc;

use vayro_core::stream::{DeadReason, Delivery};

use super::prepare::letter;
use super::{Abandoned, CRASH_ATTEMPTS, Pipeline, SUSPECT_ATTEMPTS};
use crate::stop::Stop;

/// Entries taken over to see what the next ones are like.
const PROBE: NonZeroUsize = NonZeroUsize::MIN;

/// Takes over clicks at start and then every `reclaim_every`, until stopping is asked for.
pub(crate) async fn reclaim(pipeline: Arc<Pipeline>, mut stop: Stop) {
    loop {
        let is_stopping = pipeline.reclaim_round(&mut stop).await == Err(Abandoned);
        if is_stopping || !stop.pause(pipeline.settings.reclaim_every).await {
            return;
        }
    }
}

impl Pipeline {
    /// Tells whether taking over is right. Each time raises a click's attempts, so it must not go on
    /// while the database is away, nor while a batch of ours is nearly as old as a dead worker's would be:
    /// we would take it from ourselves. Half leaves time between here and the stream.
    fn may_reclaim(&self) -> bool {
        self.database.is_up()
            && self.in_flight.oldest().is_none_or(|oldest| oldest < self.settings.reclaim_idle / 2)
    }

    /// Works on everything that may be taken over now.
    ///
    /// A click that crashes workers takes the clicks it is handed out with along: their attempts rise too.
    /// So the first of them is taken alone, and only if it is no suspect the others come as a batch;
    /// suspects are taken and worked on one by one, which leaves the innocent where they are.
    async fn reclaim_round(&self, stop: &mut Stop) -> Result<(), Abandoned> {
        loop {
            let mut slot = tokio::select! {
                slot = self.in_flight.slot() => slot,
                () = stop.requested() => return Err(Abandoned),
            };
            if !self.may_reclaim() {
                return Ok(());
            }
            let Some(first) = self.take_over(PROBE).await.pop() else { return Ok(()) };
            slot.begin();
            if first.attempts >= SUSPECT_ATTEMPTS {
                self.alone(first, stop).await?;
                continue;
            }
            let others = self.take_over(self.settings.batch_max).await;
            let (suspects, mut innocent): (Vec<_>, Vec<_>) =
                others.into_iter().partition(|delivery| delivery.attempts >= SUSPECT_ATTEMPTS);
            innocent.push(first);
            self.process(innocent, stop).await?;
            for suspect in suspects {
                self.alone(suspect, stop).await?;
            }
        }
    }

    async fn take_over(&self, max: NonZeroUsize) -> Vec<Delivery> {
        match self.deps.stream.reclaim(max, self.settings.reclaim_idle).await {
            Ok(deliveries) => {
                self.stream.up();
                self.metrics.reclaimed.inc_by(deliveries.len() as u64);
                deliveries
            }
            Err(error) => {
                self.stream.down(&error);
                self.metrics.stream_retries.inc();
                Vec::new()
            }
        }
    }

    /// Works on a click that workers may have died over; puts it aside if they did so too often. Not
    /// while the database is away, since then nobody knows what they died over.
    async fn alone(&self, delivery: Delivery, stop: &mut Stop) -> Result<(), Abandoned> {
        if delivery.attempts < CRASH_ATTEMPTS || !self.database.is_up() {
            return self.process(vec![delivery], stop).await;
        }
        let error = format!("handed out {} times and never settled", delivery.attempts);
        let dead = letter(delivery, DeadReason::Crashed, error, (self.deps.clock)());
        self.settle(Vec::new(), vec![dead], stop).await
    }
}
