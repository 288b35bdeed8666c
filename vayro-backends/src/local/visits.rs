//! Which visits were counted a moment ago, inside one process.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use vayro_core::ports::{RecentVisits, StreamError};
use vayro_core::timestamp::Timestamp;
use vayro_core::visits::{VisitClaim, VisitMarks};

/// Remembers counted visits in memory, as many as [`VISITS_MAX`](vayro_core::visits::VISITS_MAX); a restart
/// forgets them.
#[derive(Debug, Default)]
pub struct LocalVisits(Mutex<VisitMarks>);

#[async_trait]
impl RecentVisits for LocalVisits {
    async fn claim(
        &self,
        visits: &[VisitClaim],
        window: Duration,
        now: Timestamp,
    ) -> Result<Vec<bool>, StreamError> {
        let mut marks = self.0.lock();
        Ok(visits.iter().map(|visit| marks.claim(visit, window, now)).collect())
    }
}
