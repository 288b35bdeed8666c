//! Domains.

use async_trait::async_trait;
use serde_json::Value;
use sqlx::SqliteConnection;
use uuid::Uuid;
use vayro_core::account::Domain;
use vayro_core::change::ChangeContext;
use vayro_core::host::Host;
use vayro_core::ids::{DomainId, WorkspaceId};
use vayro_core::outbox::OutboxEvent;
use vayro_core::ports::{DomainStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::audit::{Change, json, record};
use crate::database::SqliteStores;
use crate::error::store_error;
use crate::outbox::announce;
use crate::row::{instant, maybe_instant, maybe_micros, parsed};

#[derive(sqlx::FromRow)]
struct DomainRow {
    id: Uuid,
    workspace_id: Option<Uuid>,
    host: String,
    verified_at: Option<i64>,
    created_at: i64,
}

impl TryFrom<DomainRow> for Domain {
    type Error = StoreError;

    fn try_from(row: DomainRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: DomainId::from_uuid(row.id),
            workspace_id: row.workspace_id.map(WorkspaceId::from_uuid),
            host: parsed(&row.host, "domains.host")?,
            verified_at: maybe_instant(row.verified_at, "domains.verified_at")?,
            created_at: instant(row.created_at, "domains.created_at")?,
        })
    }
}

/// Returns the domain if it belongs to the workspace itself.
async fn find_own(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    id: DomainId,
) -> Result<Option<Domain>, StoreError> {
    let row: Option<DomainRow> = sqlx::query_as(
        "SELECT id, workspace_id, host, verified_at, created_at FROM domains
         WHERE id = ?1 AND workspace_id = ?2",
    )
    .bind(id.as_uuid())
    .bind(workspace.as_uuid())
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    row.map(Domain::try_from).transpose()
}

#[async_trait]
impl DomainStore for SqliteStores {
    async fn ensure_default(&self, host: &Host, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let updated = sqlx::query("UPDATE domains SET host = ?2 WHERE id = ?1 AND host <> ?2")
            .bind(DomainId::DEFAULT.as_uuid())
            .bind(host.as_str())
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        if updated.rows_affected() == 0 {
            return Ok(());
        }
        announce(&mut tx, &OutboxEvent::Domains, at).await?;
        tx.commit().await.map_err(store_error)
    }

    async fn insert(&self, new: &Domain, context: &ChangeContext) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO domains (id, workspace_id, host, verified_at, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(new.id.as_uuid())
        .bind(new.workspace_id.map(|id| id.as_uuid()))
        .bind(new.host.as_str())
        .bind(maybe_micros(new.verified_at))
        .bind(new.created_at.as_micros())
        .execute(&mut *tx)
        .await
        .map_err(store_error)?;
        let change = Change {
            workspace_id: new.workspace_id,
            action: "domain.create",
            subject_id: new.id.as_uuid(),
            before: Value::Null,
            after: json(new)?,
        };
        record(&mut tx, context, change).await?;
        announce(&mut tx, &OutboxEvent::Domains, context.at).await?;
        tx.commit().await.map_err(store_error)
    }

    async fn find(&self, workspace: WorkspaceId, id: DomainId) -> Result<Option<Domain>, StoreError> {
        let row: Option<DomainRow> = sqlx::query_as(
            "SELECT id, workspace_id, host, verified_at, created_at FROM domains
             WHERE id = ?1 AND (workspace_id = ?2 OR workspace_id IS NULL)",
        )
        .bind(id.as_uuid())
        .bind(workspace.as_uuid())
        .fetch_optional(&self.readers)
        .await
        .map_err(store_error)?;
        row.map(Domain::try_from).transpose()
    }

    async fn find_by_host(&self, workspace: WorkspaceId, host: &Host) -> Result<Option<Domain>, StoreError> {
        let row: Option<DomainRow> = sqlx::query_as(
            "SELECT id, workspace_id, host, verified_at, created_at FROM domains
             WHERE host = ?1 AND (workspace_id = ?2 OR workspace_id IS NULL)",
        )
        .bind(host.as_str())
        .bind(workspace.as_uuid())
        .fetch_optional(&self.readers)
        .await
        .map_err(store_error)?;
        row.map(Domain::try_from).transpose()
    }

    async fn list(&self, workspace: WorkspaceId) -> Result<Vec<Domain>, StoreError> {
        let rows: Vec<DomainRow> = sqlx::query_as(
            "SELECT id, workspace_id, host, verified_at, created_at FROM domains
             WHERE workspace_id = ?1 OR workspace_id IS NULL
             ORDER BY workspace_id IS NOT NULL, created_at, id",
        )
        .bind(workspace.as_uuid())
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(Domain::try_from).collect()
    }

    async fn delete(
        &self,
        workspace: WorkspaceId,
        id: DomainId,
        context: &ChangeContext,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let Some(before) = find_own(&mut tx, workspace, id).await? else { return Ok(false) };
        let has_links: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM links WHERE domain_id = ?1)")
            .bind(id.as_uuid())
            .fetch_one(&mut *tx)
            .await
            .map_err(store_error)?;
        if has_links {
            return Err(StoreError::Conflict { constraint: "domain_links" });
        }
        sqlx::query("DELETE FROM domains WHERE id = ?1")
            .bind(id.as_uuid())
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        let change = Change {
            workspace_id: Some(workspace),
            action: "domain.delete",
            subject_id: id.as_uuid(),
            before: json(&before)?,
            after: Value::Null,
        };
        record(&mut tx, context, change).await?;
        announce(&mut tx, &OutboxEvent::Domains, context.at).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(true)
    }

    async fn verify(&self, host: &Host, context: &ChangeContext) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let verified: Option<DomainRow> = sqlx::query_as(
            "UPDATE domains SET verified_at = ?2 WHERE host = ?1 AND verified_at IS NULL
             RETURNING id, workspace_id, host, verified_at, created_at",
        )
        .bind(host.as_str())
        .bind(context.at.as_micros())
        .fetch_optional(&mut *tx)
        .await
        .map_err(store_error)?;
        let Some(verified) = verified else { return Ok(()) };
        let after = Domain::try_from(verified)?;
        let before = Domain { verified_at: None, ..after.clone() };
        let change = Change {
            workspace_id: after.workspace_id,
            action: "domain.verify",
            subject_id: after.id.as_uuid(),
            before: json(&before)?,
            after: json(&after)?,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)
    }

    async fn hosts(&self) -> Result<Vec<Host>, StoreError> {
        let hosts: Vec<String> = sqlx::query_scalar("SELECT host FROM domains WHERE id <> ?1 ORDER BY host")
            .bind(DomainId::DEFAULT.as_uuid())
            .fetch_all(&self.readers)
            .await
            .map_err(store_error)?;
        hosts.iter().map(|host| parsed(host, "domains.host")).collect()
    }
}
