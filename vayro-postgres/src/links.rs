//! Links: inserting, changing, deleting, restoring, purging.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;
use vayro_core::change::ChangeContext;
use vayro_core::host::Host;
use vayro_core::ids::{DomainId, LinkId, UserId, WorkspaceId};
use vayro_core::link::{Link, LinkCursor, LinkFilter, LinkPatch, LinkUpdate, NewLink, RedirectStatus};
use vayro_core::outbox::OutboxEvent;
use vayro_core::page::Page;
use vayro_core::ports::{LinkStore, StoreError};
use vayro_core::short_code::ShortCode;
use vayro_core::target::TargetUrl;
use vayro_core::timestamp::Timestamp;

use crate::audit::{Change, record};
use crate::database::PgStores;
use crate::error::{Failure, store_error};
use crate::instant::Instant;
use crate::outbox::announce;
use crate::row::{bad, bad_because, maybe_instant, maybe_timestamp, parsed};
use crate::{ledger, link_lists};

/// How long deleting one link's clicks may take; a popular link has millions.
const PURGE_TIMEOUT: Duration = Duration::from_mins(10);

/// Columns and tables of a [`LinkRow`], without a condition.
macro_rules! select_link {
    () => {
        "SELECT l.id, l.workspace_id, l.user_id, l.domain_id, d.host, l.short_code, l.target_url, l.title,
                l.redirect_status, l.is_active, l.expires_at, l.archived_at, l.deleted_at, l.created_at,
                l.updated_at, l.version, l.revision, COALESCE(t.clicks, 0) AS clicks, t.last_click_at
         FROM links l
         JOIN domains d ON d.id = l.domain_id
         LEFT JOIN link_totals t ON t.link_id = l.id "
    };
}
pub(crate) use select_link;

/// A link as it is stored, with its counters.
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
    redirect_status: i16,
    is_active: bool,
    expires_at: Option<Instant>,
    archived_at: Option<Instant>,
    deleted_at: Option<Instant>,
    created_at: Instant,
    updated_at: Instant,
    version: i32,
    revision: i64,
    clicks: i64,
    last_click_at: Option<Instant>,
}

/// Reads the status of a redirect.
pub(crate) fn redirect_status(code: i16) -> Result<RedirectStatus, StoreError> {
    let code = u16::try_from(code).map_err(|_| bad("links.redirect_status"))?;
    RedirectStatus::try_from(code).map_err(|error| bad_because("links.redirect_status", error))
}

/// Reads a target.
pub(crate) fn target_url(text: String) -> Result<TargetUrl, StoreError> {
    TargetUrl::from_stored(text).map_err(|error| bad_because("links.target_url", error))
}

/// The default domain has no name in links and keys: its host is a matter of configuration.
fn domain(id: DomainId, host: &str) -> Result<Option<Host>, StoreError> {
    if id == DomainId::DEFAULT { Ok(None) } else { parsed(host, "domains.host").map(Some) }
}

impl TryFrom<LinkRow> for Link {
    type Error = StoreError;

    fn try_from(row: LinkRow) -> Result<Self, StoreError> {
        let domain_id = DomainId::from_uuid(row.domain_id);
        Ok(Self {
            id: LinkId::from_uuid(row.id),
            workspace_id: WorkspaceId::from_uuid(row.workspace_id),
            user_id: UserId::from_uuid(row.user_id),
            domain_id,
            domain: domain(domain_id, &row.host)?,
            short_code: parsed::<ShortCode>(&row.short_code, "links.short_code")?,
            target_url: target_url(row.target_url)?,
            title: row.title,
            redirect_status: redirect_status(row.redirect_status)?,
            is_active: row.is_active,
            expires_at: maybe_timestamp(row.expires_at),
            archived_at: maybe_timestamp(row.archived_at),
            deleted_at: maybe_timestamp(row.deleted_at),
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
            version: row.version,
            revision: row.revision,
            clicks: row.clicks,
            last_click_at: maybe_timestamp(row.last_click_at),
        })
    }
}

async fn insert(
    connection: &mut PgConnection,
    new: NewLink,
    context: &ChangeContext,
) -> Result<Link, Failure> {
    let (version, revision, host): (i32, i64, String) = sqlx::query_as(
        "INSERT INTO links
             (id, workspace_id, user_id, domain_id, short_code, target_url, title, redirect_status,
              is_active, expires_at, created_at, updated_at, version, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, 1, nextval('link_revision'))
         RETURNING version, revision, (SELECT d.host FROM domains d WHERE d.id = domain_id)",
    )
    .bind(new.id.as_uuid())
    .bind(new.workspace_id.as_uuid())
    .bind(new.user_id.as_uuid())
    .bind(new.domain_id.as_uuid())
    .bind(new.short_code.as_str())
    .bind(new.target_url.as_str())
    .bind(&new.title)
    .bind(new.redirect_status.code().cast_signed())
    .bind(new.is_active)
    .bind(maybe_instant(new.expires_at))
    .bind(Instant(context.at))
    .fetch_one(connection)
    .await?;
    Ok(Link {
        id: new.id,
        workspace_id: new.workspace_id,
        user_id: new.user_id,
        domain_id: new.domain_id,
        domain: domain(new.domain_id, &host)?,
        short_code: new.short_code,
        target_url: new.target_url,
        title: new.title,
        redirect_status: new.redirect_status,
        is_active: new.is_active,
        expires_at: new.expires_at,
        archived_at: None,
        deleted_at: None,
        created_at: context.at,
        updated_at: context.at,
        version,
        revision,
        clicks: 0,
        last_click_at: None,
    })
}

/// Returns the link, its row locked until the transaction ends. Counting clicks is not held up: counters
/// are in another table, and the foreign keys of clicks need only the id.
async fn lock(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    id: LinkId,
) -> Result<Option<Link>, Failure> {
    let row: Option<LinkRow> = sqlx::query_as(concat!(
        select_link!(),
        "WHERE l.id = $1 AND l.workspace_id = $2 FOR NO KEY UPDATE OF l"
    ))
    .bind(id.as_uuid())
    .bind(workspace.as_uuid())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Link::try_from).transpose()?)
}

/// Stores what a locked link became, with its audit entry and its event. Version, revision and
/// `updated_at` of `after` are set here: the revision is taken while the row is locked.
async fn store(
    connection: &mut PgConnection,
    action: &'static str,
    before: &Link,
    mut after: Link,
    context: &ChangeContext,
) -> Result<Link, Failure> {
    after.updated_at = context.at;
    (after.version, after.revision) = sqlx::query_as(
        "UPDATE links
         SET target_url = $2, title = $3, redirect_status = $4, is_active = $5, expires_at = $6,
             archived_at = $7, deleted_at = $8, updated_at = $9, version = version + 1,
             revision = nextval('link_revision')
         WHERE id = $1
         RETURNING version, revision",
    )
    .bind(after.id.as_uuid())
    .bind(after.target_url.as_str())
    .bind(&after.title)
    .bind(after.redirect_status.code().cast_signed())
    .bind(after.is_active)
    .bind(maybe_instant(after.expires_at))
    .bind(maybe_instant(after.archived_at))
    .bind(maybe_instant(after.deleted_at))
    .bind(Instant(after.updated_at))
    .fetch_one(&mut *connection)
    .await?;
    tell(connection, action, Some(before), &after, context).await?;
    Ok(after)
}

/// Writes the audit entry and the outbox event of a change.
async fn tell(
    connection: &mut PgConnection,
    action: &'static str,
    before: Option<&Link>,
    after: &Link,
    context: &ChangeContext,
) -> Result<(), Failure> {
    let change = Change {
        workspace: Some(after.workspace_id),
        action,
        subject: after.id.as_uuid(),
        before,
        after: Some(after),
    };
    record(connection, change, context).await?;
    let event = OutboxEvent::Link { key: after.key(), revision: after.revision };
    announce(connection, &event, context.at).await
}

fn patched(before: &Link, patch: &LinkPatch, at: Timestamp) -> Link {
    Link {
        target_url: patch.target_url.clone().unwrap_or_else(|| before.target_url.clone()),
        title: patch.title.clone().unwrap_or_else(|| before.title.clone()),
        redirect_status: patch.redirect_status.unwrap_or(before.redirect_status),
        is_active: patch.is_active.unwrap_or(before.is_active),
        expires_at: patch.expires_at.unwrap_or(before.expires_at),
        archived_at: match patch.is_archived {
            Some(true) => before.archived_at.or(Some(at)),
            Some(false) => None,
            None => before.archived_at,
        },
        ..before.clone()
    }
}

/// Removes one link that was deleted before the deadline and that nobody is changing, with its clicks;
/// `false` if there is none.
async fn purge_one(connection: &mut PgConnection, deadline: Timestamp) -> Result<bool, Failure> {
    let id: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM links WHERE deleted_at < $1 ORDER BY deleted_at, id LIMIT 1 FOR UPDATE SKIP LOCKED",
    )
    .bind(Instant(deadline))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(id) = id else { return Ok(false) };
    ledger::note_deleted(connection, id).await?;
    for statement in [
        // What the workspace counted of it has to be counted again.
        "INSERT INTO rollup_recounts (workspace_id, day)
         SELECT DISTINCT workspace_id, start FROM click_rollups WHERE subject_id = $1 AND span = 'day'
         ON CONFLICT DO NOTHING",
        "DELETE FROM click_rollups WHERE subject_id = $1",
        "DELETE FROM click_events WHERE link_id = $1",
        "DELETE FROM link_totals WHERE link_id = $1",
        "DELETE FROM links WHERE id = $1",
    ] {
        sqlx::query(statement).bind(id).execute(&mut *connection).await?;
    }
    Ok(true)
}

#[async_trait]
impl LinkStore for PgStores {
    async fn insert(&self, new: NewLink, context: &ChangeContext) -> Result<Link, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let link = insert(&mut tx, new, context).await?;
            tell(&mut tx, "link.create", None, &link, context).await?;
            tx.commit().await?;
            Ok(link)
        })
        .await
    }

    async fn find(&self, workspace: WorkspaceId, id: LinkId) -> Result<Option<Link>, StoreError> {
        self.within(async |connection| {
            let row: Option<LinkRow> =
                sqlx::query_as(concat!(select_link!(), "WHERE l.id = $1 AND l.workspace_id = $2"))
                    .bind(id.as_uuid())
                    .bind(workspace.as_uuid())
                    .fetch_optional(connection)
                    .await?;
            Ok(row.map(Link::try_from).transpose()?)
        })
        .await
    }

    async fn list(&self, filter: &LinkFilter) -> Result<Page<Link, LinkCursor>, StoreError> {
        self.within(async |connection| link_lists::list(connection, filter).await).await
    }

    async fn is_code_taken(&self, domain: DomainId, short_code: &ShortCode) -> Result<bool, StoreError> {
        self.within(async |connection| {
            let is_taken = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM links WHERE domain_id = $1 AND short_code = $2)",
            )
            .bind(domain.as_uuid())
            .bind(short_code.as_str())
            .fetch_one(connection)
            .await?;
            Ok(is_taken)
        })
        .await
    }

    async fn count_by_code_length(&self) -> Result<Vec<(u16, u64)>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<(i32, i64)> = sqlx::query_as(
                "SELECT length(short_code), count(*) FROM links WHERE deleted_at IS NULL GROUP BY 1 ORDER BY 1",
            )
            .fetch_all(connection)
            .await?;
            Ok(rows)
        })
        .await?
        .into_iter()
        .map(|(len, count)| {
            let len = u16::try_from(len).map_err(|_| bad("links.short_code"))?;
            Ok((len, count.unsigned_abs()))
        })
        .collect()
    }

    async fn update(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        expected: Option<i32>,
        patch: &LinkPatch,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let Some(before) = lock(&mut tx, workspace, id).await?.filter(|link| link.deleted_at.is_none())
            else {
                return Ok(LinkUpdate::Missing);
            };
            if expected.is_some_and(|expected| expected != before.version) {
                return Ok(LinkUpdate::VersionMismatch { current: before.version });
            }
            let after = patched(&before, patch, context.at);
            if after == before {
                return Ok(LinkUpdate::Done(Box::new(before)));
            }
            let link = store(&mut tx, "link.update", &before, after, context).await?;
            tx.commit().await?;
            Ok(LinkUpdate::Done(Box::new(link)))
        })
        .await
    }

    async fn delete(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        expected: Option<i32>,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let Some(before) = lock(&mut tx, workspace, id).await?.filter(|link| link.deleted_at.is_none())
            else {
                return Ok(LinkUpdate::Missing);
            };
            if expected.is_some_and(|expected| expected != before.version) {
                return Ok(LinkUpdate::VersionMismatch { current: before.version });
            }
            let after = Link { deleted_at: Some(context.at), ..before.clone() };
            let link = store(&mut tx, "link.delete", &before, after, context).await?;
            tx.commit().await?;
            Ok(LinkUpdate::Done(Box::new(link)))
        })
        .await
    }

    async fn restore(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
        context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let Some(before) = lock(&mut tx, workspace, id).await?.filter(|link| link.deleted_at.is_some())
            else {
                return Ok(LinkUpdate::Missing);
            };
            let after = Link { deleted_at: None, ..before.clone() };
            let link = store(&mut tx, "link.restore", &before, after, context).await?;
            tx.commit().await?;
            Ok(LinkUpdate::Done(Box::new(link)))
        })
        .await
    }

    async fn deleted_before(&self, deadline: Timestamp, max: u16) -> Result<Vec<LinkId>, StoreError> {
        self.within(async |connection| {
            let ids: Vec<Uuid> = sqlx::query_scalar(
                "SELECT id FROM links WHERE deleted_at < $1 ORDER BY deleted_at, id LIMIT $2",
            )
            .bind(Instant(deadline))
            .bind(i64::from(max))
            .fetch_all(connection)
            .await?;
            Ok(ids.into_iter().map(LinkId::from_uuid).collect())
        })
        .await
    }

    async fn purge_deleted(&self, deadline: Timestamp, max: u16) -> Result<u64, StoreError> {
        let mut purged = 0;
        while purged < u64::from(max) {
            // A transaction a link: what was removed stays removed if a later link fails.
            let is_purged = self
                .lend(PURGE_TIMEOUT + self.work_timeout(), async |connection| {
                    let mut tx = connection.begin().await?;
                    sqlx::query("SELECT set_config('statement_timeout', $1, true)")
                        .bind(PURGE_TIMEOUT.as_millis().to_string())
                        .execute(&mut *tx)
                        .await?;
                    let is_purged = purge_one(&mut tx, deadline).await?;
                    tx.commit().await?;
                    Ok(is_purged)
                })
                .await
                .map_err(store_error)?;
            if !is_purged {
                break;
            }
            purged += 1;
        }
        Ok(purged)
    }
}
