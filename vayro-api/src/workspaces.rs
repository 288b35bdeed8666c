//! `/v1/workspaces`.

mod members;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vayro_core::access::{Action, Role};
use vayro_core::account::{Plan, WORKSPACE_NAME_LEN_MAX, Workspace};
use vayro_core::ids::WorkspaceId;
use vayro_core::timestamp::Timestamp;

use crate::auth::{Access, Caller, Credential};
use crate::extract::{Json, Path};
use crate::problem::{Code, Problem, ProblemBody};
use crate::state::{ApiState, SharedState};
use crate::text;

/// Most workspaces an account may be in and still make another one.
pub(crate) const WORKSPACES_MAX: usize = 50;

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(list_workspaces, create_workspace))
        .routes(routes!(get_workspace, update_workspace))
        .merge(members::router())
}

/// What owns links.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Workspace)]
pub(crate) struct WorkspaceView {
    /// Its identity.
    id: Uuid,
    /// Its name for people.
    name: String,
    /// What the caller is in it.
    #[schema(schema_with = crate::schema::role)]
    role: Role,
    /// What its owner pays for.
    #[schema(schema_with = crate::schema::plan)]
    plan: Plan,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl WorkspaceView {
    async fn new(workspace: Workspace, role: Role, state: &ApiState) -> Result<Self, Problem> {
        let plan = state.ports.workspaces.plan(workspace.id).await?.unwrap_or_default();
        let Workspace { id, name, created_at } = workspace;
        Ok(Self { id: id.as_uuid(), name, role, plan, created_at })
    }
}

/// The workspaces of an account.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct WorkspaceList {
    /// Oldest first.
    items: Vec<WorkspaceView>,
}

/// The name of a workspace.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WorkspaceInput {
    /// 1 to 100 bytes.
    name: String,
}

impl WorkspaceInput {
    fn check(&self) -> Result<String, Problem> {
        text::name("/name", &self.name, WORKSPACE_NAME_LEN_MAX)
            .map_err(|error| Problem::of_fields(Code::InvalidFields, vec![error]))
    }
}

/// Lists what the caller may see: an API key only its own workspace.
pub(crate) async fn visible(caller: &Caller, state: &ApiState) -> Result<Vec<WorkspaceView>, Problem> {
    let mut views = Vec::new();
    for (workspace, role) in state.ports.workspaces.list_for_user(caller.user.id).await? {
        let is_visible = match &caller.credential {
            Credential::Key(key) => key.workspace_id == workspace.id,
            Credential::Session(_) => true,
        };
        if is_visible {
            views.push(WorkspaceView::new(workspace, role, state).await?);
        }
    }
    Ok(views)
}

/// List workspaces
#[utoipa::path(
    get,
    path = "/v1/workspaces",
    tag = "workspaces",
    responses(
        (status = 200, description = "Your workspaces; with an API key, its own one", body = WorkspaceList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_workspaces(
    State(state): State<SharedState>,
    access: Access,
) -> Result<Json<WorkspaceList>, Problem> {
    access.require(Action::WorkspaceRead)?;
    Ok(Json(WorkspaceList { items: visible(&access.caller, &state).await? }))
}

/// Create a workspace
///
/// Its maker becomes its owner. Needs a session: an API key works in its own workspace only.
#[utoipa::path(
    post,
    path = "/v1/workspaces",
    tag = "workspaces",
    request_body = WorkspaceInput,
    responses(
        (status = 201, description = "Made", body = WorkspaceView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn create_workspace(
    State(state): State<SharedState>,
    caller: Caller,
    Json(input): Json<WorkspaceInput>,
) -> Result<(StatusCode, Json<WorkspaceView>), Problem> {
    caller.session()?;
    let name = input.check()?;
    if state.ports.workspaces.list_for_user(caller.user.id).await?.len() >= WORKSPACES_MAX {
        let detail = format!("an account is in at most {WORKSPACES_MAX} workspaces");
        return Err(Problem::new(Code::LimitReached, detail));
    }
    let context = caller.change(&state);
    let id = WorkspaceId::generate(context.at, &mut state.random.fork());
    let workspace = Workspace { id, name, created_at: context.at };
    state.ports.workspaces.insert(&workspace, caller.user.id, &context).await?;
    let view = WorkspaceView::new(workspace, Role::Owner, &state).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Show a workspace
#[utoipa::path(
    get,
    path = "/v1/workspaces/{id}",
    tag = "workspaces",
    params(("id" = Uuid, Path, description = "The workspace")),
    responses(
        (status = 200, description = "The workspace", body = WorkspaceView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_workspace(
    State(state): State<SharedState>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
) -> Result<Json<WorkspaceView>, Problem> {
    let access = Access::find(caller, id, &state).await?;
    let id = access.require(Action::WorkspaceRead)?;
    let found = state.ports.workspaces.find(id).await?.ok_or_else(|| Problem::not_found("workspace"))?;
    WorkspaceView::new(found, access.role(), &state).await.map(Json)
}

/// Rename a workspace
#[utoipa::path(
    patch,
    path = "/v1/workspaces/{id}",
    tag = "workspaces",
    params(("id" = Uuid, Path, description = "The workspace")),
    request_body = WorkspaceInput,
    responses(
        (status = 200, description = "The workspace as it is now", body = WorkspaceView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn update_workspace(
    State(state): State<SharedState>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    Json(input): Json<WorkspaceInput>,
) -> Result<Json<WorkspaceView>, Problem> {
    let access = Access::find(caller, id, &state).await?;
    let id = access.require(Action::WorkspaceWrite)?;
    let name = input.check()?;
    let renamed = state.ports.workspaces.rename(id, &name, &access.change(&state)).await?;
    let renamed = renamed.ok_or_else(|| Problem::not_found("workspace"))?;
    WorkspaceView::new(renamed, access.role(), &state).await.map(Json)
}
