//! What the outside must offer: one trait per role, one contract suite per trait.
//!
//! Traits are small and free of driver types. One method is one unit of work; no transaction
//! crosses a port. Not-found is an `Option`. Time, ids and randomness are arguments.

mod accounts;
mod amendments;
mod analytics;
mod certificates;
mod clicks;
mod events;
mod idempotency;
mod ledger;
mod links;
mod messages;
mod purges;
mod retention;
mod shares;
mod visits;

pub use accounts::{AuditStore, DomainStore, KeyStore, SessionStore, UserStore, WorkspaceStore};
pub use amendments::AmendmentStore;
pub use analytics::{AnalyticsStore, RollupCounts, RollupRange, RollupStore, RollupValues, Visit};
pub use certificates::{CertificateStore, IssuerStore, ServedCertificates, TicketKeyStore};
pub use clicks::{
    ClickSink, ClickStore, ClickStream, DeadLetterStore, SinkError, SpoolStats, StreamError, WriteError,
    WriteOutcome,
};
pub use events::EventStore;
pub use idempotency::IdempotencyStore;
pub use ledger::{LedgerError, LedgerFile, LedgerStore};
pub use links::{LinkLookup, LinkPublisher, LinkStore, Outbox, PublishError};
pub use messages::{EdgeReports, InvalidationFeed, RateDecision, RateLimiter};
pub use purges::PurgeStore;
pub use retention::RetentionStore;
pub use shares::ShareStore;
pub use visits::RecentVisits;

/// The cause of a failure, kept for the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong in any store. Not-found is not here: it is an `Option`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A uniqueness rule was broken; `constraint` is our name for it, the same on every adapter.
    #[error("`{constraint}` is already taken")]
    Conflict {
        /// `link_code`, `user_email`, `domain_host`, `key_hash` or `share_hash`.
        constraint: &'static str,
    },
    /// Worth trying again: lost connection, busy database, serialisation failure.
    #[error("storage is unavailable")]
    Unavailable(#[source] BoxError),
    /// A bug or a corrupt row; never retried, always logged.
    #[error("storage failed")]
    Internal(#[source] BoxError),
}
