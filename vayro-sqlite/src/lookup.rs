//! The edge's look-up, straight on the file.

use async_trait::async_trait;
use uuid::Uuid;
use vayro_core::ids::{DomainId, LinkId, WorkspaceId};
use vayro_core::link::LinkKey;
use vayro_core::ports::{LinkLookup, StoreError};
use vayro_core::resolve::CachedLink;

use crate::database::SqliteStores;
use crate::error::store_error;
use crate::link_row::{redirect_status, target_url};
use crate::row::maybe_instant;

#[derive(sqlx::FromRow)]
struct LookupRow {
    id: Uuid,
    workspace_id: Uuid,
    target_url: String,
    redirect_status: i64,
    is_active: bool,
    expires_at: Option<i64>,
    revision: i64,
}

impl TryFrom<LookupRow> for CachedLink {
    type Error = StoreError;

    fn try_from(row: LookupRow) -> Result<Self, StoreError> {
        Ok(Self {
            target: target_url(row.target_url)?,
            active: row.is_active,
            id: LinkId::from_uuid(row.id),
            workspace_id: WorkspaceId::from_uuid(row.workspace_id),
            status: redirect_status(row.redirect_status)?,
            expires_at: maybe_instant(row.expires_at, "links.expires_at")?,
            revision: row.revision,
        })
    }
}

#[async_trait]
impl LinkLookup for SqliteStores {
    async fn lookup(&self, key: &LinkKey) -> Result<Option<CachedLink>, StoreError> {
        let query = match &key.domain {
            None => sqlx::query_as(
                "SELECT id, workspace_id, target_url, redirect_status, is_active, expires_at, revision
                 FROM links WHERE short_code = ?1 AND domain_id = ?2 AND deleted_at IS NULL",
            ),
            // The default domain has no key under its host: nobody would tell that cache entry of changes.
            Some(_) => sqlx::query_as(
                "SELECT id, workspace_id, target_url, redirect_status, is_active, expires_at, revision
                 FROM links
                 WHERE short_code = ?1 AND deleted_at IS NULL
                     AND domain_id = (SELECT id FROM domains WHERE host = ?3 AND id <> ?2)",
            ),
        };
        let query = query.bind(key.short_code.as_str()).bind(DomainId::DEFAULT.as_uuid());
        let query = match &key.domain {
            None => query,
            Some(host) => query.bind(host.as_str()),
        };
        let row: Option<LookupRow> = query.fetch_optional(&self.readers).await.map_err(store_error)?;
        row.map(CachedLink::try_from).transpose()
    }
}
