//! Ports of the click pipeline: sink, stream, dead letters, rows.

use std::num::NonZeroUsize;
use std::time::Duration;

use async_trait::async_trait;

use super::BoxError;
use crate::click::{Click, ClickRow};
use crate::ids::ClickId;
use crate::page::Page;
use crate::purge::ClickSelector;
use crate::stream::{
    BoundedCount, DeadLetter, DeadLetterFilter, DeadReason, Delivery, DeliveryId, NewDeadLetter, StreamStats,
    Unsettled,
};
use crate::timestamp::Timestamp;

/// The batch was not, or not surely, taken; offer the same clicks with the same ids again.
#[derive(Debug, thiserror::Error)]
#[error("click stream does not take clicks")]
pub struct SinkError(#[source] pub BoxError);

/// What waits in front of the stream because it is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// Bytes on disk not yet delivered.
    pub bytes: u64,
    /// Clicks among them.
    pub clicks: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<Timestamp>,
    /// Clicks that the spool had taken and lost to a failing disk, since start. What it refuses, because
    /// it is full or the disk fails, stays with the caller of [`ClickSink::append`].
    pub dropped: u64,
}

/// Takes clicks from the edge's shipper, off the redirect path.
#[async_trait]
pub trait ClickSink: Send + Sync {
    /// Appends the clicks in order. When this returns `Ok` each of them will be handed to a worker.
    ///
    /// # Errors
    ///
    /// [`SinkError`] when some may not have been taken; appending them again is safe.
    async fn append(&self, clicks: &[Click]) -> Result<(), SinkError>;

    /// Returns what is spooled in front of the stream; zeros for a sink without a spool.
    fn spool_stats(&self) -> SpoolStats {
        SpoolStats::default()
    }
}

/// The stream is away or failed; nothing was lost.
#[derive(Debug, thiserror::Error)]
#[error("click stream is unavailable")]
pub struct StreamError(#[source] pub BoxError);

/// Hands clicks to a worker at least once: what is not acknowledged comes back.
///
/// One value is one consumer. Methods take `&self` and may run at the same time; two calls of
/// `next_batch` never hand out the same entry.
#[async_trait]
pub trait ClickStream: Send + Sync {
    /// Hands out at most `max` entries never handed out before, waiting up to `wait` for the first one.
    /// Empty when none came. Dropping the future loses nothing: the entries are redelivered by `reclaim`.
    async fn next_batch(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>, StreamError>;

    /// Hands out again at most `max` entries that some consumer, perhaps this one before a restart, has
    /// held unacknowledged for at least `min_idle`. Raises their attempts.
    async fn reclaim(&self, max: NonZeroUsize, min_idle: Duration) -> Result<Vec<Delivery>, StreamError>;

    /// Settles entries; they never come back. Settling twice changes nothing.
    async fn ack(&self, ids: &[DeliveryId]) -> Result<(), StreamError>;

    /// Puts entries aside as dead letters and settles them, each in one step.
    async fn dead_letter(&self, letters: &[NewDeadLetter]) -> Result<(), StreamError>;

    /// Removes settled entries older than `window`; never an entry that is not settled. Returns how many
    /// were removed as far as the stream can tell.
    async fn trim(&self, window: Duration, now: Timestamp) -> Result<u64, StreamError>;

    /// Measures the stream. Counting stops at a bound and says so.
    async fn stats(&self, now: Timestamp) -> Result<StreamStats, StreamError>;

    /// Counts what is not settled, handed out or not, by the day of the click. Counting stops at `max`
    /// entries, or a little above, and says so.
    async fn unsettled(&self, max: u64) -> Result<Unsettled, StreamError>;

    /// Makes every entry that the stream still holds and that was added at or after `since` one that was
    /// never handed out, whoever settled it; for a database that lost its last minutes. Returns how many of
    /// them had been handed out before. What waited anyway is not touched.
    async fn replay(&self, since: Timestamp) -> Result<BoundedCount, StreamError>;

    /// Removes the entries that `selector` names after the one with id `after`: those never handed out, those
    /// that are out, and settled ones that are still kept. Searches a part of the stream; `next` of the answer
    /// says where to go on. Where entries cannot be removed alone, they go as soon as they are settled, with all
    /// other settled ones; only what is not settled may still be handed out. Returns the clicks that the named
    /// entries are of.
    async fn purge(
        &self,
        selector: &ClickSelector,
        after: Option<&str>,
    ) -> Result<Page<ClickId, String>, StreamError>;

    /// Returns how many shards of the stream this consumer reads; one where the stream has none.
    fn shards_held(&self) -> usize {
        1
    }

    /// Forgets this consumer if it holds nothing; what it holds stays reclaimable.
    async fn leave(&self) -> Result<(), StreamError>;
}

/// The dead letters.
#[async_trait]
pub trait DeadLetterStore: Send + Sync {
    /// Lists letters that match, oldest first, at most `max`, after the letter with id `after`.
    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<&str>,
        max: u16,
    ) -> Result<Page<DeadLetter, String>, StreamError>;

    /// Returns one letter.
    async fn find(&self, id: &str) -> Result<Option<DeadLetter>, StreamError>;

    /// Puts these letters back into the click stream with the same click ids and removes them here, each
    /// in one step; unknown ids are ignored. Returns how many were put back.
    async fn replay(&self, ids: &[String]) -> Result<u64, StreamError>;

    /// Removes these letters for good; unknown ids are ignored. Returns how many were removed.
    async fn purge(&self, ids: &[String]) -> Result<u64, StreamError>;
}

/// Why clicks could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Worth trying again with the same batch: the database is away, slow or read-only.
    #[error("click rows cannot be written now")]
    Unavailable(#[source] BoxError),
    /// The data is at fault; nothing of the batch was stored. Bisecting finds the row.
    #[error("a click row was refused")]
    Rejected {
        /// What kind of fault.
        reason: DeadReason,
        /// The database's words.
        #[source]
        source: BoxError,
    },
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOutcome {
    /// Rows stored now.
    pub inserted: u64,
    /// Rows that were there already, or twice in the batch.
    pub duplicates: u64,
}

/// Stores enriched clicks and the counters made of them.
#[async_trait]
pub trait ClickStore: Send + Sync {
    /// Stores the rows and raises each link's `clicks` and `last_click_at` by the counted rows that were
    /// really inserted, all in one transaction. Rows stored before are ignored, so a replay changes nothing.
    async fn write(&self, rows: &[ClickRow]) -> Result<WriteOutcome, WriteError>;

    /// Makes sure that storage for every month from that of `from` to that of `to` exists.
    async fn ensure_partitions(&self, from: Timestamp, to: Timestamp) -> Result<(), super::StoreError>;

    /// Returns the secret salt of the UTC day that holds `day`, storing `candidate` if there is none yet.
    /// Every caller gets the same salt. `None` if `day` lies before `oldest`: its salt is gone for good.
    async fn visitor_salt(
        &self,
        day: Timestamp,
        candidate: [u8; 16],
        oldest: Timestamp,
    ) -> Result<Option<[u8; 16]>, super::StoreError>;

    /// Deletes the salts of UTC days before the one that holds `oldest` and returns how many.
    async fn delete_salts(&self, oldest: Timestamp) -> Result<u64, super::StoreError>;
}
