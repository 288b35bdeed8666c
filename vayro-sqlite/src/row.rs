//! From columns to types: what cannot be read is a corrupt row, named by table and column.

use std::str::FromStr;

use vayro_core::ports::{BoxError, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::error::internal;

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

/// Reads an instant.
pub(crate) fn instant(micros: i64, column: &'static str) -> Result<Timestamp, StoreError> {
    Timestamp::from_micros(micros).ok_or_else(|| bad(column))
}

/// Reads an instant that may be missing.
pub(crate) fn maybe_instant(
    micros: Option<i64>,
    column: &'static str,
) -> Result<Option<Timestamp>, StoreError> {
    micros.map(|micros| instant(micros, column)).transpose()
}

/// Reads a text with rules.
pub(crate) fn parsed<T>(text: &str, column: &'static str) -> Result<T, StoreError>
where
    T: FromStr<Err: Into<BoxError>>,
{
    text.parse().map_err(|error: T::Err| bad_because(column, error))
}

/// Returns the microseconds of an instant that may be missing.
pub(crate) fn maybe_micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_micros)
}
