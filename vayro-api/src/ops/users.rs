//! `/v1/ops/users`.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vayro_core::account::{Email, EmailError, Plan, UserPatch};
use vayro_core::ids::UserId;

use crate::accounts::{AccountError, NewAccount, create_user as make_account};
use crate::auth::{Caller, Passwords};
use crate::extract::{Json, Path};
use crate::me::UserView;
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::SharedState;

/// Most accounts a list has.
pub(crate) const USERS_MAX: u16 = 1000;

pub(super) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(list_users, create_user)).routes(routes!(update_user))
}

/// The accounts of the instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct UserList {
    /// Oldest first, at most 1,000.
    items: Vec<UserView>,
    /// How many accounts there are.
    total: u64,
}

/// An account to be made.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateUser {
    /// Its address.
    email: String,
    /// Its password, 10 characters to 256 bytes; left out, one is made and shown in the answer.
    #[schema(format = Password)]
    password: Option<String>,
    /// What it pays for, `free` if left out.
    #[schema(schema_with = crate::schema::plan, required = false)]
    #[serde(default)]
    plan: Plan,
    /// Whether it may operate the instance.
    #[serde(default)]
    is_operator: bool,
}

/// A new account.
#[derive(Clone, Serialize, ToSchema)]
struct CreatedUser {
    /// The account.
    user: UserView,
    /// Its own workspace.
    workspace_id: Uuid,
    /// The password, if it was made here. It is shown only now and stored nowhere.
    #[schema(required = true)]
    generated_password: Option<String>,
}

/// A change of an account; members left out stay as they are.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateUser {
    /// A new password; ends every session of the account.
    #[schema(format = Password)]
    password: Option<String>,
    /// A new plan.
    #[schema(schema_with = crate::schema::plan, required = false)]
    plan: Option<Plan>,
    /// Operator or not.
    is_operator: Option<bool>,
    /// Switched off or on; off ends every session and stops every API key.
    is_disabled: Option<bool>,
}

/// List accounts
///
/// For operators, with a session or the scope `ops`.
#[utoipa::path(
    get,
    path = "/v1/ops/users",
    tag = "ops",
    responses(
        (status = 200, description = "The accounts", body = UserList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_users(State(state): State<SharedState>, caller: Caller) -> Result<Json<UserList>, Problem> {
    caller.require_operator()?;
    let users = state.ports.users.list(USERS_MAX).await?;
    let total = state.ports.users.count().await?;
    Ok(Json(UserList { items: users.into_iter().map(UserView::from).collect(), total }))
}

/// Create an account
///
/// With a workspace of its own, of which it is the owner.
#[utoipa::path(
    post,
    path = "/v1/ops/users",
    tag = "ops",
    request_body = CreateUser,
    responses(
        (status = 201, description = "Made", body = CreatedUser),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn create_user(
    State(state): State<SharedState>,
    caller: Caller,
    Json(input): Json<CreateUser>,
) -> Result<(StatusCode, Json<CreatedUser>), Problem> {
    caller.require_operator()?;
    let email: Email = input.email.parse().map_err(|error: EmailError| {
        Problem::of_fields(Code::InvalidFields, vec![FieldError::field("/email", error.to_string())])
    })?;
    let CreateUser { password, plan, is_operator, .. } = input;
    let new = NewAccount { email, password, plan, is_operator };
    let created = make_account(&state, new, &caller.change(&state)).await?;
    Ok((
        StatusCode::CREATED,
        Json(CreatedUser {
            user: created.user.into(),
            workspace_id: created.workspace.id.as_uuid(),
            generated_password: created.generated_password,
        }),
    ))
}

/// Change an account
#[utoipa::path(
    patch,
    path = "/v1/ops/users/{id}",
    tag = "ops",
    params(("id" = Uuid, Path, description = "The account")),
    request_body = UpdateUser,
    responses(
        (status = 200, description = "The account as it is now", body = UserView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn update_user(
    State(state): State<SharedState>,
    caller: Caller,
    Path(id): Path<UserId>,
    Json(input): Json<UpdateUser>,
) -> Result<Json<UserView>, Problem> {
    caller.require_operator()?;
    let UpdateUser { password, plan, is_operator, is_disabled } = input;
    if id == caller.user.id && (is_disabled == Some(true) || is_operator == Some(false)) {
        let detail = "operators do not switch themselves off, another operator does";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let password_hash = match password {
        None => None,
        Some(password) => {
            Passwords::check_new(&password).map_err(AccountError::from)?;
            let hash = state.passwords.hash(password, &mut state.random.fork()).await;
            Some(hash?)
        }
    };
    let patch = UserPatch { password_hash, plan, is_operator, is_disabled };
    let user = state.ports.users.update(id, &patch, &caller.change(&state)).await?;
    Ok(Json(user.ok_or_else(|| Problem::not_found("account"))?.into()))
}
