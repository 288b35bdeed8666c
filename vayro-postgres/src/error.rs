//! What PostgreSQL's errors mean to callers.

use sqlx::error::DatabaseError;
use vayro_core::links::LINK_CODE_CONSTRAINT;
use vayro_core::ports::{BoxError, StoreError, WriteError};
use vayro_core::stream::DeadReason;

/// SQLSTATE codes that decide something.
mod state {
    pub(super) const UNIQUE_VIOLATION: &str = "23505";
    pub(super) const FOREIGN_KEY_VIOLATION: &str = "23503";
    pub(super) const CHECK_VIOLATION: &str = "23514";
    pub(super) const READ_ONLY_TRANSACTION: &str = "25006";
    pub(super) const IDLE_IN_TRANSACTION: &str = "25P03";
    pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";
    pub(super) const INVALID_BINARY: &str = "22P03";
    pub(super) const BAD_COPY_FILE: &str = "22P04";
}

/// Classes of SQLSTATE that pass: connection (08), authorization (28), no such database (3D), rollback
/// and deadlock (40), resources (53), operator intervention and time limits (57), system (58).
const TEMPORARY_CLASSES: [&str; 7] = ["08", "28", "3D", "40", "53", "57", "58"];

/// Our names for unique constraints.
const CONFLICTS: [(&str, &str); 5] = [
    ("users_email_key", "user_email"),
    ("domains_host_key", "domain_host"),
    ("api_keys_hash_key", "key_hash"),
    ("shares_hash_key", "share_hash"),
    ("links_domain_id_short_code_key", LINK_CODE_CONSTRAINT),
];

/// Why a unit of work failed: what `?` makes of everything that can happen inside one.
pub(crate) enum Failure {
    /// The driver or the database said so; what it means depends on what was done.
    Driver(sqlx::Error),
    /// We said so, and know what it means.
    Store(StoreError),
}

impl Failure {
    /// Tells whether the connection may be in any state.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Driver(error) => is_temporary(error),
            Self::Store(error) => matches!(error, StoreError::Unavailable(_)),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn sql_state(error: &dyn DatabaseError) -> String {
    error.code().map(std::borrow::Cow::into_owned).unwrap_or_default()
}

/// Tells whether a row with the same unique value is there already.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| sql_state(error) == state::UNIQUE_VIOLATION)
}

/// Tells whether somebody else held a lock for too long.
pub(crate) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| sql_state(error) == state::LOCK_NOT_AVAILABLE)
}

/// Tells whether rows elsewhere still need the row through the foreign key `constraint`.
pub(crate) fn is_referenced(error: &sqlx::Error, constraint: &str) -> bool {
    error.as_database_error().is_some_and(|error| {
        sql_state(error) == state::FOREIGN_KEY_VIOLATION && error.constraint() == Some(constraint)
    })
}

/// Tells whether the same call may well succeed later.
pub(crate) fn is_temporary(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        // A connection that was cut at the wrong moment; the pool throws it away.
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => {
            let state = sql_state(error.as_ref());
            TEMPORARY_CLASSES.iter().any(|class| state.starts_with(class))
                || matches!(
                    state.as_str(),
                    state::READ_ONLY_TRANSACTION | state::IDLE_IN_TRANSACTION | state::LOCK_NOT_AVAILABLE
                )
        }
        _ => false,
    }
}

/// Turns the failure of anything but the writing of clicks into what callers act on.
pub(crate) fn store_error(failure: Failure) -> StoreError {
    let error = match failure {
        Failure::Driver(error) => error,
        Failure::Store(error) => return error,
    };
    if is_duplicate(&error) {
        let constraint = error.as_database_error().and_then(DatabaseError::constraint);
        let known = CONFLICTS.into_iter().find(|(name, _)| Some(*name) == constraint);
        if let Some((_, constraint)) = known {
            return StoreError::Conflict { constraint };
        }
    }
    if is_temporary(&error) {
        return StoreError::Unavailable(Box::new(error));
    }
    StoreError::Internal(Box::new(error))
}

/// Wraps a failure that is nobody's fault but ours.
pub(crate) fn internal(error: impl Into<BoxError>) -> StoreError {
    StoreError::Internal(error.into())
}

/// Turns a failure of the writing of clicks into what a worker acts on.
///
/// Only what surely lies in the rows is their fault. Anything else, a missing table included, must not
/// make dead letters of good clicks.
pub(crate) fn write_error(failure: Failure) -> WriteError {
    let error = match failure {
        Failure::Driver(error) => error,
        Failure::Store(error) => return WriteError::Unavailable(Box::new(error)),
    };
    let reason = error.as_database_error().and_then(|error| match sql_state(error).as_str() {
        state::FOREIGN_KEY_VIOLATION => Some(DeadReason::UnknownLink),
        // The table has no check of its own: this is a row for which there is no partition.
        state::CHECK_VIOLATION => Some(DeadReason::OutOfRange),
        // Our own framing would be at fault, or a row that a concurrent writer has just stored.
        state::INVALID_BINARY | state::BAD_COPY_FILE | state::UNIQUE_VIOLATION => None,
        other if other.starts_with("22") || other.starts_with("23") => Some(DeadReason::Rejected),
        _ => None,
    });
    match reason {
        Some(reason) => WriteError::Rejected { reason, source: Box::new(error) },
        None => WriteError::Unavailable(Box::new(error)),
    }
}
