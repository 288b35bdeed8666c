//! Takes over clicks that a worker held when it died.

use std::num::NonZeroUsize;
use std::sync::Arc;

use vayro_core::stream::{DeadReason, Delivery};

use super::prepare::letter;
use super::{ALONE_ATTEMPTS, Abandoned, CRASH_ATTEMPTS, Pipeline, SUSPECT_ATTEMPTS};
use crate::stop::Stop;

/// Entries taken over to see what the next ones are like.
const PROBE: NonZeroUsize = NonZeroUsize::MIN;
/// With each further attempt a sixteenth as many clicks are worked on together.
const STEP_BITS: u32 = 4;

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
    /// So the first one is taken alone, and the more often it was handed out, the fewer come with it: the
    /// culprit is found in a few steps, and the innocent do not wait for a transaction each.
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
            let mut deliveries = match NonZeroUsize::new(self.together_max(&first) - 1) {
                Some(others) => self.take_over(others).await,
                None => Vec::new(),
            };
            deliveries.push(first);
            // Those least under suspicion go first.
            deliveries.sort_by_key(|delivery| delivery.attempts);
            while let Some(max) = deliveries.first().map(|first| self.together_max(first)) {
                let is_alike = |delivery: &&Delivery| self.together_max(delivery) == max;
                let group = deliveries.iter().take(max).take_while(is_alike).count();
                let rest = deliveries.split_off(group);
                self.few(std::mem::replace(&mut deliveries, rest), stop).await?;
            }
        }
    }

    /// Returns how many clicks that were handed out as often as this one are worked on together.
    fn together_max(&self, delivery: &Delivery) -> usize {
        if delivery.attempts >= ALONE_ATTEMPTS {
            return 1;
        }
        let steps = delivery.attempts.saturating_sub(SUSPECT_ATTEMPTS - 1);
        (self.settings.batch_max.get() >> (STEP_BITS * steps)).max(1)
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

    /// Works on clicks that workers may have died over; puts a single one aside if they did so too often. Not
    /// while the database is away, since then nobody knows what they died over.
    async fn few(&self, mut deliveries: Vec<Delivery>, stop: &mut Stop) -> Result<(), Abandoned> {
        let is_culprit = |delivery: &Delivery| delivery.attempts >= CRASH_ATTEMPTS && self.database.is_up();
        if deliveries.len() > 1 || !deliveries.first().is_some_and(is_culprit) {
            return self.process(deliveries, stop).await;
        }
        let Some(delivery) = deliveries.pop() else { return Ok(()) };
        let error = format!("handed out {} times and never settled", delivery.attempts);
        let dead = letter(delivery, DeadReason::Crashed, error, (self.deps.clock)());
        self.settle(Vec::new(), vec![dead], stop).await
    }
}
