//! The audit log: written inside other stores' transactions, listed on its own.

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;
use vayro_core::change::{AuditEntry, AuditFilter, ChangeContext};
use vayro_core::ids::{AuditId, KeyId, UserId, WorkspaceId};
use vayro_core::page::Page;
use vayro_core::ports::{AuditStore, StoreError};

use crate::database::PgStores;
use crate::error::{Failure, internal};
use crate::instant::Instant;

/// What was done, to what.
pub(crate) struct Change<'a, S> {
    /// The workspace whose log it goes to; `None` for the instance's.
    pub(crate) workspace: Option<WorkspaceId>,
    /// `<subject>.<verb>`.
    pub(crate) action: &'static str,
    /// The id of the subject.
    pub(crate) subject: Uuid,
    /// The subject before, `None` if it was not there.
    pub(crate) before: Option<&'a S>,
    /// The subject after, `None` if it is gone.
    pub(crate) after: Option<&'a S>,
}

/// Writes an entry; `connection` is inside the transaction of the change.
pub(crate) async fn record<S: Serialize>(
    connection: &mut PgConnection,
    change: Change<'_, S>,
    context: &ChangeContext,
) -> Result<(), Failure> {
    let json = |subject: Option<&S>| subject.map(serde_json::to_value).transpose().map_err(internal);
    sqlx::query(
        "INSERT INTO audit_log
             (id, workspace_id, user_id, key_id, action, subject_id, before, after, request_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(context.audit_id.as_uuid())
    .bind(change.workspace.map(|id| id.as_uuid()))
    .bind(context.user_id.map(|id| id.as_uuid()))
    .bind(context.key_id.map(|id| id.as_uuid()))
    .bind(change.action)
    .bind(change.subject.to_string())
    .bind(json(change.before)?.map(Json))
    .bind(json(change.after)?.map(Json))
    .bind(context.request_id.as_deref())
    .bind(Instant(context.at))
    .execute(connection)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct AuditRow {
    id: Uuid,
    workspace_id: Option<Uuid>,
    user_id: Option<Uuid>,
    key_id: Option<Uuid>,
    action: String,
    subject_id: String,
    before: Option<Json<Value>>,
    after: Option<Json<Value>>,
    request_id: Option<String>,
    created_at: Instant,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            id: AuditId::from_uuid(row.id),
            workspace_id: row.workspace_id.map(WorkspaceId::from_uuid),
            user_id: row.user_id.map(UserId::from_uuid),
            key_id: row.key_id.map(KeyId::from_uuid),
            action: row.action,
            subject_id: row.subject_id,
            before: row.before.map_or(Value::Null, |json| json.0),
            after: row.after.map_or(Value::Null, |json| json.0),
            request_id: row.request_id,
            created_at: row.created_at.into(),
        }
    }
}

#[async_trait]
impl AuditStore for PgStores {
    async fn list(&self, filter: &AuditFilter) -> Result<Page<AuditEntry, AuditId>, StoreError> {
        self.within(async |connection| {
            let size = usize::from(filter.size.get());
            let mut rows: Vec<AuditRow> = sqlx::query_as(
                "SELECT id, workspace_id, user_id, key_id, action, subject_id, before, after, request_id,
                        created_at
                 FROM audit_log
                 WHERE workspace_id = $1
                   AND ($2::text IS NULL OR subject_id = $2)
                   AND ($3::uuid IS NULL OR (created_at, id) <
                        (SELECT a.created_at, a.id FROM audit_log a WHERE a.id = $3 AND a.workspace_id = $1))
                 ORDER BY created_at DESC, id DESC
                 LIMIT $4",
            )
            .bind(filter.workspace_id.as_uuid())
            .bind(filter.subject_id.as_deref())
            .bind(filter.before.map(|id| id.as_uuid()))
            .bind(i64::from(filter.size.get()) + 1)
            .fetch_all(connection)
            .await?;
            let has_more = rows.len() > size;
            rows.truncate(size);
            let items: Vec<AuditEntry> = rows.into_iter().map(AuditEntry::from).collect();
            let next = if has_more { items.last().map(|entry| entry.id) } else { None };
            Ok(Page { items, next })
        })
        .await
    }
}
