//! Shares of statistics.

use async_trait::async_trait;
use sqlx::Connection as _;
use uuid::Uuid;
use vayro_core::change::ChangeContext;
use vayro_core::ids::{LinkId, ShareId, UserId, WorkspaceId};
use vayro_core::ports::{ShareStore, StoreError};
use vayro_core::share::{NewShare, Share};

use crate::audit::{Change, record};
use crate::database::PgStores;
use crate::instant::Instant;
use crate::row::{bad, maybe_instant, maybe_timestamp};

#[derive(sqlx::FromRow)]
struct ShareRow {
    id: Uuid,
    workspace_id: Uuid,
    link_id: Option<Uuid>,
    user_id: Uuid,
    name: String,
    prefix: String,
    password_hash: Option<String>,
    expires_at: Option<Instant>,
    revoked_at: Option<Instant>,
    created_at: Instant,
}

impl From<ShareRow> for Share {
    fn from(row: ShareRow) -> Self {
        Self {
            id: ShareId::from_uuid(row.id),
            workspace_id: WorkspaceId::from_uuid(row.workspace_id),
            link_id: row.link_id.map(LinkId::from_uuid),
            user_id: UserId::from_uuid(row.user_id),
            name: row.name,
            prefix: row.prefix,
            has_password: row.password_hash.is_some(),
            expires_at: maybe_timestamp(row.expires_at),
            revoked_at: maybe_timestamp(row.revoked_at),
            created_at: row.created_at.into(),
        }
    }
}

#[async_trait]
impl ShareStore for PgStores {
    async fn insert(&self, new: NewShare, context: &ChangeContext) -> Result<Share, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            sqlx::query(
                "INSERT INTO shares (id, workspace_id, link_id, user_id, name, prefix, hash, password_hash,
                                     expires_at, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(new.id.as_uuid())
            .bind(new.workspace_id.as_uuid())
            .bind(new.link_id.map(|id| id.as_uuid()))
            .bind(new.user_id.as_uuid())
            .bind(&new.name)
            .bind(&new.prefix)
            .bind(&new.hash[..])
            .bind(&new.password_hash)
            .bind(maybe_instant(new.expires_at))
            .bind(Instant(context.at))
            .execute(&mut *tx)
            .await?;
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
                workspace: Some(share.workspace_id),
                action: "share.create",
                subject: share.id.as_uuid(),
                before: None,
                after: Some(&share),
            };
            record(&mut tx, change, context).await?;
            tx.commit().await?;
            Ok(share)
        })
        .await
    }

    async fn find_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(Share, Option<String>)>, StoreError> {
        self.within(async |connection| {
            let row: Option<ShareRow> = sqlx::query_as(
                "SELECT id, workspace_id, link_id, user_id, name, prefix, password_hash, expires_at,
                        revoked_at, created_at
                 FROM shares WHERE hash = $1",
            )
            .bind(&hash[..])
            .fetch_optional(connection)
            .await?;
            Ok(row.map(|row| {
                let password_hash = row.password_hash.clone();
                (row.into(), password_hash)
            }))
        })
        .await
    }

    async fn list(&self, workspace: WorkspaceId, max: u16) -> Result<Vec<Share>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<ShareRow> = sqlx::query_as(
                "SELECT id, workspace_id, link_id, user_id, name, prefix, password_hash, expires_at,
                        revoked_at, created_at
                 FROM shares WHERE workspace_id = $1
                 ORDER BY created_at DESC, id DESC LIMIT $2",
            )
            .bind(workspace.as_uuid())
            .bind(i64::from(max))
            .fetch_all(connection)
            .await?;
            Ok(rows.into_iter().map(Share::from).collect())
        })
        .await
    }

    async fn count(&self, workspace: WorkspaceId) -> Result<u64, StoreError> {
        self.within(async |connection| {
            let count: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM shares WHERE workspace_id = $1 AND revoked_at IS NULL",
            )
            .bind(workspace.as_uuid())
            .fetch_one(connection)
            .await?;
            Ok(u64::try_from(count).map_err(|_| bad("shares.count"))?)
        })
        .await
    }

    async fn revoke(
        &self,
        workspace: WorkspaceId,
        id: ShareId,
        context: &ChangeContext,
    ) -> Result<Option<Share>, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let row: Option<ShareRow> = sqlx::query_as(
                "SELECT id, workspace_id, link_id, user_id, name, prefix, password_hash, expires_at,
                        revoked_at, created_at
                 FROM shares WHERE id = $1 AND workspace_id = $2
                 FOR NO KEY UPDATE",
            )
            .bind(id.as_uuid())
            .bind(workspace.as_uuid())
            .fetch_optional(&mut *tx)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let before = Share::from(row);
            if before.revoked_at.is_some() {
                return Ok(Some(before));
            }
            let after = Share { revoked_at: Some(context.at), ..before.clone() };
            sqlx::query("UPDATE shares SET revoked_at = $2 WHERE id = $1")
                .bind(id.as_uuid())
                .bind(Instant(context.at))
                .execute(&mut *tx)
                .await?;
            let change = Change {
                workspace: Some(workspace),
                action: "share.revoke",
                subject: id.as_uuid(),
                before: Some(&before),
                after: Some(&after),
            };
            record(&mut tx, change, context).await?;
            tx.commit().await?;
            Ok(Some(after))
        })
        .await
    }
}
