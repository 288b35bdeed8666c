//! Visits that come again within moments.

use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::visits::VisitClaim;

use super::{Abandoned, Pipeline};
use crate::stop::Stop;

impl Pipeline {
    /// Makes repeats of those counted rows whose visitor was counted on the link a moment before. Waits out an
    /// outage of what is asked: which of two visits is the repeat cannot be guessed.
    pub(super) async fn tell_repeats(&self, rows: &mut [ClickRow], stop: &mut Stop) -> Result<(), Abandoned> {
        let window = self.settings.repeat_window;
        if window.is_zero() {
            return Ok(());
        }
        let mut places = Vec::with_capacity(rows.len());
        let mut visits = Vec::with_capacity(rows.len());
        for (place, row) in rows.iter().enumerate() {
            if let Some(visit) = claim(row) {
                places.push(place);
                visits.push(visit);
            }
        }
        if visits.is_empty() {
            return Ok(());
        }
        let mut backoff = self.backoff();
        let counted = loop {
            let timer = self.metrics.repeats_seconds.start_timer();
            let asked = self.deps.visits.claim(&visits, window, (self.deps.clock)()).await;
            timer.observe_duration();
            match asked {
                Ok(counted) => break counted,
                Err(error) => {
                    self.stream.down(&error);
                    self.metrics.stream_retries.inc();
                    if !backoff.wait(stop).await {
                        return Err(Abandoned);
                    }
                }
            }
        };
        self.stream.up();
        for (place, is_counted) in places.into_iter().zip(counted) {
            if !is_counted {
                rows[place].class = ClickClass::Repeat;
            }
        }
        Ok(())
    }
}

/// Nobody is recognized without a pseudonym, so such a visit is never a repeat.
fn claim(row: &ClickRow) -> Option<VisitClaim> {
    let visitor_id = row.visitor_id.filter(|_| row.class == ClickClass::Counted)?;
    Some(VisitClaim { click_id: row.id, link_id: row.link_id, visitor_id })
}
