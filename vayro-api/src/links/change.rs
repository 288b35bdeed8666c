//! `PATCH` and `DELETE /v1/links/{id}`, `POST /v1/links/{id}/restore`.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use vayro_core::access::Action;
use vayro_core::host::Host;
use vayro_core::ids::{LinkId, WorkspaceId};
use vayro_core::link::{LinkUpdate, RESTORE_WINDOW_DAYS};

use super::input::UpdateLink;
use super::precondition::{expected_version, mismatch};
use super::view::LinkView;
use super::{publish, short_hosts};
use crate::auth::Access;
use crate::extract::{Json, Path};
use crate::problem::{Code, Problem, ProblemBody};
use crate::state::{ApiState, SharedState};

/// Change a link
///
/// Members left out stay as they are. The change acts at every edge before the answer, or moments later
/// when a cache is away.
#[utoipa::path(
    patch,
    path = "/v1/links/{id}",
    tag = "links",
    params(
        ("id" = Uuid, Path, description = "The link"),
        ("if-match" = Option<String>, Header, description = "Change only this version, as in `ETag`"),
    ),
    request_body = UpdateLink,
    responses(
        (status = 200, description = "The link as it is now", body = LinkView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn update_link(
    State(state): State<SharedState>,
    access: Access,
    Path(id): Path<LinkId>,
    headers: HeaderMap,
    Json(input): Json<UpdateLink>,
) -> Result<Response, Problem> {
    let workspace = access.require(Action::LinksWrite)?;
    let expected = expected_version(&headers, input.version)?;
    let hosts = short_hosts(&state).await?;
    let view = update(&state, &access, workspace, id, expected, input, &hosts).await?;
    publish(&state).await;
    Ok((view.etag(), Json(view)).into_response())
}

/// Delete a link
///
/// It answers 404 from now on, keeps its code and its statistics, and can be restored for 30 days.
#[utoipa::path(
    delete,
    path = "/v1/links/{id}",
    tag = "links",
    params(
        ("id" = Uuid, Path, description = "The link"),
        ("if-match" = Option<String>, Header, description = "Delete only this version, as in `ETag`"),
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete_link(
    State(state): State<SharedState>,
    access: Access,
    Path(id): Path<LinkId>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let workspace = access.require(Action::LinksWrite)?;
    let expected = expected_version(&headers, None)?;
    delete(&state, &access, workspace, id, expected).await?;
    publish(&state).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Restore a deleted link
///
/// Possible for 30 days after the deletion.
#[utoipa::path(
    post,
    path = "/v1/links/{id}/restore",
    tag = "links",
    params(("id" = Uuid, Path, description = "The link")),
    responses(
        (status = 200, description = "The link as it is now", body = LinkView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn restore_link(
    State(state): State<SharedState>,
    access: Access,
    Path(id): Path<LinkId>,
) -> Result<Response, Problem> {
    let workspace = access.require(Action::LinksWrite)?;
    let not_deleted = || Problem::new(Code::NotDeleted, "the link is not deleted");
    let link = state.ports.links.find(workspace, id).await?.ok_or_else(|| Problem::not_found("link"))?;
    let deleted_at = link.deleted_at.ok_or_else(not_deleted)?;
    let window = Duration::from_hours(24 * u64::from(RESTORE_WINDOW_DAYS));
    if deleted_at.plus(window) <= state.clock.now() {
        let detail = format!("a deleted link can be restored for {RESTORE_WINDOW_DAYS} days");
        return Err(Problem::new(Code::RestoreWindowOver, detail));
    }
    let view = match state.ports.links.restore(workspace, id, &access.change(&state)).await? {
        LinkUpdate::Done(link) => LinkView::new(*link, &state),
        LinkUpdate::Missing | LinkUpdate::VersionMismatch { .. } => return Err(not_deleted()),
    };
    publish(&state).await;
    Ok((view.etag(), Json(view)).into_response())
}

/// Changes one link without telling the caches.
pub(super) async fn update(
    state: &ApiState,
    access: &Access,
    workspace: WorkspaceId,
    id: LinkId,
    expected: Option<i32>,
    input: UpdateLink,
    short_hosts: &[Host],
) -> Result<LinkView, Problem> {
    let patch = input.check(short_hosts)?;
    match state.ports.links.update(workspace, id, expected, &patch, &access.change(state)).await? {
        LinkUpdate::Done(link) => Ok(LinkView::new(*link, state)),
        LinkUpdate::Missing => Err(Problem::not_found("link")),
        LinkUpdate::VersionMismatch { current } => Err(mismatch(current)),
    }
}

/// Deletes one link without telling the caches.
pub(super) async fn delete(
    state: &ApiState,
    access: &Access,
    workspace: WorkspaceId,
    id: LinkId,
    expected: Option<i32>,
) -> Result<(), Problem> {
    match state.ports.links.delete(workspace, id, expected, &access.change(state)).await? {
        LinkUpdate::Done(_) => Ok(()),
        LinkUpdate::Missing => Err(Problem::not_found("link")),
        LinkUpdate::VersionMismatch { current } => Err(mismatch(current)),
    }
}
