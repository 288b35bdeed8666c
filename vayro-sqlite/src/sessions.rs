//! Sessions.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use uuid::Uuid;
use vayro_core::account::{NewSession, Session, User};
use vayro_core::ids::{SessionId, UserId};
use vayro_core::ports::{SessionStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::error::store_error;
use crate::row::{bad, instant};
use crate::users;

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: Uuid,
    user_id: Uuid,
    expires_at: i64,
    last_used_at: i64,
    user_agent: String,
    ip_address: String,
    created_at: i64,
}

impl TryFrom<SessionRow> for Session {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: SessionId::from_uuid(row.id),
            user_id: UserId::from_uuid(row.user_id),
            expires_at: instant(row.expires_at, "sessions.expires_at")?,
            last_used_at: instant(row.last_used_at, "sessions.last_used_at")?,
            user_agent: row.user_agent,
            ip_address: row.ip_address,
            created_at: instant(row.created_at, "sessions.created_at")?,
        })
    }
}

/// Ends every session of an account, in the transaction that makes it necessary.
pub(crate) async fn end_all(connection: &mut SqliteConnection, user: UserId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sessions WHERE user_id = ?1")
        .bind(user.as_uuid())
        .execute(connection)
        .await
        .map(drop)
        .map_err(store_error)
}

#[async_trait]
impl SessionStore for SqliteStores {
    async fn insert(&self, new: NewSession) -> Result<(), StoreError> {
        let session = new.session;
        sqlx::query(
            "INSERT INTO sessions
                 (id, user_id, hash, expires_at, last_used_at, user_agent, ip_address, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(session.id.as_uuid())
        .bind(session.user_id.as_uuid())
        .bind(new.hash.as_slice())
        .bind(session.expires_at.as_micros())
        .bind(session.last_used_at.as_micros())
        .bind(&session.user_agent)
        .bind(&session.ip_address)
        .bind(session.created_at.as_micros())
        .execute(&self.writer)
        .await
        .map(drop)
        .map_err(store_error)
    }

    async fn find_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(Session, User)>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(store_error)?;
        let row: Option<SessionRow> = sqlx::query_as(
            "SELECT id, user_id, expires_at, last_used_at, user_agent, ip_address, created_at
             FROM sessions WHERE hash = ?1",
        )
        .bind(hash.as_slice())
        .fetch_optional(&mut *connection)
        .await
        .map_err(store_error)?;
        let Some(row) = row else { return Ok(None) };
        let session = Session::try_from(row)?;
        let user =
            users::find(&mut connection, session.user_id).await?.ok_or_else(|| bad("sessions.user_id"))?;
        Ok(Some((session, user)))
    }

    async fn list(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>, StoreError> {
        let rows: Vec<SessionRow> = sqlx::query_as(
            "SELECT id, user_id, expires_at, last_used_at, user_agent, ip_address, created_at
             FROM sessions WHERE user_id = ?1 AND expires_at > ?2 ORDER BY created_at DESC, id DESC",
        )
        .bind(user.as_uuid())
        .bind(now.as_micros())
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(Session::try_from).collect()
    }

    async fn touch(&self, id: SessionId, at: Timestamp, expires_at: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE sessions SET last_used_at = ?2, expires_at = ?3 WHERE id = ?1")
            .bind(id.as_uuid())
            .bind(at.as_micros())
            .bind(expires_at.as_micros())
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(store_error)
    }

    async fn delete(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        let deleted = sqlx::query("DELETE FROM sessions WHERE id = ?1 AND user_id = ?2")
            .bind(id.as_uuid())
            .bind(user.as_uuid())
            .execute(&self.writer)
            .await
            .map_err(store_error)?;
        Ok(deleted.rows_affected() > 0)
    }

    async fn delete_expired(&self, now: Timestamp) -> Result<u64, StoreError> {
        let deleted = sqlx::query("DELETE FROM sessions WHERE expires_at < ?1")
            .bind(now.as_micros())
            .execute(&self.writer)
            .await
            .map_err(store_error)?;
        Ok(deleted.rows_affected())
    }
}
