//! Certificates from an ACME server.

use async_trait::async_trait;
use vayro_core::certificate::{
    Certificate, CertificateName, CertificateRecord, Challenge, Failure, Order, TicketKey, Validity,
};
use vayro_core::outbox::OutboxEvent;
use vayro_core::ports::{CertificateStore, IssuerStore, ServedCertificates, StoreError, TicketKeyStore};
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::error::{internal, store_error};
use crate::outbox::announce;
use crate::row::{bad, instant, maybe_instant, parsed};

/// The one task that needs the right to do it.
const ISSUER: &str = "issuer";

/// Beginning of every statement that reads [`RecordRow`]s.
macro_rules! select_records {
    () => {
        "SELECT name, not_before, not_after, renew_at, order_url, order_sealed_key, failures, failure, failed_at, due_at
         FROM certificates"
    };
}

#[derive(sqlx::FromRow)]
struct RecordRow {
    name: String,
    not_before: Option<i64>,
    not_after: Option<i64>,
    renew_at: Option<i64>,
    order_url: Option<String>,
    order_sealed_key: Option<Vec<u8>>,
    failures: i64,
    failure: Option<String>,
    failed_at: Option<i64>,
    due_at: i64,
}

impl TryFrom<RecordRow> for CertificateRecord {
    type Error = StoreError;

    fn try_from(row: RecordRow) -> Result<Self, StoreError> {
        let not_before = maybe_instant(row.not_before, "certificates.not_before")?;
        let not_after = maybe_instant(row.not_after, "certificates.not_after")?;
        let failure = row.failure.zip(maybe_instant(row.failed_at, "certificates.failed_at")?);
        let count = u32::try_from(row.failures).map_err(|_| bad("certificates.failures"))?;
        Ok(Self {
            name: parsed(&row.name, "certificates.name")?,
            validity: not_before
                .zip(not_after)
                .map(|(not_before, not_after)| Validity { not_before, not_after }),
            renew_at: maybe_instant(row.renew_at, "certificates.renew_at")?,
            order: row.order_sealed_key.map(|sealed_key| Order { url: row.order_url, sealed_key }),
            failure: failure.map(|(reason, at)| Failure { reason, at, count }),
            due_at: instant(row.due_at, "certificates.due_at")?,
        })
    }
}

#[derive(sqlx::FromRow)]
struct CertificateRow {
    name: String,
    chain: Option<String>,
    sealed_key: Option<Vec<u8>>,
    not_before: Option<i64>,
    not_after: Option<i64>,
    issued_at: Option<i64>,
}

impl TryFrom<CertificateRow> for Certificate {
    type Error = StoreError;

    fn try_from(row: CertificateRow) -> Result<Self, StoreError> {
        let at = |micros: Option<i64>, column| instant(micros.ok_or_else(|| bad(column))?, column);
        Ok(Self {
            name: parsed(&row.name, "certificates.name")?,
            chain: row.chain.ok_or_else(|| bad("certificates.chain"))?,
            sealed_key: row.sealed_key.ok_or_else(|| bad("certificates.sealed_key"))?,
            validity: Validity {
                not_before: at(row.not_before, "certificates.not_before")?,
                not_after: at(row.not_after, "certificates.not_after")?,
            },
            issued_at: at(row.issued_at, "certificates.issued_at")?,
        })
    }
}

/// Returns names as one JSON array, which a statement takes apart.
fn array(names: &[CertificateName]) -> Result<String, StoreError> {
    serde_json::to_string(names).map_err(internal)
}

fn records(rows: Vec<RecordRow>) -> Result<Vec<CertificateRecord>, StoreError> {
    rows.into_iter().map(CertificateRecord::try_from).collect()
}

#[async_trait]
impl CertificateStore for SqliteStores {
    async fn want(&self, names: &[CertificateName], now: Timestamp) -> Result<(), StoreError> {
        let names = array(names)?;
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO certificates (name, failures, due_at, created_at)
             SELECT value, 0, ?2, ?2 FROM json_each(?1) WHERE TRUE
             ON CONFLICT DO NOTHING",
        )
        .bind(&names)
        .bind(now.as_micros())
        .execute(&mut *tx)
        .await
        .map_err(store_error)?;
        let removed: Vec<bool> = sqlx::query_scalar(
            "DELETE FROM certificates WHERE name NOT IN (SELECT value FROM json_each(?1))
             RETURNING issued_at IS NOT NULL",
        )
        .bind(&names)
        .fetch_all(&mut *tx)
        .await
        .map_err(store_error)?;
        if removed.contains(&true) {
            announce(&mut tx, &OutboxEvent::Domains, now).await?;
        }
        tx.commit().await.map_err(store_error)
    }

    async fn due(&self, now: Timestamp, max: u16) -> Result<Vec<CertificateRecord>, StoreError> {
        let rows =
            sqlx::query_as(concat!(select_records!(), " WHERE due_at <= ?1 ORDER BY due_at, name LIMIT ?2"))
                .bind(now.as_micros())
                .bind(max)
                .fetch_all(&self.readers)
                .await
                .map_err(store_error)?;
        records(rows)
    }

    async fn find(&self, names: &[CertificateName]) -> Result<Vec<CertificateRecord>, StoreError> {
        let rows =
            sqlx::query_as(concat!(select_records!(), " WHERE name IN (SELECT value FROM json_each(?1))"))
                .bind(array(names)?)
                .fetch_all(&self.readers)
                .await
                .map_err(store_error)?;
        records(rows)
    }

    async fn list(&self, max: u32) -> Result<Vec<CertificateRecord>, StoreError> {
        let rows = sqlx::query_as(concat!(select_records!(), " ORDER BY name LIMIT ?1"))
            .bind(max)
            .fetch_all(&self.readers)
            .await
            .map_err(store_error)?;
        records(rows)
    }

    async fn set_order(&self, name: &CertificateName, order: Option<&Order>) -> Result<(), StoreError> {
        sqlx::query("UPDATE certificates SET order_url = ?2, order_sealed_key = ?3 WHERE name = ?1")
            .bind(name.as_str())
            .bind(order.and_then(|order| order.url.as_deref()))
            .bind(order.map(|order| &order.sealed_key[..]))
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(store_error)
    }

    async fn complete(&self, certificate: &Certificate, renew_at: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let stored = sqlx::query(
            "UPDATE certificates
             SET chain = ?2, sealed_key = ?3, not_before = ?4, not_after = ?5, issued_at = ?6, renew_at = ?7,
                 due_at = ?7, order_url = NULL, order_sealed_key = NULL, failures = 0, failure = NULL,
                 failed_at = NULL
             WHERE name = ?1 AND order_sealed_key = ?3",
        )
        .bind(certificate.name.as_str())
        .bind(&certificate.chain)
        .bind(&certificate.sealed_key)
        .bind(certificate.validity.not_before.as_micros())
        .bind(certificate.validity.not_after.as_micros())
        .bind(certificate.issued_at.as_micros())
        .bind(renew_at.as_micros())
        .execute(&mut *tx)
        .await
        .map_err(store_error)?;
        if stored.rows_affected() == 0 {
            return Ok(false);
        }
        announce(&mut tx, &OutboxEvent::Domains, certificate.issued_at).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(true)
    }

    async fn fail(
        &self,
        name: &CertificateName,
        failure: &Failure,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE certificates SET failures = ?2, failure = ?3, failed_at = ?4, due_at = ?5 WHERE name = ?1",
        )
        .bind(name.as_str())
        .bind(failure.count)
        .bind(&failure.reason)
        .bind(failure.at.as_micros())
        .bind(due_at.as_micros())
        .execute(&self.writer)
        .await
        .map(drop)
        .map_err(store_error)
    }

    async fn reschedule(
        &self,
        name: &CertificateName,
        renew_at: Timestamp,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE certificates SET renew_at = ?2, due_at = ?3 WHERE name = ?1")
            .bind(name.as_str())
            .bind(renew_at.as_micros())
            .bind(due_at.as_micros())
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(store_error)
    }

    async fn hasten(&self, name: &CertificateName, now: Timestamp) -> Result<bool, StoreError> {
        let found = sqlx::query(
            "UPDATE certificates SET due_at = MIN(due_at, ?2) WHERE name = ?1 AND failure IS NOT NULL",
        )
        .bind(name.as_str())
        .bind(now.as_micros())
        .execute(&self.writer)
        .await
        .map_err(store_error)?;
        Ok(found.rows_affected() > 0)
    }
}

#[async_trait]
impl IssuerStore for SqliteStores {
    async fn lease(&self, holder: &str, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        let taken = sqlx::query(
            "INSERT INTO task_leases AS l (task, holder, held_until) VALUES (?1, ?2, ?4)
             ON CONFLICT (task) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
             WHERE l.holder = excluded.holder OR l.held_until <= ?3",
        )
        .bind(ISSUER)
        .bind(holder)
        .bind(now.as_micros())
        .bind(until.as_micros())
        .execute(&self.writer)
        .await
        .map_err(store_error)?;
        Ok(taken.rows_affected() > 0)
    }

    async fn release(&self, holder: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM task_leases WHERE task = ?1 AND holder = ?2")
            .bind(ISSUER)
            .bind(holder)
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(store_error)
    }

    async fn account(&self, directory: &str) -> Result<Option<Vec<u8>>, StoreError> {
        sqlx::query_scalar("SELECT sealed FROM acme_accounts WHERE directory = ?1")
            .bind(directory)
            .fetch_optional(&self.readers)
            .await
            .map_err(store_error)
    }

    async fn put_account(&self, directory: &str, sealed: &[u8], now: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO acme_accounts (directory, sealed, created_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (directory) DO UPDATE SET sealed = excluded.sealed, created_at = excluded.created_at",
        )
        .bind(directory)
        .bind(sealed)
        .bind(now.as_micros())
        .execute(&self.writer)
        .await
        .map(drop)
        .map_err(store_error)
    }

    async fn put_challenge(&self, challenge: &Challenge, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM acme_challenges WHERE expires_at <= ?1")
            .bind(now.as_micros())
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        sqlx::query(
            "INSERT INTO acme_challenges (token, answer, expires_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (token) DO UPDATE SET answer = excluded.answer, expires_at = excluded.expires_at",
        )
        .bind(&challenge.token)
        .bind(&challenge.answer)
        .bind(challenge.expires_at.as_micros())
        .execute(&mut *tx)
        .await
        .map_err(store_error)?;
        tx.commit().await.map_err(store_error)
    }

    async fn remove_challenge(&self, token: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM acme_challenges WHERE token = ?1")
            .bind(token)
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(store_error)
    }
}

#[async_trait]
impl ServedCertificates for SqliteStores {
    async fn versions(&self, max: u32) -> Result<Vec<(CertificateName, Timestamp)>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT name, issued_at FROM certificates WHERE issued_at IS NOT NULL ORDER BY name LIMIT ?1",
        )
        .bind(max)
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        let version = |(name, at): (String, i64)| {
            Ok((parsed(&name, "certificates.name")?, instant(at, "certificates.issued_at")?))
        };
        rows.into_iter().map(version).collect()
    }

    async fn load(&self, names: &[CertificateName]) -> Result<Vec<Certificate>, StoreError> {
        let rows: Vec<CertificateRow> = sqlx::query_as(
            "SELECT name, chain, sealed_key, not_before, not_after, issued_at FROM certificates
             WHERE name IN (SELECT value FROM json_each(?1)) AND issued_at IS NOT NULL",
        )
        .bind(array(names)?)
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(Certificate::try_from).collect()
    }

    async fn challenges(&self, now: Timestamp, max: u32) -> Result<Vec<Challenge>, StoreError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT token, answer, expires_at FROM acme_challenges
             WHERE expires_at > ?1 ORDER BY expires_at DESC LIMIT ?2",
        )
        .bind(now.as_micros())
        .bind(max)
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        let challenge = |(token, answer, expires_at): (String, String, i64)| {
            let expires_at = instant(expires_at, "acme_challenges.expires_at")?;
            Ok(Challenge { token, answer, expires_at })
        };
        rows.into_iter().map(challenge).collect()
    }
}

#[async_trait]
impl TicketKeyStore for SqliteStores {
    async fn exchange(&self, proposed: &[TicketKey], oldest: i64) -> Result<Vec<TicketKey>, StoreError> {
        let mut tx = self.begin().await?;
        for key in proposed {
            sqlx::query("INSERT INTO ticket_keys (period, sealed) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
                .bind(key.period)
                .bind(&key.sealed)
                .execute(&mut *tx)
                .await
                .map_err(store_error)?;
        }
        sqlx::query("DELETE FROM ticket_keys WHERE period < ?1")
            .bind(oldest)
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT period, sealed FROM ticket_keys ORDER BY period")
                .fetch_all(&mut *tx)
                .await
                .map_err(store_error)?;
        tx.commit().await.map_err(store_error)?;
        Ok(rows.into_iter().map(|(period, sealed)| TicketKey { period, sealed }).collect())
    }
}
