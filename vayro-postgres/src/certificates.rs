//! Certificates from an ACME server.

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use vayro_core::certificate::{
    Certificate, CertificateName, CertificateRecord, Challenge, Failure as Refusal, Order, TicketKey,
    Validity,
};
use vayro_core::outbox::OutboxEvent;
use vayro_core::ports::{CertificateStore, IssuerStore, ServedCertificates, StoreError, TicketKeyStore};
use vayro_core::timestamp::Timestamp;

use crate::database::PgStores;
use crate::error::Failure;
use crate::instant::Instant;
use crate::outbox::announce;
use crate::row::{bad, maybe_timestamp, parsed};

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
    not_before: Option<Instant>,
    not_after: Option<Instant>,
    renew_at: Option<Instant>,
    order_url: Option<String>,
    order_sealed_key: Option<Vec<u8>>,
    failures: i32,
    failure: Option<String>,
    failed_at: Option<Instant>,
    due_at: Instant,
}

impl TryFrom<RecordRow> for CertificateRecord {
    type Error = StoreError;

    fn try_from(row: RecordRow) -> Result<Self, StoreError> {
        let validity = row.not_before.zip(row.not_after);
        let failure = row.failure.zip(row.failed_at);
        Ok(Self {
            name: parsed(&row.name, "certificates.name")?,
            validity: validity.map(|(from, to)| Validity { not_before: from.into(), not_after: to.into() }),
            renew_at: maybe_timestamp(row.renew_at),
            order: row.order_sealed_key.map(|sealed_key| Order { url: row.order_url, sealed_key }),
            failure: failure.map(|(reason, at)| Refusal {
                reason,
                at: at.into(),
                count: row.failures.unsigned_abs(),
            }),
            due_at: row.due_at.into(),
        })
    }
}

#[derive(sqlx::FromRow)]
struct CertificateRow {
    name: String,
    chain: Option<String>,
    sealed_key: Option<Vec<u8>>,
    not_before: Option<Instant>,
    not_after: Option<Instant>,
    issued_at: Option<Instant>,
}

impl TryFrom<CertificateRow> for Certificate {
    type Error = StoreError;

    fn try_from(row: CertificateRow) -> Result<Self, StoreError> {
        let column = |column| move || bad(column);
        Ok(Self {
            name: parsed(&row.name, "certificates.name")?,
            chain: row.chain.ok_or_else(column("certificates.chain"))?,
            sealed_key: row.sealed_key.ok_or_else(column("certificates.sealed_key"))?,
            validity: Validity {
                not_before: row.not_before.ok_or_else(column("certificates.not_before"))?.into(),
                not_after: row.not_after.ok_or_else(column("certificates.not_after"))?.into(),
            },
            issued_at: row.issued_at.ok_or_else(column("certificates.issued_at"))?.into(),
        })
    }
}

fn texts(names: &[CertificateName]) -> Vec<&str> {
    names.iter().map(CertificateName::as_str).collect()
}

fn records(rows: Vec<RecordRow>) -> Result<Vec<CertificateRecord>, Failure> {
    Ok(rows.into_iter().map(CertificateRecord::try_from).collect::<Result<_, _>>()?)
}

async fn want(
    connection: &mut PgConnection,
    names: &[CertificateName],
    now: Timestamp,
) -> Result<(), Failure> {
    let mut tx = connection.begin().await?;
    sqlx::query(
        "INSERT INTO certificates (name, failures, due_at, created_at)
         SELECT name, 0, $2, $2 FROM unnest($1::text[]) AS wanted (name)
         ON CONFLICT DO NOTHING",
    )
    .bind(texts(names))
    .bind(Instant(now))
    .execute(&mut *tx)
    .await?;
    let removed: Vec<bool> = sqlx::query_scalar(
        "DELETE FROM certificates WHERE name <> ALL($1::text[]) RETURNING issued_at IS NOT NULL",
    )
    .bind(texts(names))
    .fetch_all(&mut *tx)
    .await?;
    if removed.contains(&true) {
        announce(&mut tx, &OutboxEvent::Domains, now).await?;
    }
    Ok(tx.commit().await?)
}

async fn complete(
    connection: &mut PgConnection,
    certificate: &Certificate,
    renew_at: Timestamp,
) -> Result<bool, Failure> {
    let mut tx = connection.begin().await?;
    let stored = sqlx::query(
        "UPDATE certificates
         SET chain = $2, sealed_key = $3, not_before = $4, not_after = $5, issued_at = $6, renew_at = $7,
             due_at = $7, order_url = NULL, order_sealed_key = NULL, failures = 0, failure = NULL,
             failed_at = NULL
         WHERE name = $1 AND order_sealed_key = $3",
    )
    .bind(certificate.name.as_str())
    .bind(&certificate.chain)
    .bind(&certificate.sealed_key)
    .bind(Instant(certificate.validity.not_before))
    .bind(Instant(certificate.validity.not_after))
    .bind(Instant(certificate.issued_at))
    .bind(Instant(renew_at))
    .execute(&mut *tx)
    .await?;
    if stored.rows_affected() == 0 {
        return Ok(false);
    }
    announce(&mut tx, &OutboxEvent::Domains, certificate.issued_at).await?;
    tx.commit().await?;
    Ok(true)
}

#[async_trait]
impl CertificateStore for PgStores {
    async fn want(&self, names: &[CertificateName], now: Timestamp) -> Result<(), StoreError> {
        self.within(async |connection| want(connection, names, now).await).await
    }

    async fn due(&self, now: Timestamp, max: u16) -> Result<Vec<CertificateRecord>, StoreError> {
        self.within(async |connection| {
            let rows = sqlx::query_as(concat!(
                select_records!(),
                " WHERE due_at <= $1 ORDER BY due_at, name LIMIT $2"
            ))
            .bind(Instant(now))
            .bind(i64::from(max))
            .fetch_all(connection)
            .await?;
            records(rows)
        })
        .await
    }

    async fn find(&self, names: &[CertificateName]) -> Result<Vec<CertificateRecord>, StoreError> {
        self.within(async |connection| {
            let rows = sqlx::query_as(concat!(select_records!(), " WHERE name = ANY($1::text[])"))
                .bind(texts(names))
                .fetch_all(connection)
                .await?;
            records(rows)
        })
        .await
    }

    async fn list(&self, max: u32) -> Result<Vec<CertificateRecord>, StoreError> {
        self.within(async |connection| {
            let rows = sqlx::query_as(concat!(select_records!(), " ORDER BY name LIMIT $1"))
                .bind(i64::from(max))
                .fetch_all(connection)
                .await?;
            records(rows)
        })
        .await
    }

    async fn set_order(&self, name: &CertificateName, order: Option<&Order>) -> Result<(), StoreError> {
        self.within(async |connection| {
            sqlx::query("UPDATE certificates SET order_url = $2, order_sealed_key = $3 WHERE name = $1")
                .bind(name.as_str())
                .bind(order.and_then(|order| order.url.as_deref()))
                .bind(order.map(|order| &order.sealed_key[..]))
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    async fn complete(&self, certificate: &Certificate, renew_at: Timestamp) -> Result<bool, StoreError> {
        self.within(async |connection| complete(connection, certificate, renew_at).await).await
    }

    async fn fail(
        &self,
        name: &CertificateName,
        failure: &Refusal,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.within(async |connection| {
            sqlx::query(
                "UPDATE certificates SET failures = $2, failure = $3, failed_at = $4, due_at = $5
                 WHERE name = $1",
            )
            .bind(name.as_str())
            .bind(i32::try_from(failure.count).unwrap_or(i32::MAX))
            .bind(&failure.reason)
            .bind(Instant(failure.at))
            .bind(Instant(due_at))
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    async fn reschedule(
        &self,
        name: &CertificateName,
        renew_at: Timestamp,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.within(async |connection| {
            sqlx::query("UPDATE certificates SET renew_at = $2, due_at = $3 WHERE name = $1")
                .bind(name.as_str())
                .bind(Instant(renew_at))
                .bind(Instant(due_at))
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    async fn hasten(&self, name: &CertificateName, now: Timestamp) -> Result<bool, StoreError> {
        self.within(async |connection| {
            let found = sqlx::query(
                "UPDATE certificates SET due_at = LEAST(due_at, $2) WHERE name = $1 AND failure IS NOT NULL",
            )
            .bind(name.as_str())
            .bind(Instant(now))
            .execute(connection)
            .await?;
            Ok(found.rows_affected() > 0)
        })
        .await
    }
}

#[async_trait]
impl IssuerStore for PgStores {
    async fn lease(&self, holder: &str, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        self.within(async |connection| {
            let taken = sqlx::query(
                "INSERT INTO task_leases AS l (task, holder, held_until) VALUES ($1, $2, $4)
                 ON CONFLICT (task) DO UPDATE SET holder = EXCLUDED.holder, held_until = EXCLUDED.held_until
                 WHERE l.holder = EXCLUDED.holder OR l.held_until <= $3",
            )
            .bind(ISSUER)
            .bind(holder)
            .bind(Instant(now))
            .bind(Instant(until))
            .execute(connection)
            .await?;
            Ok(taken.rows_affected() > 0)
        })
        .await
    }

    async fn release(&self, holder: &str) -> Result<(), StoreError> {
        self.within(async |connection| {
            sqlx::query("DELETE FROM task_leases WHERE task = $1 AND holder = $2")
                .bind(ISSUER)
                .bind(holder)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    async fn account(&self, directory: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.within(async |connection| {
            let sealed = sqlx::query_scalar("SELECT sealed FROM acme_accounts WHERE directory = $1")
                .bind(directory)
                .fetch_optional(connection)
                .await?;
            Ok(sealed)
        })
        .await
    }

    async fn put_account(&self, directory: &str, sealed: &[u8], now: Timestamp) -> Result<(), StoreError> {
        self.within(async |connection| {
            sqlx::query(
                "INSERT INTO acme_accounts (directory, sealed, created_at) VALUES ($1, $2, $3)
                 ON CONFLICT (directory) DO UPDATE
                 SET sealed = EXCLUDED.sealed, created_at = EXCLUDED.created_at",
            )
            .bind(directory)
            .bind(sealed)
            .bind(Instant(now))
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    async fn put_challenge(&self, challenge: &Challenge, now: Timestamp) -> Result<(), StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            sqlx::query("DELETE FROM acme_challenges WHERE expires_at <= $1")
                .bind(Instant(now))
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "INSERT INTO acme_challenges (token, answer, expires_at) VALUES ($1, $2, $3)
                 ON CONFLICT (token) DO UPDATE
                 SET answer = EXCLUDED.answer, expires_at = EXCLUDED.expires_at",
            )
            .bind(&challenge.token)
            .bind(&challenge.answer)
            .bind(Instant(challenge.expires_at))
            .execute(&mut *tx)
            .await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn remove_challenge(&self, token: &str) -> Result<(), StoreError> {
        self.within(async |connection| {
            sqlx::query("DELETE FROM acme_challenges WHERE token = $1")
                .bind(token)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl ServedCertificates for PgStores {
    async fn versions(&self, max: u32) -> Result<Vec<(CertificateName, Timestamp)>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<(String, Instant)> = sqlx::query_as(
                "SELECT name, issued_at FROM certificates WHERE issued_at IS NOT NULL ORDER BY name LIMIT $1",
            )
            .bind(i64::from(max))
            .fetch_all(connection)
            .await?;
            let version =
                |(name, at): (String, Instant)| Ok((parsed(&name, "certificates.name")?, at.into()));
            Ok(rows.into_iter().map(version).collect::<Result<_, StoreError>>()?)
        })
        .await
    }

    async fn load(&self, names: &[CertificateName]) -> Result<Vec<Certificate>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<CertificateRow> = sqlx::query_as(
                "SELECT name, chain, sealed_key, not_before, not_after, issued_at
                 FROM certificates WHERE name = ANY($1::text[]) AND issued_at IS NOT NULL",
            )
            .bind(texts(names))
            .fetch_all(connection)
            .await?;
            Ok(rows.into_iter().map(Certificate::try_from).collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn challenges(&self, now: Timestamp, max: u32) -> Result<Vec<Challenge>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<(String, String, Instant)> = sqlx::query_as(
                "SELECT token, answer, expires_at FROM acme_challenges
                 WHERE expires_at > $1 ORDER BY expires_at DESC LIMIT $2",
            )
            .bind(Instant(now))
            .bind(i64::from(max))
            .fetch_all(connection)
            .await?;
            let challenge = |(token, answer, expires_at): (String, String, Instant)| Challenge {
                token,
                answer,
                expires_at: expires_at.into(),
            };
            Ok(rows.into_iter().map(challenge).collect())
        })
        .await
    }
}

#[async_trait]
impl TicketKeyStore for PgStores {
    async fn exchange(&self, proposed: &[TicketKey], oldest: i64) -> Result<Vec<TicketKey>, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            for key in proposed {
                sqlx::query(
                    "INSERT INTO ticket_keys (period, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                )
                .bind(key.period)
                .bind(&key.sealed)
                .execute(&mut *tx)
                .await?;
            }
            sqlx::query("DELETE FROM ticket_keys WHERE period < $1").bind(oldest).execute(&mut *tx).await?;
            let rows: Vec<(i64, Vec<u8>)> =
                sqlx::query_as("SELECT period, sealed FROM ticket_keys ORDER BY period")
                    .fetch_all(&mut *tx)
                    .await?;
            tx.commit().await?;
            Ok(rows.into_iter().map(|(period, sealed)| TicketKey { period, sealed }).collect())
        })
        .await
    }
}
