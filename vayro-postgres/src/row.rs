//! From columns to types: what cannot be read is a corrupt row, named by table and column.

use std::str::FromStr;

use vayro_core::ports::{BoxError, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::error::internal;
use crate::instant::Instant;

/// A stored value that our own code cannot have written.
#[derive(Debug, thiserror::Error)]
#[error("`{column}` holds a value that cannot be read")]
struct BadColumn {
    column: &'static str,
    #[source]
    source: Option<BoxError>,
}

/// Says that `column`, written as `table.column`, cannot be read.
pub(crate) fn bad(column: &'static str) -> StoreError {
    internal(BadColumn { column, source: None })
}

/// Says so, with the reason.
pub(crate) fn bad_because(column: &'static str, source: impl Into<BoxError>) -> StoreError {
    internal(BadColumn { column, source: Some(source.into()) })
}

/// Reads a text with rules.
pub(crate) fn parsed<T>(text: &str, column: &'static str) -> Result<T, StoreError>
where
    T: FromStr<Err: Into<BoxError>>,
{
    text.parse().map_err(|error: T::Err| bad_because(column, error))
}

/// Turns an instant that may be missing for its column.
pub(crate) fn maybe_instant(at: Option<Timestamp>) -> Option<Instant> {
    at.map(Instant)
}

/// Turns an instant that may be missing from its column.
pub(crate) fn maybe_timestamp(at: Option<Instant>) -> Option<Timestamp> {
    at.map(Timestamp::from)
}
