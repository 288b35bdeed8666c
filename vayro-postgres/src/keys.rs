//! API keys.

use async_trait::async_trait;
use sqlx::Connection as _;
use uuid::Uuid;
use vayro_core::access::Scope;
use vayro_core::account::{ApiKey, NewApiKey, User};
use vayro_core::change::ChangeContext;
use vayro_core::ids::{KeyId, UserId, WorkspaceId};
use vayro_core::ports::{KeyStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::audit::{Change, record};
use crate::database::PgStores;
use crate::instant::Instant;
use crate::row::{bad, maybe_instant, maybe_timestamp};
use crate::users::UserRow;

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: Uuid,
    workspace_id: Uuid,
    owner_id: Uuid,
    name: String,
    prefix: String,
    scopes: Vec<String>,
    expires_at: Option<Instant>,
    last_used_at: Option<Instant>,
    revoked_at: Option<Instant>,
    created_at: Instant,
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let scope = |name: &String| Scope::from_name(name).ok_or_else(|| bad("api_keys.scopes"));
        Ok(Self {
            id: KeyId::from_uuid(row.id),
            workspace_id: WorkspaceId::from_uuid(row.workspace_id),
            user_id: UserId::from_uuid(row.owner_id),
            name: row.name,
            prefix: row.prefix,
            scopes: row.scopes.iter().map(scope).collect::<Result<_, _>>()?,
            expires_at: maybe_timestamp(row.expires_at),
            last_used_at: maybe_timestamp(row.last_used_at),
            revoked_at: maybe_timestamp(row.revoked_at),
            created_at: row.created_at.into(),
        })
    }
}

#[async_trait]
impl KeyStore for PgStores {
    async fn insert(&self, new: NewApiKey, context: &ChangeContext) -> Result<ApiKey, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.as_str()).collect();
            sqlx::query(
                "INSERT INTO api_keys
                     (id, workspace_id, user_id, name, prefix, hash, scopes, expires_at, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(new.id.as_uuid())
            .bind(new.workspace_id.as_uuid())
            .bind(new.user_id.as_uuid())
            .bind(&new.name)
            .bind(&new.prefix)
            .bind(&new.hash[..])
            .bind(scopes)
            .bind(maybe_instant(new.expires_at))
            .bind(Instant(context.at))
            .execute(&mut *tx)
            .await?;
            let key = ApiKey {
                id: new.id,
                workspace_id: new.workspace_id,
                user_id: new.user_id,
                name: new.name,
                prefix: new.prefix,
                scopes: new.scopes,
                expires_at: new.expires_at,
                last_used_at: None,
                revoked_at: None,
                created_at: context.at,
            };
            let change = Change {
                workspace: Some(key.workspace_id),
                action: "key.create",
                subject: key.id.as_uuid(),
                before: None,
                after: Some(&key),
            };
            record(&mut tx, change, context).await?;
            tx.commit().await?;
            Ok(key)
        })
        .await
    }

    async fn find_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(ApiKey, User)>, StoreError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            #[sqlx(flatten)]
            key: KeyRow,
            #[sqlx(flatten)]
            user: UserRow,
        }
        self.within(async |connection| {
            let row: Option<Row> = sqlx::query_as(
                "SELECT k.id, k.workspace_id, k.user_id AS owner_id, k.name, k.prefix, k.scopes,
                        k.expires_at, k.last_used_at, k.revoked_at, k.created_at,
                        u.id AS user_id, u.email, u.plan, u.is_operator, u.disabled_at,
                        u.created_at AS user_created_at
                 FROM api_keys k JOIN users u ON u.id = k.user_id
                 WHERE k.hash = $1",
            )
            .bind(&hash[..])
            .fetch_optional(connection)
            .await?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some((row.key.try_into()?, row.user.try_into()?)))
        })
        .await
    }

    async fn list(&self, workspace: WorkspaceId) -> Result<Vec<ApiKey>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<KeyRow> = sqlx::query_as(
                "SELECT id, workspace_id, user_id AS owner_id, name, prefix, scopes, expires_at,
                        last_used_at, revoked_at, created_at
                 FROM api_keys WHERE workspace_id = $1
                 ORDER BY created_at DESC, id DESC",
            )
            .bind(workspace.as_uuid())
            .fetch_all(connection)
            .await?;
            Ok(rows.into_iter().map(ApiKey::try_from).collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn revoke(
        &self,
        workspace: WorkspaceId,
        id: KeyId,
        context: &ChangeContext,
    ) -> Result<Option<ApiKey>, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let row: Option<KeyRow> = sqlx::query_as(
                "SELECT id, workspace_id, user_id AS owner_id, name, prefix, scopes, expires_at,
                        last_used_at, revoked_at, created_at
                 FROM api_keys WHERE id = $1 AND workspace_id = $2
                 FOR NO KEY UPDATE",
            )
            .bind(id.as_uuid())
            .bind(workspace.as_uuid())
            .fetch_optional(&mut *tx)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let before = ApiKey::try_from(row)?;
            if before.revoked_at.is_some() {
                return Ok(Some(before));
            }
            let after = ApiKey { revoked_at: Some(context.at), ..before.clone() };
            sqlx::query("UPDATE api_keys SET revoked_at = $2 WHERE id = $1")
                .bind(id.as_uuid())
                .bind(Instant(context.at))
                .execute(&mut *tx)
                .await?;
            let change = Change {
                workspace: Some(workspace),
                action: "key.revoke",
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

    async fn touch(&self, id: KeyId, at: Timestamp) -> Result<(), StoreError> {
        self.within(async |connection| {
            sqlx::query(
                "UPDATE api_keys SET last_used_at = $2
                 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
            )
            .bind(id.as_uuid())
            .bind(Instant(at))
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }
}
