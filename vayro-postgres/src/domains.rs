//! Domains.

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;
use vayro_core::account::Domain;
use vayro_core::change::ChangeContext;
use vayro_core::host::Host;
use vayro_core::ids::{DomainId, WorkspaceId};
use vayro_core::outbox::OutboxEvent;
use vayro_core::ports::{DomainStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::audit::{Change, record};
use crate::database::PgStores;
use crate::error::{Failure, is_referenced};
use crate::instant::Instant;
use crate::outbox::announce;
use crate::row::{maybe_instant, maybe_timestamp, parsed};

/// The foreign key that keeps a domain with links.
const LINKS_OF_DOMAIN: &str = "links_domain_id_fkey";

#[derive(sqlx::FromRow)]
struct DomainRow {
    id: Uuid,
    workspace_id: Option<Uuid>,
    host: String,
    verified_at: Option<Instant>,
    created_at: Instant,
}

impl TryFrom<DomainRow> for Domain {
    type Error = StoreError;

    fn try_from(row: DomainRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: DomainId::from_uuid(row.id),
            workspace_id: row.workspace_id.map(WorkspaceId::from_uuid),
            host: parsed(&row.host, "domains.host")?,
            verified_at: maybe_timestamp(row.verified_at),
            created_at: row.created_at.into(),
        })
    }
}

async fn insert(connection: &mut PgConnection, new: &Domain) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO domains (id, workspace_id, host, verified_at, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(new.id.as_uuid())
    .bind(new.workspace_id.map(|id| id.as_uuid()))
    .bind(new.host.as_str())
    .bind(maybe_instant(new.verified_at))
    .bind(Instant(new.created_at))
    .execute(connection)
    .await?;
    Ok(())
}

#[async_trait]
impl DomainStore for PgStores {
    async fn ensure_default(&self, host: &Host, at: Timestamp) -> Result<(), StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let changed = sqlx::query("UPDATE domains SET host = $2 WHERE id = $1 AND host <> $2")
                .bind(DomainId::DEFAULT.as_uuid())
                .bind(host.as_str())
                .execute(&mut *tx)
                .await?;
            if changed.rows_affected() > 0 {
                announce(&mut tx, &OutboxEvent::Domains, at).await?;
                tx.commit().await?;
            }
            Ok(())
        })
        .await
    }

    async fn insert(&self, new: &Domain, context: &ChangeContext) -> Result<(), StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            insert(&mut tx, new).await?;
            let change = Change {
                workspace: new.workspace_id,
                action: "domain.create",
                subject: new.id.as_uuid(),
                before: None,
                after: Some(new),
            };
            record(&mut tx, change, context).await?;
            announce(&mut tx, &OutboxEvent::Domains, context.at).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn find(&self, workspace: WorkspaceId, id: DomainId) -> Result<Option<Domain>, StoreError> {
        self.within(async |connection| {
            let row: Option<DomainRow> = sqlx::query_as(
                "SELECT id, workspace_id, host, verified_at, created_at FROM domains
                 WHERE id = $1 AND (workspace_id = $2 OR workspace_id IS NULL)",
            )
            .bind(id.as_uuid())
            .bind(workspace.as_uuid())
            .fetch_optional(connection)
            .await?;
            Ok(row.map(Domain::try_from).transpose()?)
        })
        .await
    }

    async fn find_by_host(&self, workspace: WorkspaceId, host: &Host) -> Result<Option<Domain>, StoreError> {
        self.within(async |connection| {
            let row: Option<DomainRow> = sqlx::query_as(
                "SELECT id, workspace_id, host, verified_at, created_at FROM domains
                 WHERE host = $1 AND (workspace_id = $2 OR workspace_id IS NULL)",
            )
            .bind(host.as_str())
            .bind(workspace.as_uuid())
            .fetch_optional(connection)
            .await?;
            Ok(row.map(Domain::try_from).transpose()?)
        })
        .await
    }

    async fn list(&self, workspace: WorkspaceId) -> Result<Vec<Domain>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<DomainRow> = sqlx::query_as(
                "SELECT id, workspace_id, host, verified_at, created_at FROM domains
                 WHERE workspace_id = $1 OR workspace_id IS NULL
                 ORDER BY workspace_id IS NOT NULL, created_at, id",
            )
            .bind(workspace.as_uuid())
            .fetch_all(connection)
            .await?;
            Ok(rows.into_iter().map(Domain::try_from).collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn delete(
        &self,
        workspace: WorkspaceId,
        id: DomainId,
        context: &ChangeContext,
    ) -> Result<bool, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let deleted: Option<DomainRow> = sqlx::query_as(
                "DELETE FROM domains WHERE id = $1 AND workspace_id = $2
                 RETURNING id, workspace_id, host, verified_at, created_at",
            )
            .bind(id.as_uuid())
            .bind(workspace.as_uuid())
            .fetch_optional(&mut *tx)
            .await
            .map_err(|error| -> Failure {
                if is_referenced(&error, LINKS_OF_DOMAIN) {
                    StoreError::Conflict { constraint: "domain_links" }.into()
                } else {
                    error.into()
                }
            })?;
            let Some(deleted) = deleted else { return Ok(false) };
            let before = Domain::try_from(deleted)?;
            let change = Change {
                workspace: Some(workspace),
                action: "domain.delete",
                subject: id.as_uuid(),
                before: Some(&before),
                after: None,
            };
            record(&mut tx, change, context).await?;
            announce(&mut tx, &OutboxEvent::Domains, context.at).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn verify(&self, host: &Host, context: &ChangeContext) -> Result<(), StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let verified: Option<DomainRow> = sqlx::query_as(
                "UPDATE domains SET verified_at = $2 WHERE host = $1 AND verified_at IS NULL
                 RETURNING id, workspace_id, host, verified_at, created_at",
            )
            .bind(host.as_str())
            .bind(Instant(context.at))
            .fetch_optional(&mut *tx)
            .await?;
            let Some(verified) = verified else { return Ok(()) };
            let after = Domain::try_from(verified)?;
            let before = Domain { verified_at: None, ..after.clone() };
            let change = Change {
                workspace: after.workspace_id,
                action: "domain.verify",
                subject: after.id.as_uuid(),
                before: Some(&before),
                after: Some(&after),
            };
            record(&mut tx, change, context).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn hosts(&self) -> Result<Vec<Host>, StoreError> {
        self.within(async |connection| {
            let hosts: Vec<String> = sqlx::query_scalar("SELECT host FROM domains WHERE id <> $1")
                .bind(DomainId::DEFAULT.as_uuid())
                .fetch_all(connection)
                .await?;
            Ok(hosts.iter().map(|host| parsed(host, "domains.host")).collect::<Result<_, _>>()?)
        })
        .await
    }
}
