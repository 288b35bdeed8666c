//! The edge's look-up, straight on the database.

use async_trait::async_trait;
use uuid::Uuid;
use vayro_core::ids::{DomainId, LinkId, WorkspaceId};
use vayro_core::link::LinkKey;
use vayro_core::ports::{LinkLookup, StoreError};
use vayro_core::resolve::CachedLink;

use crate::database::PgStores;
use crate::instant::Instant;
use crate::links::{redirect_status, target_url};
use crate::row::maybe_timestamp;

/// What an edge needs of a link, and not more: one read of one index and one row.
#[derive(sqlx::FromRow)]
struct CachedRow {
    id: Uuid,
    workspace_id: Uuid,
    target_url: String,
    redirect_status: i16,
    is_active: bool,
    expires_at: Option<Instant>,
    revision: i64,
}

impl TryFrom<CachedRow> for CachedLink {
    type Error = StoreError;

    fn try_from(row: CachedRow) -> Result<Self, StoreError> {
        Ok(Self {
            target: target_url(row.target_url)?,
            active: row.is_active,
            id: LinkId::from_uuid(row.id),
            workspace_id: WorkspaceId::from_uuid(row.workspace_id),
            status: redirect_status(row.redirect_status)?,
            expires_at: maybe_timestamp(row.expires_at),
            revision: row.revision,
        })
    }
}

#[async_trait]
impl LinkLookup for PgStores {
    async fn lookup(&self, key: &LinkKey) -> Result<Option<CachedLink>, StoreError> {
        self.within(async |connection| {
            let query = match &key.domain {
                None => sqlx::query_as(
                    "SELECT id, workspace_id, target_url, redirect_status, is_active, expires_at, revision
                     FROM links
                     WHERE domain_id = $1 AND short_code = $2 AND deleted_at IS NULL",
                )
                .bind(DomainId::DEFAULT.as_uuid()),
                Some(host) => sqlx::query_as(
                    "SELECT id, workspace_id, target_url, redirect_status, is_active, expires_at, revision
                     FROM links
                     WHERE domain_id = (SELECT d.id FROM domains d WHERE d.host = $1)
                       AND short_code = $2 AND deleted_at IS NULL",
                )
                .bind(host.as_str()),
            };
            let row: Option<CachedRow> =
                query.bind(key.short_code.as_str()).fetch_optional(connection).await?;
            Ok(row.map(CachedLink::try_from).transpose()?)
        })
        .await
    }
}
