//! `/v1/audit-log`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vayro_core::access::Action;
use vayro_core::change::{AuditEntry, AuditFilter};
use vayro_core::ids::AuditId;
use vayro_core::timestamp::Timestamp;

use crate::auth::Access;
use crate::cursor;
use crate::extract::{Json, Query};
use crate::page::{PageView, take_limit};
use crate::problem::{Problem, ProblemBody};
use crate::state::SharedState;

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(list_audit_log))
}

/// One change that somebody made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct AuditView {
    /// Its identity.
    id: Uuid,
    /// What was done, as `<subject>.<verb>`.
    #[schema(example = "link.update")]
    action: String,
    /// The id of what it was done to.
    subject_id: String,
    /// Who did it; `null` for the system itself.
    #[schema(required = true)]
    user_id: Option<Uuid>,
    /// The API key used.
    #[schema(required = true)]
    key_id: Option<Uuid>,
    /// The subject before, `null` if it was not there.
    #[schema(value_type = Option<Object>, required = true)]
    before: serde_json::Value,
    /// The subject after, `null` if it is gone.
    #[schema(value_type = Option<Object>, required = true)]
    after: serde_json::Value,
    /// The request it came in.
    #[schema(required = true)]
    request_id: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id.as_uuid(),
            action: entry.action,
            subject_id: entry.subject_id,
            user_id: entry.user_id.map(|id| id.as_uuid()),
            key_id: entry.key_id.map(|id| id.as_uuid()),
            before: entry.before,
            after: entry.after,
            request_id: entry.request_id,
            created_at: entry.created_at,
        }
    }
}

/// List changes
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/v1/audit-log",
    tag = "audit-log",
    params(
        ("limit" = Option<u16>, Query, description = "Items of a page, 1 to 200, 50 if left out"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("subject_id" = Option<String>, Query, description = "Only about this link, domain, key or member"),
    ),
    responses(
        (status = 200, description = "A page of changes", body = PageView<AuditView>),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_audit_log(
    State(state): State<SharedState>,
    access: Access,
    mut query: Query,
) -> Result<Json<PageView<AuditView>>, Problem> {
    let workspace_id = access.require(Action::AuditRead)?;
    let before = query.take_with("cursor", cursor::decode::<AuditId>);
    let subject_id = query.take("subject_id");
    let size = take_limit(&mut query);
    query.finish()?;
    let page = state.ports.audit.list(&AuditFilter { workspace_id, subject_id, before, size }).await?;
    let next = page.next.as_ref().and_then(cursor::encode);
    Ok(Json(PageView { items: page.items.into_iter().map(AuditView::from).collect(), next }))
}
