//! Sessions.

use async_trait::async_trait;
use uuid::Uuid;
use vayro_core::account::{NewSession, Session, User};
use vayro_core::ids::{SessionId, UserId};
use vayro_core::ports::{SessionStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::PgStores;
use crate::instant::Instant;
use crate::users::UserRow;

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: Uuid,
    owner_id: Uuid,
    expires_at: Instant,
    last_used_at: Instant,
    user_agent: String,
    ip_address: String,
    created_at: Instant,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        Self {
            id: SessionId::from_uuid(row.id),
            user_id: UserId::from_uuid(row.owner_id),
            expires_at: row.expires_at.into(),
            last_used_at: row.last_used_at.into(),
            user_agent: row.user_agent,
            ip_address: row.ip_address,
            created_at: row.created_at.into(),
        }
    }
}

#[async_trait]
impl SessionStore for PgStores {
    async fn insert(&self, new: NewSession) -> Result<(), StoreError> {
        let NewSession { session, hash } = new;
        self.within(async |connection| {
            sqlx::query(
                "INSERT INTO sessions
                     (id, user_id, hash, expires_at, last_used_at, user_agent, ip_address, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(session.id.as_uuid())
            .bind(session.user_id.as_uuid())
            .bind(&hash[..])
            .bind(Instant(session.expires_at))
            .bind(Instant(session.last_used_at))
            .bind(&session.user_agent)
            .bind(&session.ip_address)
            .bind(Instant(session.created_at))
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    async fn find_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(Session, User)>, StoreError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            #[sqlx(flatten)]
            session: SessionRow,
            #[sqlx(flatten)]
            user: UserRow,
        }
        self.within(async |connection| {
            let row: Option<Row> = sqlx::query_as(
                "SELECT s.id, s.user_id AS owner_id, s.expires_at, s.last_used_at, s.user_agent,
                        s.ip_address, s.created_at,
                        u.id AS user_id, u.email, u.plan, u.is_operator, u.disabled_at,
                        u.created_at AS user_created_at
                 FROM sessions s JOIN users u ON u.id = s.user_id
                 WHERE s.hash = $1",
            )
            .bind(&hash[..])
            .fetch_optional(connection)
            .await?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some((row.session.into(), row.user.try_into()?)))
        })
        .await
    }

    async fn list(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<SessionRow> = sqlx::query_as(
                "SELECT id, user_id AS owner_id, expires_at, last_used_at, user_agent, ip_address, created_at
                 FROM sessions WHERE user_id = $1 AND expires_at > $2
                 ORDER BY created_at DESC, id DESC",
            )
            .bind(user.as_uuid())
            .bind(Instant(now))
            .fetch_all(connection)
            .await?;
            Ok(rows.into_iter().map(Session::from).collect())
        })
        .await
    }

    async fn touch(&self, id: SessionId, at: Timestamp, expires_at: Timestamp) -> Result<(), StoreError> {
        self.within(async |connection| {
            sqlx::query("UPDATE sessions SET last_used_at = $2, expires_at = $3 WHERE id = $1")
                .bind(id.as_uuid())
                .bind(Instant(at))
                .bind(Instant(expires_at))
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    async fn delete(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        self.within(async |connection| {
            let deleted = sqlx::query("DELETE FROM sessions WHERE id = $1 AND user_id = $2")
                .bind(id.as_uuid())
                .bind(user.as_uuid())
                .execute(connection)
                .await?;
            Ok(deleted.rows_affected() > 0)
        })
        .await
    }

    async fn delete_expired(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.within(async |connection| {
            let deleted = sqlx::query("DELETE FROM sessions WHERE expires_at < $1")
                .bind(Instant(now))
                .execute(connection)
                .await?;
            Ok(deleted.rows_affected())
        })
        .await
    }
}
