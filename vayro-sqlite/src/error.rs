//! What SQLite's errors mean to callers.

use sqlx::error::DatabaseError;
use vayro_core::ports::{BoxError, StoreError, WriteError};
use vayro_core::stream::DeadReason;

/// Result codes of SQLite that decide something, without their extended part.
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const READONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const TOOBIG: i32 = 18;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const MISMATCH: i32 = 20;
    pub(super) const NOTADB: i32 = 26;
}

/// Extended code of a broken foreign key.
const CONSTRAINT_FOREIGNKEY: i32 = 787;

/// Our names for unique indexes, by the columns that SQLite names in its message.
const CONFLICTS: [(&str, &str); 5] = [
    ("users.email", "user_email"),
    ("domains.host", "domain_host"),
    ("api_keys.hash", "key_hash"),
    ("shares.hash", "share_hash"),
    ("links.domain_id, links.short_code", vayro_core::links::LINK_CODE_CONSTRAINT),
];

/// The words before the columns in SQLite's message about a unique index.
const UNIQUE_PREFIX: &str = "UNIQUE constraint failed: ";

fn extended_code(error: &dyn DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or(0)
}

fn conflict(error: &dyn DatabaseError) -> Option<&'static str> {
    let columns = error.message().strip_prefix(UNIQUE_PREFIX)?;
    CONFLICTS.into_iter().find(|(known, _)| *known == columns).map(|(_, name)| name)
}

/// Tells whether the same call may well succeed later.
pub(crate) fn is_temporary(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => matches!(
            extended_code(error.as_ref()) & 0xFF,
            code::PERM
                | code::BUSY
                | code::LOCKED
                | code::NOMEM
                | code::READONLY
                | code::INTERRUPT
                | code::IOERR
                | code::FULL
                | code::CANTOPEN
                | code::PROTOCOL
        ),
        _ => false,
    }
}

/// Tells whether somebody else holds the lock.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| matches!(extended_code(error) & 0xFF, code::BUSY | code::LOCKED))
}

/// Tells whether the file is damaged or no database at all.
pub(crate) fn is_corrupt(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| matches!(extended_code(error) & 0xFF, code::CORRUPT | code::NOTADB))
}

/// Turns an error of any statement but the writing of clicks into what callers act on.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    if let Some(constraint) = error.as_database_error().and_then(conflict) {
        return StoreError::Conflict { constraint };
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

/// Turns an error of the writing of clicks into what a worker acts on.
///
/// Only what surely lies in the rows is their fault. Anything else, a damaged file included, must
/// not make dead letters of good clicks.
pub(crate) fn write_error(error: sqlx::Error) -> WriteError {
    let code = error.as_database_error().map_or(0, extended_code);
    failed_write(code, error)
}

/// The same of the other driver's error.
pub(crate) fn driver_error(error: rusqlite::Error) -> WriteError {
    failed_write(error.sqlite_error().map_or(0, |error| error.extended_code), error)
}

fn failed_write(code: i32, error: impl Into<BoxError>) -> WriteError {
    let reason = match code & 0xFF {
        _ if code == CONSTRAINT_FOREIGNKEY => DeadReason::UnknownLink,
        code::CONSTRAINT | code::TOOBIG | code::MISMATCH => DeadReason::Rejected,
        _ => return WriteError::Unavailable(error.into()),
    };
    WriteError::Rejected { reason, source: error.into() }
}
