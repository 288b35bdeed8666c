//! Telling the stream what is done.

use std::collections::HashSet;

use vayro_core::failpoint;
use vayro_core::ports::StreamError;
use vayro_core::stream::{DeliveryId, NewDeadLetter};

use super::{Abandoned, Pipeline};
use crate::backoff::Backoff;
use crate::stop::Stop;

impl Pipeline {
    /// Puts `dead` aside and acknowledges the rest of `ids`, trying again while the stream is away.
    pub(super) async fn settle(
        &self,
        mut ids: Vec<DeliveryId>,
        dead: Vec<NewDeadLetter>,
        stop: &mut Stop,
    ) -> Result<(), Abandoned> {
        if !dead.is_empty() {
            let aside: HashSet<&DeliveryId> = dead.iter().map(|letter| &letter.delivery.id).collect();
            ids.retain(|id| !aside.contains(id));
        }
        let mut backoff = self.backoff();
        // Good clicks first: they must not come back because of a bad one.
        if !ids.is_empty() {
            failpoint::hit(failpoint::BEFORE_ACK);
            while !self.was_taken(self.deps.stream.ack(&ids).await, &mut backoff, stop).await? {}
            failpoint::hit(failpoint::AFTER_ACK);
        }
        if !dead.is_empty() {
            while !self.was_taken(self.deps.stream.dead_letter(&dead).await, &mut backoff, stop).await? {}
            for letter in &dead {
                self.metrics.dead_letter(letter.reason);
                tracing::warn!(
                    delivery.id = letter.delivery.id.0,
                    reason = letter.reason.as_str(),
                    error = letter.error,
                    "put a click aside as `{}`: {}",
                    letter.reason.as_str(),
                    letter.error
                );
            }
        }
        Ok(())
    }

    /// Tells whether the stream took what it was told; if not, waits until it is worth telling it again.
    async fn was_taken(
        &self,
        told: Result<(), StreamError>,
        backoff: &mut Backoff,
        stop: &mut Stop,
    ) -> Result<bool, Abandoned> {
        match told {
            Ok(()) => {
                self.stream.up();
                backoff.reset();
                Ok(true)
            }
            Err(error) => {
                self.stream.down(&error);
                self.metrics.stream_retries.inc();
                if backoff.wait(stop).await { Ok(false) } else { Err(Abandoned) }
            }
        }
    }
}
