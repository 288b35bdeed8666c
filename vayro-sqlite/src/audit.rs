//! The audit log: written inside the changes it is about.

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;
use vayro_core::change::{AuditEntry, AuditFilter, ChangeContext};
use vayro_core::ids::{AuditId, KeyId, UserId, WorkspaceId};
use vayro_core::page::Page;
use vayro_core::ports::{AuditStore, StoreError};

use crate::database::SqliteStores;
use crate::error::{internal, store_error};
use crate::row::{bad_because, instant};

/// What an audit entry says beside its context.
pub(crate) struct Change {
    /// The workspace whose log it belongs to; `None` for the instance.
    pub(crate) workspace_id: Option<WorkspaceId>,
    /// `<subject>.<verb>`.
    pub(crate) action: &'static str,
    /// What it was done to.
    pub(crate) subject_id: Uuid,
    /// The subject before, `Null` if it was not there.
    pub(crate) before: Value,
    /// The subject after, `Null` if it is gone.
    pub(crate) after: Value,
}

/// Returns the JSON an audit entry keeps of something.
pub(crate) fn json(subject: &impl Serialize) -> Result<Value, StoreError> {
    serde_json::to_value(subject).map_err(internal)
}

/// Writes the entry of a change, in its transaction.
pub(crate) async fn record(
    connection: &mut SqliteConnection,
    context: &ChangeContext,
    change: Change,
) -> Result<(), StoreError> {
    let text = |value: &Value| (!value.is_null()).then(|| value.to_string());
    sqlx::query(
        "INSERT INTO audit_log
             (id, workspace_id, user_id, key_id, action, subject_id, before, after, request_id, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
    .bind(context.audit_id.as_uuid())
    .bind(change.workspace_id.map(|id| id.as_uuid()))
    .bind(context.user_id.map(|id| id.as_uuid()))
    .bind(context.key_id.map(|id| id.as_uuid()))
    .bind(change.action)
    .bind(change.subject_id.to_string())
    .bind(text(&change.before))
    .bind(text(&change.after))
    .bind(context.request_id.as_deref())
    .bind(context.at.as_micros())
    .execute(connection)
    .await
    .map(drop)
    .map_err(store_error)
}

#[derive(sqlx::FromRow)]
struct AuditRow {
    id: Uuid,
    workspace_id: Option<Uuid>,
    user_id: Option<Uuid>,
    key_id: Option<Uuid>,
    action: String,
    subject_id: String,
    before: Option<String>,
    after: Option<String>,
    request_id: Option<String>,
    created_at: i64,
}

impl TryFrom<AuditRow> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: AuditRow) -> Result<Self, StoreError> {
        let value = |text: Option<String>, column| match text {
            None => Ok(Value::Null),
            Some(text) => serde_json::from_str(&text).map_err(|error| bad_because(column, error)),
        };
        Ok(Self {
            id: AuditId::from_uuid(row.id),
            workspace_id: row.workspace_id.map(WorkspaceId::from_uuid),
            user_id: row.user_id.map(UserId::from_uuid),
            key_id: row.key_id.map(KeyId::from_uuid),
            action: row.action,
            subject_id: row.subject_id,
            before: value(row.before, "audit_log.before")?,
            after: value(row.after, "audit_log.after")?,
            request_id: row.request_id,
            created_at: instant(row.created_at, "audit_log.created_at")?,
        })
    }
}

#[async_trait]
impl AuditStore for SqliteStores {
    async fn list(&self, filter: &AuditFilter) -> Result<Page<AuditEntry, AuditId>, StoreError> {
        let size = usize::from(filter.size.get());
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id, workspace_id, user_id, key_id, action, subject_id, before, after, request_id, created_at
             FROM audit_log WHERE workspace_id = ",
        );
        query.push_bind(filter.workspace_id.as_uuid());
        if let Some(subject_id) = &filter.subject_id {
            query.push(" AND subject_id = ").push_bind(subject_id);
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").push_bind(before.as_uuid());
        }
        // One more than asked for tells whether there is another page.
        query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(filter.size.get()) + 1);
        let rows: Vec<AuditRow> =
            query.build_query_as().fetch_all(&self.readers).await.map_err(store_error)?;
        let has_more = rows.len() > size;
        let items: Vec<AuditEntry> =
            rows.into_iter().take(size).map(AuditEntry::try_from).collect::<Result<_, _>>()?;
        let next = items.last().filter(|_| has_more).map(|entry| entry.id);
        Ok(Page { items, next })
    }
}
