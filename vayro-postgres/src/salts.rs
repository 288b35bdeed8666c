//! The secret salts of the visitor hash, one per UTC day.

use sqlx::PgConnection;
use vayro_core::timestamp::Timestamp;

use crate::error::Failure;
use crate::instant::Instant;
use crate::row::bad_because;

const DAY_MICROS: i64 = 86_400_000_000;

fn day_number(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(DAY_MICROS)
}

async fn find(connection: &mut PgConnection, day: Timestamp) -> Result<Option<[u8; 16]>, Failure> {
    let salt: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT salt FROM visitor_salts WHERE day = ($1 AT TIME ZONE 'UTC')::date")
            .bind(Instant(day))
            .fetch_optional(&mut *connection)
            .await?;
    let read = |salt: Vec<u8>| <[u8; 16]>::try_from(salt.as_slice());
    Ok(salt.map(read).transpose().map_err(|error| bad_because("visitor_salts.salt", error))?)
}

/// Returns the salt of a day, storing `candidate` if there is none; `None` for a day before that of `oldest`.
pub(crate) async fn find_or_store(
    connection: &mut PgConnection,
    day: Timestamp,
    candidate: [u8; 16],
    oldest: Timestamp,
) -> Result<Option<[u8; 16]>, Failure> {
    if day_number(day) < day_number(oldest) {
        return Ok(None);
    }
    if let Some(salt) = find(connection, day).await? {
        return Ok(Some(salt));
    }
    sqlx::query(
        "INSERT INTO visitor_salts (day, salt) VALUES (($1 AT TIME ZONE 'UTC')::date, $2)
         ON CONFLICT DO NOTHING",
    )
    .bind(Instant(day))
    .bind(&candidate[..])
    .execute(&mut *connection)
    .await?;
    // Read back, since somebody else may have been first.
    find(connection, day).await
}

/// Deletes the salts of days before that of `oldest`.
pub(crate) async fn delete(connection: &mut PgConnection, oldest: Timestamp) -> Result<u64, Failure> {
    let deleted = sqlx::query("DELETE FROM visitor_salts WHERE day < ($1 AT TIME ZONE 'UTC')::date")
        .bind(Instant(oldest))
        .execute(&mut *connection)
        .await?;
    Ok(deleted.rows_affected())
}
