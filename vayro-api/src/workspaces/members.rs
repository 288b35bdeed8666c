//! `/v1/workspaces/{id}/members`.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vayro_core::access::{Action, Role};
use vayro_core::account::{Email, EmailError, Member, MemberChange};
use vayro_core::ids::{UserId, WorkspaceId};
use vayro_core::timestamp::Timestamp;

use crate::auth::{Access, Caller};
use crate::extract::{Json, Path};
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::{ApiState, SharedState};

/// Most members of a workspace.
pub(crate) const MEMBERS_MAX: usize = 500;

pub(super) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(list_members, add_member))
        .routes(routes!(update_member, remove_member))
}

/// A member of a workspace.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Member)]
struct MemberView {
    /// Who.
    user_id: Uuid,
    /// Their address.
    email: String,
    /// What they are there.
    #[schema(schema_with = crate::schema::role)]
    role: Role,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            user_id: member.user_id.as_uuid(),
            email: member.email.to_string(),
            role: member.role,
            created_at: member.created_at,
        }
    }
}

/// The members of a workspace.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct MemberList {
    /// Oldest first.
    items: Vec<MemberView>,
}

/// A member to be added.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddMember {
    /// The address of an account of this instance.
    email: String,
    /// What they shall be.
    #[schema(schema_with = crate::schema::role)]
    role: Role,
}

/// A change of a member.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateMember {
    /// What they shall be.
    #[schema(schema_with = crate::schema::role)]
    role: Role,
}

/// List members
#[utoipa::path(
    get,
    path = "/v1/workspaces/{id}/members",
    tag = "workspaces",
    params(("id" = Uuid, Path, description = "The workspace")),
    responses(
        (status = 200, description = "The members", body = MemberList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_members(
    State(state): State<SharedState>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
) -> Result<Json<MemberList>, Problem> {
    let access = Access::find(caller, id, &state).await?;
    let id = access.require(Action::WorkspaceRead)?;
    let members = state.ports.workspaces.members(id).await?;
    Ok(Json(MemberList { items: members.into_iter().map(MemberView::from).collect() }))
}

/// Add a member
///
/// Somebody who is a member already gets the new role. Nobody hands out a role above their own.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{id}/members",
    tag = "workspaces",
    params(("id" = Uuid, Path, description = "The workspace")),
    request_body = AddMember,
    responses(
        (status = 200, description = "The member as it is now", body = MemberView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn add_member(
    State(state): State<SharedState>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    Json(input): Json<AddMember>,
) -> Result<Json<MemberView>, Problem> {
    let access = Access::find(caller, id, &state).await?;
    let id = access.require(Action::MembersManage)?;
    let at_email = |code, detail: String| Problem::of_fields(code, vec![FieldError::field("/email", detail)]);
    let email: Email =
        input.email.parse().map_err(|error: EmailError| at_email(Code::InvalidFields, error.to_string()))?;
    let members = state.ports.workspaces.members(id).await?;
    let known = members.iter().find(|member| member.email == email);
    if known.is_none() && members.len() >= MEMBERS_MAX {
        return Err(Problem::new(
            Code::LimitReached,
            format!("a workspace has at most {MEMBERS_MAX} members"),
        ));
    }
    check_change(&access, known.map(|member| member.role), Some(input.role))?;
    let Some((user, _)) = state.ports.users.find_by_email(&email).await? else {
        let detail = format!("no account of this instance has the address `{email}`");
        return Err(at_email(Code::InvalidFields, detail));
    };
    set_role(&state, &access, id, user.id, input.role).await.map(Json)
}

/// Change a member's role
#[utoipa::path(
    patch,
    path = "/v1/workspaces/{id}/members/{user_id}",
    tag = "workspaces",
    params(("id" = Uuid, Path, description = "The workspace"), ("user_id" = Uuid, Path, description = "The member")),
    request_body = UpdateMember,
    responses(
        (status = 200, description = "The member as it is now", body = MemberView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn update_member(
    State(state): State<SharedState>,
    caller: Caller,
    Path((id, user_id)): Path<(WorkspaceId, UserId)>,
    Json(input): Json<UpdateMember>,
) -> Result<Json<MemberView>, Problem> {
    let access = Access::find(caller, id, &state).await?;
    let id = access.require(Action::MembersManage)?;
    let current = state.ports.workspaces.role(id, user_id).await?;
    let current = current.ok_or_else(|| Problem::not_found("member"))?;
    check_change(&access, Some(current), Some(input.role))?;
    set_role(&state, &access, id, user_id, input.role).await.map(Json)
}

/// Remove a member
///
/// Their API keys in this workspace are revoked. Everybody may remove themselves, with a session.
#[utoipa::path(
    delete,
    path = "/v1/workspaces/{id}/members/{user_id}",
    tag = "workspaces",
    params(("id" = Uuid, Path, description = "The workspace"), ("user_id" = Uuid, Path, description = "The member")),
    responses(
        (status = 204, description = "Removed"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn remove_member(
    State(state): State<SharedState>,
    caller: Caller,
    Path((id, user_id)): Path<(WorkspaceId, UserId)>,
) -> Result<StatusCode, Problem> {
    let access = Access::find(caller, id, &state).await?;
    let is_leaving = user_id == access.caller.user.id && access.caller.session().is_ok();
    let id = access.require(if is_leaving { Action::WorkspaceRead } else { Action::MembersManage })?;
    let current = state.ports.workspaces.role(id, user_id).await?;
    let current = current.ok_or_else(|| Problem::not_found("member"))?;
    if !is_leaving {
        check_change(&access, Some(current), None)?;
    }
    match state.ports.workspaces.remove_member(id, user_id, &access.change(&state)).await? {
        MemberChange::Done => Ok(StatusCode::NO_CONTENT),
        other => Err(refused(other)),
    }
}

fn check_change(access: &Access, from: Option<Role>, to: Option<Role>) -> Result<(), Problem> {
    if access.role().may_change(from, to) {
        Ok(())
    } else {
        Err(Problem::new(Code::Forbidden, "nobody hands out or takes away a role above their own"))
    }
}

async fn set_role(
    state: &ApiState,
    access: &Access,
    id: WorkspaceId,
    user_id: UserId,
    role: Role,
) -> Result<MemberView, Problem> {
    match state.ports.workspaces.set_member(id, user_id, role, &access.change(state)).await? {
        MemberChange::Done => {}
        other => return Err(refused(other)),
    }
    let members = state.ports.workspaces.members(id).await?;
    let member = members.into_iter().find(|member| member.user_id == user_id);
    Ok(member.ok_or_else(|| Problem::not_found("member"))?.into())
}

fn refused(change: MemberChange) -> Problem {
    match change {
        MemberChange::LastOwner => Problem::new(Code::LastOwner, "a workspace always has at least one owner"),
        MemberChange::Missing | MemberChange::Done => Problem::not_found("member"),
    }
}
