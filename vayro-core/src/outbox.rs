//! From a committed change to every cache.
//!
//! The transaction that changes a link also writes an outbox row. Whoever is alive drains the
//! rows: it reads what the link is *now*, tells the caches, and removes the row. A crash in between
//! delays an edit and never loses it, and telling the caches twice does no harm because they compare
//! revisions.

use serde::{Deserialize, Serialize};

use crate::change::LinkChange;
use crate::link::LinkKey;
use crate::ports::{LinkLookup, LinkPublisher, Outbox, PublishError, StoreError};

/// Most rows handled in one go.
pub const BATCH_MAX: u16 = 500;

/// What an outbox row asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OutboxEvent {
    /// The link under this key changed.
    Link {
        /// Where caches keep it.
        key: LinkKey,
        /// The revision of the change.
        revision: i64,
    },
    /// The set of domains changed.
    Domains,
}

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Position; entries are handled in this order.
    pub sequence: i64,
    /// What to do.
    pub event: OutboxEvent,
}

/// Why a drain stopped; what it did not handle stays in the outbox.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The shared cache.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Tells the caches about every waiting change and returns how many rows were handled.
///
/// Safe to run in several processes at once.
///
/// # Errors
///
/// [`DrainError`] when the database or the shared cache is away; call again later.
pub async fn drain(
    outbox: &dyn Outbox,
    database: &dyn LinkLookup,
    publisher: &dyn LinkPublisher,
) -> Result<usize, DrainError> {
    let mut handled = 0;
    loop {
        let entries = outbox.pending(BATCH_MAX).await?;
        if entries.is_empty() {
            return Ok(handled);
        }
        let mut changes: Vec<LinkChange> = Vec::new();
        let mut are_domains_changed = false;
        for entry in &entries {
            match &entry.event {
                OutboxEvent::Domains => are_domains_changed = true,
                OutboxEvent::Link { key, revision } => {
                    let link = database.lookup(key).await?;
                    let revision = link.as_ref().map_or(*revision, |link| link.revision.max(*revision));
                    changes.push(LinkChange { key: key.clone(), link, revision });
                }
            }
        }
        if are_domains_changed {
            publisher.publish_domains().await?;
        }
        if !changes.is_empty() {
            publisher.publish(&changes).await?;
        }
        let sequences: Vec<i64> = entries.iter().map(|entry| entry.sequence).collect();
        outbox.remove(&sequences).await?;
        handled += entries.len();
        if entries.len() < usize::from(BATCH_MAX) {
            return Ok(handled);
        }
    }
}
