//! API keys.

use async_trait::async_trait;
use serde_json::Value;
use sqlx::SqliteConnection;
use uuid::Uuid;
use vayro_core::access::Scope;
use vayro_core::account::{ApiKey, NewApiKey, User};
use vayro_core::change::ChangeContext;
use vayro_core::ids::{KeyId, UserId, WorkspaceId};
use vayro_core::ports::{KeyStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::audit::{Change, json, record};
use crate::database::SqliteStores;
use crate::error::{internal, store_error};
use crate::row::{bad, bad_because, instant, maybe_instant, maybe_micros};
use crate::users;

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: Uuid,
    workspace_id: Uuid,
    user_id: Uuid,
    name: String,
    prefix: String,
    scopes: String,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
    created_at: i64,
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: KeyId::from_uuid(row.id),
            workspace_id: WorkspaceId::from_uuid(row.workspace_id),
            user_id: UserId::from_uuid(row.user_id),
            name: row.name,
            prefix: row.prefix,
            scopes: scopes(&row.scopes)?,
            expires_at: maybe_instant(row.expires_at, "api_keys.expires_at")?,
            last_used_at: maybe_instant(row.last_used_at, "api_keys.last_used_at")?,
            revoked_at: maybe_instant(row.revoked_at, "api_keys.revoked_at")?,
            created_at: instant(row.created_at, "api_keys.created_at")?,
        })
    }
}

fn scopes(text: &str) -> Result<Vec<Scope>, StoreError> {
    serde_json::from_str(text).map_err(|error| bad_because("api_keys.scopes", error))
}

/// Revokes every key the account has in the workspace, in the transaction that ends its membership.
pub(crate) async fn revoke_of_member(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    user: UserId,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE api_keys SET revoked_at = ?3
         WHERE workspace_id = ?1 AND user_id = ?2 AND revoked_at IS NULL",
    )
    .bind(workspace.as_uuid())
    .bind(user.as_uuid())
    .bind(at.as_micros())
    .execute(connection)
    .await
    .map(drop)
    .map_err(store_error)
}

#[async_trait]
impl KeyStore for SqliteStores {
    async fn insert(&self, new: NewApiKey, context: &ChangeContext) -> Result<ApiKey, StoreError> {
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
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO api_keys
                 (id, workspace_id, user_id, name, prefix, hash, scopes, expires_at, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )
        .bind(key.id.as_uuid())
        .bind(key.workspace_id.as_uuid())
        .bind(key.user_id.as_uuid())
        .bind(&key.name)
        .bind(&key.prefix)
        .bind(new.hash.as_slice())
        .bind(serde_json::to_string(&key.scopes).map_err(internal)?)
        .bind(maybe_micros(key.expires_at))
        .bind(key.created_at.as_micros())
        .execute(&mut *tx)
        .await
        .map_err(store_error)?;
        let change = Change {
            workspace_id: Some(key.workspace_id),
            action: "key.create",
            subject_id: key.id.as_uuid(),
            before: Value::Null,
            after: json(&key)?,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(key)
    }

    async fn find_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(ApiKey, User)>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(store_error)?;
        let row: Option<KeyRow> = sqlx::query_as(
            "SELECT id, workspace_id, user_id, name, prefix, scopes, expires_at, last_used_at, revoked_at,
                    created_at
             FROM api_keys WHERE hash = ?1",
        )
        .bind(hash.as_slice())
        .fetch_optional(&mut *connection)
        .await
        .map_err(store_error)?;
        let Some(row) = row else { return Ok(None) };
        let key = ApiKey::try_from(row)?;
        let user = users::find(&mut connection, key.user_id).await?.ok_or_else(|| bad("api_keys.user_id"))?;
        Ok(Some((key, user)))
    }

    async fn list(&self, workspace: WorkspaceId) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<KeyRow> = sqlx::query_as(
            "SELECT id, workspace_id, user_id, name, prefix, scopes, expires_at, last_used_at, revoked_at,
                    created_at
             FROM api_keys WHERE workspace_id = ?1 ORDER BY created_at DESC, id DESC",
        )
        .bind(workspace.as_uuid())
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(ApiKey::try_from).collect()
    }

    async fn revoke(
        &self,
        workspace: WorkspaceId,
        id: KeyId,
        context: &ChangeContext,
    ) -> Result<Option<ApiKey>, StoreError> {
        let mut tx = self.begin().await?;
        let row: Option<KeyRow> = sqlx::query_as(
            "SELECT id, workspace_id, user_id, name, prefix, scopes, expires_at, last_used_at, revoked_at,
                    created_at
             FROM api_keys WHERE id = ?1 AND workspace_id = ?2",
        )
        .bind(id.as_uuid())
        .bind(workspace.as_uuid())
        .fetch_optional(&mut *tx)
        .await
        .map_err(store_error)?;
        let Some(row) = row else { return Ok(None) };
        let before = ApiKey::try_from(row)?;
        if before.revoked_at.is_some() {
            return Ok(Some(before));
        }
        let after = ApiKey { revoked_at: Some(context.at), ..before.clone() };
        sqlx::query("UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1")
            .bind(id.as_uuid())
            .bind(context.at.as_micros())
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        let change = Change {
            workspace_id: Some(workspace),
            action: "key.revoke",
            subject_id: id.as_uuid(),
            before: json(&before)?,
            after: json(&after)?,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(Some(after))
    }

    async fn touch(&self, id: KeyId, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE api_keys SET last_used_at = ?2
             WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)",
        )
        .bind(id.as_uuid())
        .bind(at.as_micros())
        .execute(&self.writer)
        .await
        .map(drop)
        .map_err(store_error)
    }
}
