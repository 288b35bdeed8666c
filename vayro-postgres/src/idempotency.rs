//! Idempotency keys.

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use vayro_core::idempotency::{Claim, ClaimOutcome, KeptAnswer, TRIM_BATCH};
use vayro_core::ports::{IdempotencyStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::PgStores;
use crate::error::Failure;
use crate::instant::Instant;
use crate::row::bad_because;

/// A key that somebody else has.
#[derive(sqlx::FromRow)]
struct KeyRow {
    fingerprint: Vec<u8>,
    status: Option<i16>,
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

/// Takes the key if it is free; `false` if it is not. Either way its row is locked afterwards.
async fn take(connection: &mut PgConnection, claim: &Claim) -> Result<bool, Failure> {
    let taken = sqlx::query(
        "INSERT INTO idempotency_keys AS k
             (slot, user_id, fingerprint, claim_id, held_until, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (slot) DO UPDATE
         SET fingerprint = EXCLUDED.fingerprint, claim_id = EXCLUDED.claim_id,
             held_until = EXCLUDED.held_until, created_at = EXCLUDED.created_at,
             expires_at = EXCLUDED.expires_at, status = NULL, content_type = NULL, etag = NULL,
             location = NULL, body = NULL
         WHERE k.expires_at <= EXCLUDED.created_at
            OR (k.status IS NULL AND k.held_until <= EXCLUDED.created_at
                AND k.fingerprint = EXCLUDED.fingerprint)",
    )
    .bind(&claim.slot.as_bytes()[..])
    .bind(claim.user_id.as_uuid())
    .bind(&claim.fingerprint.as_bytes()[..])
    .bind(claim.id.as_uuid())
    .bind(Instant(claim.held_until))
    .bind(Instant(claim.at))
    .bind(Instant(claim.expires_at()))
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() > 0)
}

async fn find(connection: &mut PgConnection, claim: &Claim) -> Result<KeyRow, Failure> {
    let row = sqlx::query_as(
        "SELECT fingerprint, status, content_type, etag, location, body FROM idempotency_keys WHERE slot = $1",
    )
    .bind(&claim.slot.as_bytes()[..])
    .fetch_one(connection)
    .await?;
    Ok(row)
}

/// Removes some answered keys of the account that have expired or are older than its newest `keys_max`.
/// Those that another claim is at are left to it.
async fn trim(connection: &mut PgConnection, claim: &Claim, keys_max: u32) -> Result<(), Failure> {
    sqlx::query(
        "DELETE FROM idempotency_keys WHERE slot IN (
             SELECT slot FROM idempotency_keys
             WHERE user_id = $1 AND status IS NOT NULL
               AND (expires_at <= $2
                    OR expires_at < (SELECT n.expires_at FROM idempotency_keys n WHERE n.user_id = $1
                                     ORDER BY n.expires_at DESC OFFSET $3 LIMIT 1))
             ORDER BY expires_at LIMIT $4 FOR UPDATE SKIP LOCKED)",
    )
    .bind(claim.user_id.as_uuid())
    .bind(Instant(claim.at))
    .bind(i64::from(keys_max.saturating_sub(1)))
    .bind(i64::from(TRIM_BATCH))
    .execute(connection)
    .await?;
    Ok(())
}

#[async_trait]
impl IdempotencyStore for PgStores {
    async fn claim(&self, claim: &Claim, keys_max: u32) -> Result<ClaimOutcome, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let outcome = if take(&mut tx, claim).await? {
                trim(&mut tx, claim, keys_max).await?;
                ClaimOutcome::Held
            } else {
                find(&mut tx, claim).await?.outcome(claim)?
            };
            tx.commit().await?;
            Ok(outcome)
        })
        .await
    }

    async fn complete(&self, claim: &Claim, answer: &KeptAnswer) -> Result<bool, StoreError> {
        self.within(async |connection| {
            let updated = sqlx::query(
                "UPDATE idempotency_keys
                 SET status = $3, content_type = $4, etag = $5, location = $6, body = $7
                 WHERE slot = $1 AND claim_id = $2 AND status IS NULL",
            )
            .bind(&claim.slot.as_bytes()[..])
            .bind(claim.id.as_uuid())
            .bind(answer.status.cast_signed())
            .bind(&answer.content_type)
            .bind(&answer.etag)
            .bind(&answer.location)
            .bind(&answer.body)
            .execute(connection)
            .await?;
            Ok(updated.rows_affected() > 0)
        })
        .await
    }

    async fn release(&self, claim: &Claim) -> Result<bool, StoreError> {
        self.within(async |connection| {
            let deleted = sqlx::query(
                "DELETE FROM idempotency_keys WHERE slot = $1 AND claim_id = $2 AND status IS NULL",
            )
            .bind(&claim.slot.as_bytes()[..])
            .bind(claim.id.as_uuid())
            .execute(connection)
            .await?;
            Ok(deleted.rows_affected() > 0)
        })
        .await
    }

    async fn purge(&self, now: Timestamp, max: u16) -> Result<u64, StoreError> {
        self.within(async |connection| {
            let deleted = sqlx::query(
                "DELETE FROM idempotency_keys WHERE slot IN (
                     SELECT slot FROM idempotency_keys WHERE expires_at <= $1
                     ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            )
            .bind(Instant(now))
            .bind(i64::from(max))
            .execute(connection)
            .await?;
            Ok(deleted.rows_affected())
        })
        .await
    }
}
