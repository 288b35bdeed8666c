//! `POST /v1/links/bulk`.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vayro_core::access::Action;
use vayro_core::host::Host;
use vayro_core::ids::{LinkId, WorkspaceId};

use super::input::{CreateLink, UpdateLink};
use super::view::LinkView;
use super::{change, create, publish, short_hosts};
use crate::auth::Access;
use crate::extract::{Json, from_value};
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::{ApiState, SharedState};

/// Most changes of one request.
pub(crate) const BULK_MAX: usize = 100;

/// Changes of links, done one after the other.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkInput {
    /// At most 100 changes.
    #[schema(value_type = Vec<BulkOperation>, max_items = 100)]
    operations: Vec<serde_json::Value>,
}

/// One change.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the operations, which are read one by one to name fields exactly")]
pub(crate) enum BulkOperation {
    /// Make a link.
    Create {
        /// The link.
        link: CreateLink,
    },
    /// Change a link.
    Update {
        /// Which link.
        id: uuid::Uuid,
        /// The change.
        link: UpdateLink,
    },
    /// Delete a link.
    Delete {
        /// Which link.
        id: uuid::Uuid,
        /// Delete only this version.
        version: Option<i32>,
    },
}

/// What became of each change, in the order of the request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct BulkOutput {
    /// How many were done.
    done: usize,
    /// How many were refused.
    failed: usize,
    /// One result per operation.
    results: Vec<BulkResult>,
}

/// What became of one change.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct BulkResult {
    /// Position in the request, from 0.
    index: usize,
    /// The status the single request would have had.
    #[schema(example = 201)]
    status: u16,
    /// The link as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<LinkView>,
    /// Why it was refused; pointers begin at the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    link: CreateLink,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    id: LinkId,
    link: UpdateLink,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    id: LinkId,
    version: Option<i32>,
}

/// Change many links
///
/// Each change stands alone: what can be done is done, and the answer says what became of each.
#[utoipa::path(
    post,
    path = "/v1/links/bulk",
    tag = "links",
    request_body = BulkInput,
    responses(
        (status = 207, description = "A result for each operation", body = BulkOutput),
        (status = "default", description = "A problem with the request as a whole", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn change_links(
    State(state): State<SharedState>,
    access: Access,
    Json(input): Json<BulkInput>,
) -> Result<(StatusCode, Json<BulkOutput>), Problem> {
    let workspace = access.require(Action::LinksWrite)?;
    let count = input.operations.len();
    if !(1..=BULK_MAX).contains(&count) {
        let error =
            FieldError::field("/operations", format!("has {count} items, allowed are 1 to {BULK_MAX}"));
        return Err(Problem::of_fields(Code::InvalidFields, vec![error]));
    }
    let hosts = short_hosts(&state).await?;
    let mut results = Vec::with_capacity(count);
    for (index, operation) in input.operations.into_iter().enumerate() {
        let result = match run(&state, &access, workspace, operation, &hosts).await {
            Ok((status, link)) => BulkResult { index, status: status.as_u16(), link, problem: None },
            Err(problem) => {
                let status = problem.code().status().as_u16();
                BulkResult { index, status, link: None, problem: Some(problem.to_body(None)) }
            }
        };
        results.push(result);
    }
    publish(&state).await;
    let failed = results.iter().filter(|result| result.problem.is_some()).count();
    Ok((StatusCode::MULTI_STATUS, Json(BulkOutput { done: count - failed, failed, results })))
}

async fn run(
    state: &ApiState,
    access: &Access,
    workspace: WorkspaceId,
    mut operation: serde_json::Value,
    short_hosts: &[Host],
) -> Result<(StatusCode, Option<LinkView>), Problem> {
    let op = operation.as_object_mut().and_then(|members| members.remove("op"));
    match op.as_ref().and_then(serde_json::Value::as_str) {
        Some("create") => {
            let Create { link } = from_value(operation).map_err(invalid)?;
            let created = create::create(state, access, workspace, link, short_hosts).await;
            Ok((StatusCode::CREATED, Some(created.map_err(below_link)?)))
        }
        Some("update") => {
            let Update { id, link } = from_value(operation).map_err(invalid)?;
            let version = link.version;
            let updated = change::update(state, access, workspace, id, version, link, short_hosts).await;
            Ok((StatusCode::OK, Some(updated.map_err(below_link)?)))
        }
        Some("delete") => {
            let Delete { id, version } = from_value(operation).map_err(invalid)?;
            change::delete(state, access, workspace, id, version).await?;
            Ok((StatusCode::NO_CONTENT, None))
        }
        _ => Err(invalid(FieldError::field("/op", "must be `create`, `update` or `delete`"))),
    }
}

fn invalid(error: FieldError) -> Problem {
    Problem::of_fields(Code::InvalidFields, vec![error])
}

fn below_link(problem: Problem) -> Problem {
    problem.below("/link")
}

#[cfg(test)]
mod tests {
    use vayro_core::idempotency::ANSWER_SIZE_MAX;
    use vayro_core::link::{LinkState, RedirectStatus};
    use vayro_core::timestamp::Timestamp;

    use super::*;

    /// The answer about a hundred links can be kept and given again, however long their texts are.
    #[test]
    fn the_largest_answer_about_links_is_kept() {
        // Each of these has two bytes in JSON.
        let text = |len: usize| "\\".repeat(len);
        let at: Timestamp = "2026-05-10T12:00:00.123456Z".parse().expect("valid");
        let link = LinkView {
            id: uuid::Uuid::max(),
            short_url: text(320),
            short_code: text(50),
            domain: text(253),
            target_url: text(2048),
            title: text(200),
            redirect_status: RedirectStatus::Found,
            state: LinkState::Disabled,
            is_active: false,
            expires_at: Some(at),
            archived_at: Some(at),
            deleted_at: Some(at),
            clicks: i64::MIN,
            last_click_at: Some(at),
            version: i32::MIN,
            workspace_id: uuid::Uuid::max(),
            user_id: uuid::Uuid::max(),
            created_at: at,
            updated_at: at,
        };
        let result = |index| BulkResult { index, status: 201, link: Some(link.clone()), problem: None };
        let output = BulkOutput { done: 0, failed: BULK_MAX, results: (0..BULK_MAX).map(result).collect() };
        let size = serde_json::to_vec(&output).expect("serializes").len();
        assert!(size <= ANSWER_SIZE_MAX, "{size}");
    }
}
