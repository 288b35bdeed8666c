//! Port of the memory of recent visits.

use std::time::Duration;

use async_trait::async_trait;

use super::StreamError;
use crate::timestamp::Timestamp;
use crate::visits::VisitClaim;

/// Remembers for a while which visits were counted, for all workers together.
#[async_trait]
pub trait RecentVisits: Send + Sync {
    /// Says of each visit, in order, whether it is counted: whether no other click of its visitor on its link
    /// was counted no more than `window` before or after it, as far as is remembered. Those that are counted
    /// are remembered at once, so that of several calls at the same time only one counts. A click that was
    /// counted before is counted again.
    ///
    /// After an error some of the visits may be remembered; asking again with the same clicks is safe.
    ///
    /// # Errors
    ///
    /// [`StreamError`] when nobody can be asked now.
    async fn claim(
        &self,
        visits: &[VisitClaim],
        window: Duration,
        now: Timestamp,
    ) -> Result<Vec<bool>, StreamError>;
}
