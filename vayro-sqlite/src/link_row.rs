//! Links as they are stored.

use sqlx::SqliteConnection;
use uuid::Uuid;
use vayro_core::ids::{DomainId, LinkId, UserId, WorkspaceId};
use vayro_core::link::{Link, RedirectStatus};
use vayro_core::ports::StoreError;
use vayro_core::target::TargetUrl;

use crate::error::store_error;
use crate::row::{bad, bad_because, instant, maybe_instant, parsed};

/// Every column of [`LinkRow`]; a condition on `l`, `d` or `t` follows.
pub(crate) const SELECT_LINKS: &str = "SELECT l.id, l.workspace_id, l.user_id, l.domain_id, d.host,
        l.short_code, l.target_url, l.title, l.redirect_status, l.is_active, l.expires_at, l.archived_at,
        l.deleted_at, l.created_at, l.updated_at, l.version, l.revision, COALESCE(t.clicks, 0) AS clicks,
        t.last_click_at
    FROM links l
    JOIN domains d ON d.id = l.domain_id
    LEFT JOIN link_totals t ON t.link_id = l.id ";

#[derive(sqlx::FromRow)]
pub(crate) struct LinkRow {
    id: Uuid,
    workspace_id: Uuid,
    user_id: Uuid,
    domain_id: Uuid,
    host: String,
    short_code: String,
    target_url: String,
    title: String,
    redirect_status: i64,
    is_active: bool,
    expires_at: Option<i64>,
    archived_at: Option<i64>,
    deleted_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    version: i32,
    revision: i64,
    clicks: i64,
    last_click_at: Option<i64>,
}

impl TryFrom<LinkRow> for Link {
    type Error = StoreError;

    fn try_from(row: LinkRow) -> Result<Self, StoreError> {
        let domain_id = DomainId::from_uuid(row.domain_id);
        let domain =
            if domain_id == DomainId::DEFAULT { None } else { Some(parsed(&row.host, "domains.host")?) };
        Ok(Self {
            id: LinkId::from_uuid(row.id),
            workspace_id: WorkspaceId::from_uuid(row.workspace_id),
            user_id: UserId::from_uuid(row.user_id),
            domain_id,
            domain,
            short_code: parsed(&row.short_code, "links.short_code")?,
            target_url: target_url(row.target_url)?,
            title: row.title,
            redirect_status: redirect_status(row.redirect_status)?,
            is_active: row.is_active,
            expires_at: maybe_instant(row.expires_at, "links.expires_at")?,
            archived_at: maybe_instant(row.archived_at, "links.archived_at")?,
            deleted_at: maybe_instant(row.deleted_at, "links.deleted_at")?,
            created_at: instant(row.created_at, "links.created_at")?,
            updated_at: instant(row.updated_at, "links.updated_at")?,
            version: row.version,
            revision: row.revision,
            clicks: row.clicks,
            last_click_at: maybe_instant(row.last_click_at, "link_totals.last_click_at")?,
        })
    }
}

/// Reads a target.
pub(crate) fn target_url(text: String) -> Result<TargetUrl, StoreError> {
    TargetUrl::from_stored(text).map_err(|error| bad_because("links.target_url", error))
}

/// Reads a redirect status.
pub(crate) fn redirect_status(code: i64) -> Result<RedirectStatus, StoreError> {
    let code = u16::try_from(code).map_err(|_| bad("links.redirect_status"))?;
    code.try_into().map_err(|error| bad_because("links.redirect_status", error))
}

/// Returns the link, deleted or not, on a connection that may hold a transaction.
pub(crate) async fn find(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    id: LinkId,
) -> Result<Option<Link>, StoreError> {
    let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(SELECT_LINKS);
    query.push("WHERE l.id = ").push_bind(id.as_uuid());
    query.push(" AND l.workspace_id = ").push_bind(workspace.as_uuid());
    let row: Option<LinkRow> =
        query.build_query_as().fetch_optional(connection).await.map_err(store_error)?;
    row.map(Link::try_from).transpose()
}
