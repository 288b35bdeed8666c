//! Idempotency keys.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use vayro_core::idempotency::{Claim, ClaimOutcome, KeptAnswer, TRIM_BATCH};
use vayro_core::ports::{IdempotencyStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::error::store_error;
use crate::row::bad_because;

/// A key that somebody else has.
#[derive(sqlx::FromRow)]
struct KeyRow {
    fingerprint: Vec<u8>,
    status: Option<i64>,
    content_type: Option<String>,
    etag: Option<String>,
    location: Option<String>,
    body: Option<Vec<u8>>,
}

impl KeyRow {
    /// Tells what the key stands for, to somebody who did not get it.
    fn outcome(self, claim: &Claim) -> Result<ClaimOutcome, StoreError> {
        if self.fingerprint != claim.fingerprint.as_bytes() {
            return Ok(ClaimOutcome::OtherRequest);
        }
        let Some(status) = self.status else { return Ok(ClaimOutcome::Running) };
        let status = u16::try_from(status).map_err(|error| bad_because("idempotency_keys.status", error))?;
        let Self { content_type, etag, location, body, .. } = self;
        Ok(ClaimOutcome::Answered(Box::new(KeptAnswer { status, content_type, etag, location, body })))
    }
}

/// Takes the key if it is free; `false` if it is not.
async fn take(connection: &mut SqliteConnection, claim: &Claim) -> Result<bool, StoreError> {
    let taken = sqlx::query(
        "INSERT INTO idempotency_keys AS k
             (slot, user_id, fingerprint, claim_id, held_until, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (slot) DO UPDATE
         SET fingerprint = excluded.fingerprint, claim_id = excluded.claim_id,
             held_until = excluded.held_until, created_at = excluded.created_at,
             expires_at = excluded.expires_at, status = NULL, content_type = NULL, etag = NULL,
             location = NULL, body = NULL
         WHERE k.expires_at <= excluded.created_at
            OR (k.status IS NULL AND k.held_until <= excluded.created_at
                AND k.fingerprint = excluded.fingerprint)",
    )
    .bind(claim.slot.as_bytes().as_slice())
    .bind(claim.user_id.as_uuid())
    .bind(claim.fingerprint.as_bytes().as_slice())
    .bind(claim.id.as_uuid())
    .bind(claim.held_until.as_micros())
    .bind(claim.at.as_micros())
    .bind(claim.expires_at().as_micros())
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(taken.rows_affected() > 0)
}

async fn find(connection: &mut SqliteConnection, claim: &Claim) -> Result<KeyRow, StoreError> {
    sqlx::query_as(
        "SELECT fingerprint, status, content_type, etag, location, body FROM idempotency_keys WHERE slot = ?1",
    )
    .bind(claim.slot.as_bytes().as_slice())
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// Removes some answered keys of the account that have expired or are older than its newest `keys_max`.
async fn trim(connection: &mut SqliteConnection, claim: &Claim, keys_max: u32) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM idempotency_keys WHERE slot IN (
             SELECT slot FROM idempotency_keys
             WHERE user_id = ?1 AND status IS NOT NULL
               AND (expires_at <= ?2
                    OR expires_at < (SELECT n.expires_at FROM idempotency_keys n WHERE n.user_id = ?1
                                     ORDER BY n.expires_at DESC LIMIT 1 OFFSET ?3))
             ORDER BY expires_at LIMIT ?4)",
    )
    .bind(claim.user_id.as_uuid())
    .bind(claim.at.as_micros())
    .bind(keys_max.saturating_sub(1))
    .bind(TRIM_BATCH)
    .execute(connection)
    .await
    .map(drop)
    .map_err(store_error)
}

#[async_trait]
impl IdempotencyStore for SqliteStores {
    async fn claim(&self, claim: &Claim, keys_max: u32) -> Result<ClaimOutcome, StoreError> {
        let mut tx = self.begin().await?;
        let outcome = if take(&mut tx, claim).await? {
            trim(&mut tx, claim, keys_max).await?;
            ClaimOutcome::Held
        } else {
            find(&mut tx, claim).await?.outcome(claim)?
        };
        tx.commit().await.map_err(store_error)?;
        Ok(outcome)
    }

    async fn complete(&self, claim: &Claim, answer: &KeptAnswer) -> Result<bool, StoreError> {
        let updated = sqlx::query(
            "UPDATE idempotency_keys
             SET status = ?3, content_type = ?4, etag = ?5, location = ?6, body = ?7
             WHERE slot = ?1 AND claim_id = ?2 AND status IS NULL",
        )
        .bind(claim.slot.as_bytes().as_slice())
        .bind(claim.id.as_uuid())
        .bind(answer.status)
        .bind(&answer.content_type)
        .bind(&answer.etag)
        .bind(&answer.location)
        .bind(&answer.body)
        .execute(&self.writer)
        .await
        .map_err(store_error)?;
        Ok(updated.rows_affected() > 0)
    }

    async fn release(&self, claim: &Claim) -> Result<bool, StoreError> {
        let deleted =
            sqlx::query("DELETE FROM idempotency_keys WHERE slot = ?1 AND claim_id = ?2 AND status IS NULL")
                .bind(claim.slot.as_bytes().as_slice())
                .bind(claim.id.as_uuid())
                .execute(&self.writer)
                .await
                .map_err(store_error)?;
        Ok(deleted.rows_affected() > 0)
    }

    async fn purge(&self, now: Timestamp, max: u16) -> Result<u64, StoreError> {
        let deleted = sqlx::query(
            "DELETE FROM idempotency_keys WHERE slot IN (
                 SELECT slot FROM idempotency_keys WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
        )
        .bind(now.as_micros())
        .bind(max)
        .execute(&self.writer)
        .await
        .map_err(store_error)?;
        Ok(deleted.rows_affected())
    }
}
