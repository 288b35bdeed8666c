//! The daily secrets of the visitor hash.

use vayro_core::ports::StoreError;
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::error::store_error;
use crate::row::bad;

/// Length of a UTC day in microseconds; leap seconds are not counted.
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

const SELECT: &str = "SELECT salt FROM visitor_salts WHERE day = ?1";

/// Returns the UTC day, counted from 1970.
fn day_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(DAY_MICROS)
}

fn salt(bytes: Vec<u8>) -> Result<[u8; 16], StoreError> {
    bytes.try_into().map_err(|_| bad("visitor_salts.salt"))
}

pub(crate) async fn visitor_salt(
    stores: &SqliteStores,
    day: Timestamp,
    candidate: [u8; 16],
    oldest: Timestamp,
) -> Result<Option<[u8; 16]>, StoreError> {
    let day = day_of(day);
    if day < day_of(oldest) {
        return Ok(None);
    }
    let known: Option<Vec<u8>> =
        sqlx::query_scalar(SELECT).bind(day).fetch_optional(&stores.readers).await.map_err(store_error)?;
    if let Some(known) = known {
        return salt(known).map(Some);
    }
    let mut tx = stores.begin().await?;
    sqlx::query("INSERT INTO visitor_salts (day, salt) VALUES (?1, ?2) ON CONFLICT (day) DO NOTHING")
        .bind(day)
        .bind(candidate.as_slice())
        .execute(&mut *tx)
        .await
        .map_err(store_error)?;
    let decided = sqlx::query_scalar(SELECT).bind(day).fetch_one(&mut *tx).await.map_err(store_error)?;
    tx.commit().await.map_err(store_error)?;
    salt(decided).map(Some)
}

pub(crate) async fn delete_salts(stores: &SqliteStores, oldest: Timestamp) -> Result<u64, StoreError> {
    let deleted = sqlx::query("DELETE FROM visitor_salts WHERE day < ?1")
        .bind(day_of(oldest))
        .execute(&stores.writer)
        .await
        .map_err(store_error)?;
    Ok(deleted.rows_affected())
}
