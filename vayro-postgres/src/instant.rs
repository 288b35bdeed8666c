//! [`Timestamp`] as `TIMESTAMPTZ`, in the binary form PostgreSQL itself keeps: no text, no time zone.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::types::time::OffsetDateTime;
use sqlx::{Decode, Encode, Postgres, Type};
use vayro_core::timestamp::Timestamp;

/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// An instant on its way into or out of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) Timestamp);

/// The column holds no instant we know, such as `infinity`.
#[derive(Debug, thiserror::Error)]
#[error("an instant outside the years 1 to 9999, or not in binary form")]
struct NotAnInstant;

impl Instant {
    /// Returns microseconds since PostgreSQL's epoch.
    pub(crate) const fn postgres_micros(self) -> i64 {
        // Timestamps lie between the years 1 and 9999, so this cannot overflow.
        self.0.as_micros() - POSTGRES_EPOCH
    }
}

impl From<Timestamp> for Instant {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl From<Instant> for Timestamp {
    fn from(at: Instant) -> Self {
        at.0
    }
}

impl Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Instant {
    fn array_type_info() -> PgTypeInfo {
        <OffsetDateTime as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for Instant {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode(self.postgres_micros(), buffer)
    }

    fn size_hint(&self) -> usize {
        size_of::<i64>()
    }
}

impl<'r> Decode<'r, Postgres> for Instant {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        if value.format() != PgValueFormat::Binary {
            return Err(NotAnInstant.into());
        }
        let micros: i64 = Decode::<Postgres>::decode(value)?;
        let at = micros.checked_add(POSTGRES_EPOCH).and_then(Timestamp::from_micros);
        Ok(Self(at.ok_or(NotAnInstant)?))
    }
}
