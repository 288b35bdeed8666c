//! Shares of statistics.

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;
use vayro_core::change::ChangeContext;
use vayro_core::ids::{LinkId, ShareId, UserId, WorkspaceId};
use vayro_core::ports::{ShareStore, StoreError};
use vayro_core::share::{NewShare, Share};

use crate::audit::{Change, json, record};
use crate::database::SqliteStores;
use crate::error::store_error;
use crate::row::{bad, instant, maybe_instant, maybe_micros};

#[derive(sqlx::FromRow)]
struct ShareRow {
    id: Uuid,
    workspace_id: Uuid,
    link_id: Option<Uuid>,
    user_id: Uuid,
    name: String,
    prefix: String,
    password_hash: Option<String>,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    created_at: i64,
}

impl TryFrom<ShareRow> for Share {
    type Error = StoreError;

    fn try_from(row: ShareRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: ShareId::from_uuid(row.id),
            workspace_id: WorkspaceId::from_uuid(row.workspace_id),
            link_id: row.link_id.map(LinkId::from_uuid),
            user_id: UserId::from_uuid(row.user_id),
            name: row.name,
            prefix: row.prefix,
            has_password: row.password_hash.is_some(),
            expires_at: maybe_instant(row.expires_at, "shares.expires_at")?,
            revoked_at: maybe_instant(row.revoked_at, "shares.revoked_at")?,
            created_at: instant(row.created_at, "shares.created_at")?,
        })
    }
}

#[async_trait]
impl ShareStore for SqliteStores {
    async fn insert(&self, new: NewShare, context: &ChangeContext) -> Result<Share, StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO shares (id, workspace_id, link_id, user_id, name, prefix, hash, password_hash,
                                 expires_at, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .bind(new.id.as_uuid())
        .bind(new.workspace_id.as_uuid())
        .bind(new.link_id.map(|id| id.as_uuid()))
        .bind(new.user_id.as_uuid())
        .bind(&new.name)
        .bind(&new.prefix)
        .bind(new.hash.as_slice())
        .bind(&new.password_hash)
        .bind(maybe_micros(new.expires_at))
        .bind(context.at.as_micros())
        .execute(&mut *tx)
        .await
        .map_err(store_error)?;
        let share = Share {
            id: new.id,
            workspace_id: new.workspace_id,
            link_id: new.link_id,
            user_id: new.user_id,
            name: new.name,
            prefix: new.prefix,
            has_password: new.password_hash.is_some(),
            expires_at: new.expires_at,
            revoked_at: None,
            created_at: context.at,
        };
        let change = Change {
            workspace_id: Some(share.workspace_id),
            action: "share.create",
            subject_id: share.id.as_uuid(),
            before: Value::Null,
            after: json(&share)?,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(share)
    }

    async fn find_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(Share, Option<String>)>, StoreError> {
        let row: Option<ShareRow> = sqlx::query_as(
            "SELECT id, workspace_id, link_id, user_id, name, prefix, password_hash, expires_at, revoked_at,
                    created_at
             FROM shares WHERE hash = ?1",
        )
        .bind(hash.as_slice())
        .fetch_optional(&self.readers)
        .await
        .map_err(store_error)?;
        let Some(row) = row else { return Ok(None) };
        let password_hash = row.password_hash.clone();
        Ok(Some((row.try_into()?, password_hash)))
    }

    async fn list(&self, workspace: WorkspaceId, max: u16) -> Result<Vec<Share>, StoreError> {
        let rows: Vec<ShareRow> = sqlx::query_as(
            "SELECT id, workspace_id, link_id, user_id, name, prefix, password_hash, expires_at, revoked_at,
                    created_at
             FROM shares WHERE workspace_id = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2",
        )
        .bind(workspace.as_uuid())
        .bind(max)
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(Share::try_from).collect()
    }

    async fn count(&self, workspace: WorkspaceId) -> Result<u64, StoreError> {
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM shares WHERE workspace_id = ?1 AND revoked_at IS NULL")
                .bind(workspace.as_uuid())
                .fetch_one(&self.readers)
                .await
                .map_err(store_error)?;
        u64::try_from(count).map_err(|_| bad("shares.count"))
    }

    async fn revoke(
        &self,
        workspace: WorkspaceId,
        id: ShareId,
        context: &ChangeContext,
    ) -> Result<Option<Share>, StoreError> {
        let mut tx = self.begin().await?;
        let row: Option<ShareRow> = sqlx::query_as(
            "SELECT id, workspace_id, link_id, user_id, name, prefix, password_hash, expires_at, revoked_at,
                    created_at
             FROM shares WHERE id = ?1 AND workspace_id = ?2",
        )
        .bind(id.as_uuid())
        .bind(workspace.as_uuid())
        .fetch_optional(&mut *tx)
        .await
        .map_err(store_error)?;
        let Some(row) = row else { return Ok(None) };
        let before = Share::try_from(row)?;
        if before.revoked_at.is_some() {
            return Ok(Some(before));
        }
        let after = Share { revoked_at: Some(context.at), ..before.clone() };
        sqlx::query("UPDATE shares SET revoked_at = ?2 WHERE id = ?1")
            .bind(id.as_uuid())
            .bind(context.at.as_micros())
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        let change = Change {
            workspace_id: Some(workspace),
            action: "share.revoke",
            subject_id: id.as_uuid(),
            before: json(&before)?,
            after: json(&after)?,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(Some(after))
    }
}
