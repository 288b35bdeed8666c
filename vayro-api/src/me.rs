//! `/v1/me`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vayro_core::access::Scope;
use vayro_core::account::{User, UserPatch};
use vayro_core::timestamp::Timestamp;

use crate::accounts::AccountError;
use crate::auth::{Caller, Credential, LoginLimits, Passwords, clear_cookie};
use crate::extract::Json;
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::SharedState;
use crate::workspaces::{WorkspaceView, visible};

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(get_me, update_me))
}

/// An account.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserView {
    /// Its identity.
    id: Uuid,
    /// Its address.
    email: String,
    /// Whether it may operate the instance.
    is_operator: bool,
    /// When it was switched off.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    disabled_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id.as_uuid(),
            email: user.email.to_string(),
            is_operator: user.is_operator,
            disabled_at: user.disabled_at,
            created_at: user.created_at,
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Me {
    /// The account.
    user: UserView,
    /// What it proved itself with.
    credential: CredentialView,
    /// The workspaces it may see; with an API key, the key's own one.
    workspaces: Vec<WorkspaceView>,
}

/// What somebody proved themselves with.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = Credential)]
enum CredentialView {
    /// A session cookie.
    Session {
        /// The session.
        id: Uuid,
        /// When it ends unless it is used before.
        #[schema(value_type = String, format = DateTime)]
        expires_at: Timestamp,
    },
    /// An API key.
    ApiKey {
        /// The key.
        id: Uuid,
        /// Its name for people.
        name: String,
        /// Its public beginning.
        prefix: String,
        /// What it may be used for.
        #[schema(value_type = Vec<String>)]
        scopes: Vec<Scope>,
        /// When it stops working.
        #[schema(value_type = Option<String>, format = DateTime, required = true)]
        expires_at: Option<Timestamp>,
    },
}

impl From<&Credential> for CredentialView {
    fn from(credential: &Credential) -> Self {
        match credential {
            Credential::Session(session) => {
                Self::Session { id: session.id.as_uuid(), expires_at: session.expires_at }
            }
            Credential::Key(key) => Self::ApiKey {
                id: key.id.as_uuid(),
                name: key.name.clone(),
                prefix: key.prefix.clone(),
                scopes: key.scopes.clone(),
                expires_at: key.expires_at,
            },
        }
    }
}

/// A change of your own account.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateMe {
    /// The password so far.
    #[schema(format = Password)]
    current_password: String,
    /// The new password, 10 characters to 256 bytes.
    #[schema(format = Password)]
    password: String,
}

/// Show who you are
///
/// Works with every API key, whatever its scopes.
#[utoipa::path(
    get,
    path = "/v1/me",
    tag = "me",
    responses(
        (status = 200, description = "Account, credential and workspaces", body = Me),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_me(State(state): State<SharedState>, caller: Caller) -> Result<Json<Me>, Problem> {
    let workspaces = visible(&caller, &state).await?;
    let credential = CredentialView::from(&caller.credential);
    Ok(Json(Me { user: caller.user.into(), credential, workspaces }))
}

/// Change your password
///
/// Ends every session of the account, this one included. API keys go on working.
#[utoipa::path(
    patch,
    path = "/v1/me",
    tag = "me",
    request_body = UpdateMe,
    responses(
        (status = 204, description = "Changed; sign in again"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn update_me(
    State(state): State<SharedState>,
    caller: Caller,
    Json(input): Json<UpdateMe>,
) -> Result<Response, Problem> {
    caller.session()?;
    Passwords::check_new(&input.password).map_err(AccountError::from)?;
    // A stolen session must not be a way to guess the password.
    let limits = LoginLimits::new(caller.request.address, caller.user.email.as_str());
    limits.hit(&*state.ports.limits, &state.settings, state.clock.now()).await?;
    let (_, hash) = state.ports.users.find_by_email(&caller.user.email).await?.unzip();
    if !state.passwords.verify(input.current_password, hash).await? {
        let error = FieldError::field("/current_password", "is not your password");
        return Err(Problem::of_fields(Code::InvalidFields, vec![error]));
    }
    let hash = state.passwords.hash(input.password, &mut state.random.fork()).await?;
    let patch = UserPatch { password_hash: Some(hash), ..UserPatch::default() };
    state.ports.users.update(caller.user.id, &patch, &caller.change(&state)).await?;
    limits.reset(&*state.ports.limits).await;
    let cookie = clear_cookie(state.settings.is_cookie_secure());
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}
