//! Links: inserting, changing, deleting, restoring.

use async_trait::async_trait;
use serde_json::Value;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteTransaction;
use vayro_core::change::ChangeContext;
use vayro_core::ids::{DomainId, LinkId, WorkspaceId};
use vayro_core::link::{Link, LinkCursor, LinkFilter, LinkPatch, LinkUpdate, NewLink};
use vayro_core::outbox::OutboxEvent;
use vayro_core::page::Page;
use vayro_core::ports::{LinkStore, StoreError};
use vayro_core::short_code::ShortCode;
use vayro_core::timestamp::Timestamp;

use crate::audit::{Change, json, record};
use crate::database::SqliteStores;
use crate::error::{internal, store_error};
use crate::link_row::find;
use crate::outbox::announce;
use crate::row::maybe_micros;
use crate::{link_lists, purge};

/// Takes the next revision; the write lock is held, so that a later change has a higher one.
async fn next_revision(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    sqlx::query_scalar("UPDATE link_revision SET value = value + 1 WHERE id = 1 RETURNING value")
        .fetch_one(connection)
        .await
        .map_err(store_error)
}

/// Writes what every change leaves beside the link itself: its audit entry and its event.
async fn tell(
    connection: &mut SqliteConnection,
    context: &ChangeContext,
    action: &'static str,
    before: Option<&Link>,
    after: &Link,
) -> Result<(), StoreError> {
    let change = Change {
        workspace_id: Some(after.workspace_id),
        action,
        subject_id: after.id.as_uuid(),
        before: before.map(json).transpose()?.unwrap_or(Value::Null),
        after: json(after)?,
    };
    record(connection, context, change).await?;
    announce(connection, &OutboxEvent::Link { key: after.key(), revision: after.revision }, context.at).await
}

/// Makes `after` the next version of `before` and commits.
async fn change(
    mut tx: SqliteTransaction<'_>,
    context: &ChangeContext,
    action: &'static str,
    before: &Link,
    after: Link,
) -> Result<LinkUpdate, StoreError> {
    let after = Link {
        updated_at: context.at,
        version: before.version.saturating_add(1),
        revision: next_revision(&mut tx).await?,
        ..after
    };
    sqlx::query(
        "UPDATE links
         SET target_url = ?2, title = ?3, redirect_status = ?4, is_active = ?5, expires_at = ?6,
             archived_at = ?7, deleted_at = ?8, updated_at = ?9, version = ?10, revision = ?11
         WHERE id = ?1",
    )
    .bind(after.id.as_uuid())
    .bind(after.target_url.as_str())
    .bind(&after.title)
    .bind(after.redirect_status.code())
    .bind(after.is_active)
    .bind(maybe_micros(after.expires_at))
    .bind(maybe_micros(after.archived_at))
    .bind(maybe_micros(after.deleted_at))
    .bind(after.updated_at.as_micros())
    .bind(after.version)
    .bind(after.revision)
    .execute(&mut *tx)
    .await
    .map_err(store_error)?;
    tell(&mut tx, context, action, Some(before), &after).await?;
    tx.commit().await.map_err(store_error)?;
    Ok(LinkUpdate::Done(Box::new(after)))
}

/// Returns the link with the patch applied, version and instants apart.
fn patched(link: &Link, patch: &LinkPatch, at: Timestamp) -> Link {
    let mut link = link.clone();
    if let Some(target_url) = &patch.target_url {
        link.target_url = target_url.clone();
    }
    if let Some(title) = &patch.title {
        link.title.clone_from(title);
    }
    if let Some(redirect_status) = patch.redirect_status {
        link.redirect_status = redirect_status;
    }
    if let Some(is_active) = patch.is_active {
        link.is_active = is_active;
    }
    if let Some(expires_at) = patch.expires_at {
        link.expires_at = expires_at;
    }
    match patch.is_archived {
        Some(true) => link.archived_at = link.archived_at.or(Some(at)),
        Some(false) => link.archived_at = None,
        None => {}
    }
    link
}

/// Says what stands against a change of a link, if anything.
fn refusal(link: &Link, expected: Option<i32>) -> Option<LinkUpdate> {
    if link.deleted_at.is_some() {
        return Some(LinkUpdate::Missing);
    }
    match expected {
        Some(expected) if expected != link.version => {
            Some(LinkUpdate::VersionMismatch { current: link.version })
        }
        _ => None,
    }
}

#[async_trait]
impl LinkStore for SqliteStores {
    async fn insert(&self, new: NewLink, context: &ChangeContext) -> Result<Link, StoreError> {
        let mut tx = self.begin().await?;
        let revision = next_revision(&mut tx).await?;
        sqlx::query(
            "INSERT INTO links
                 (id, workspace_id, user_id, domain_id, short_code, target_url, title, redirect_status,
                  is_active, expires_at, created_at, updated_at, version, revision)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, 1, ?12)",
        )
        .bind(new.id.as_uuid())
        .bind(new.workspace_id.as_uuid())
        .bind(new.user_id.as_uuid())
        .bind(new.domain_id.as_uuid())
        .bind(new.short_code.as_str())
        .bind(new.target_url.as_str())
        .bind(&new.title)
        .bind(new.redirect_status.code())
        .bind(new.is_active)
        .bind(maybe_micros(new.expires_at))
        .bind(context.at.as_micros())
        .bind(revision)
        .execute(&mut *tx)
        .await
        .map_err(store_error)?;
        // Read back, because the host of its domain belongs to it.
        let link = find(&mut tx, new.workspace_id, new.id)
            .await?
            .ok_or_else(|| internal("a link that was just stored is not there"))?;
        tell(&mut tx, context, "link.create", None, &link).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(link)
    }

    async fn find(&self, workspace: WorkspaceId, id: LinkId) -> Result<Option<Link>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(store_error)?;
        find(&mut connection, workspace, id).await
    }

    async fn list(&self, filter: &LinkFilter) -> Result<Page<Link, LinkCursor>, StoreError> {
        link_lists::list(self, filter).await
    }

    async fn is_code_taken(&self, domain: DomainId, short_code: &ShortCode) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM links WHERE domain_id = ?1 AND short_code = ?2)")
            .bind(domain.as_uuid())
            .bind(short_code.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(store_error)
    }

    async fn count_by_code_length(&self) -> Result<Vec<(u16, u64)>, StoreError> {
        let rows: Vec<(u16, i64)> = sqlx::query_as(
            "SELECT length(short_code), count(*) FROM links WHERE deleted_at IS NULL GROUP BY 1 ORDER BY 1",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        Ok(rows.into_iter().map(|(len, count)| (len, count.unsigned_abs())).collect())
    }

    async fn update(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        expected: Option<i32>,
        patch: &LinkPatch,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        let mut tx = self.begin().await?;
        let Some(before) = find(&mut tx, workspace, id).await? else { return Ok(LinkUpdate::Missing) };
        if let Some(refusal) = refusal(&before, expected) {
            return Ok(refusal);
        }
        let after = patched(&before, patch, context.at);
        if after == before {
            return Ok(LinkUpdate::Done(Box::new(before)));
        }
        change(tx, context, "link.update", &before, after).await
    }

    async fn delete(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        expected: Option<i32>,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        let mut tx = self.begin().await?;
        let Some(before) = find(&mut tx, workspace, id).await? else { return Ok(LinkUpdate::Missing) };
        if let Some(refusal) = refusal(&before, expected) {
            return Ok(refusal);
        }
        let after = Link { deleted_at: Some(context.at), ..before.clone() };
        change(tx, context, "link.delete", &before, after).await
    }

    async fn restore(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        let mut tx = self.begin().await?;
        let Some(before) = find(&mut tx, workspace, id).await? else { return Ok(LinkUpdate::Missing) };
        if before.deleted_at.is_none() {
            return Ok(LinkUpdate::Missing);
        }
        let after = Link { deleted_at: None, ..before.clone() };
        change(tx, context, "link.restore", &before, after).await
    }

    async fn deleted_before(&self, deadline: Timestamp, max: u16) -> Result<Vec<LinkId>, StoreError> {
        purge::deleted_before(self, deadline, max).await
    }

    async fn purge_deleted(&self, deadline: Timestamp, max: u16) -> Result<u64, StoreError> {
        purge::purge_deleted(self, deadline, max).await
    }
}
