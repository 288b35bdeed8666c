//! `/v1/login`, `/v1/logout`, `/v1/sessions`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vayro_core::account::{Email, NewSession, Session, User};
use vayro_core::click::{USER_AGENT_LEN_MAX, clean};
use vayro_core::ids::SessionId;
use vayro_core::timestamp::Timestamp;

use crate::auth::{Caller, LoginLimits, check_same_site, clear_cookie, hash, session_cookie, session_secret};
use crate::context::RequestContext;
use crate::extract::{Json, Path};
use crate::me::UserView;
use crate::network::truncated;
use crate::problem::{Code, Problem, ProblemBody};
use crate::state::{ApiState, SharedState};

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(logout))
        .routes(routes!(list_sessions, end_other_sessions))
        .routes(routes!(end_session))
}

/// Somebody who wants to sign in.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginInput {
    /// The account's address.
    email: String,
    /// Its password.
    #[schema(format = Password)]
    password: String,
}

/// A signed-in account.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct LoginOutput {
    /// The account.
    user: UserView,
    /// The session; its secret is in the cookie alone.
    session: SessionView,
}

/// A signed-in browser.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Session)]
struct SessionView {
    /// Its identity.
    id: Uuid,
    /// Whether it is the one that asks.
    is_current: bool,
    /// The browser it began in.
    user_agent: String,
    /// The truncated address it began from, empty if unknown.
    ip_address: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Timestamp,
    /// When it ends unless it is used before.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl SessionView {
    fn new(session: Session, current: SessionId) -> Self {
        Self {
            id: session.id.as_uuid(),
            is_current: session.id == current,
            user_agent: session.user_agent,
            ip_address: session.ip_address,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
        }
    }
}

/// The sessions of an account.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct SessionList {
    /// Newest first.
    items: Vec<SessionView>,
}

/// Sign in
///
/// Sets the session cookie. The same answer, after the same time, for a wrong password and for an account
/// that does not exist.
#[utoipa::path(
    post,
    path = "/v1/login",
    tag = "sessions",
    security(()),
    request_body = LoginInput,
    responses(
        (status = 200, description = "Signed in; `Set-Cookie` has the session", body = LoginOutput),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn login(
    State(state): State<SharedState>,
    request: axum::Extension<RequestContext>,
    headers: HeaderMap,
    Json(input): Json<LoginInput>,
) -> Result<Response, Problem> {
    // Another site must not sign visitors in as somebody else. Programs send neither header.
    if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") {
        check_same_site(&Method::POST, &headers, &state.settings)?;
    }
    let limits = LoginLimits::new(request.address, &input.email);
    if let Err(problem) = limits.hit(&*state.ports.limits, &state.settings, state.clock.now()).await {
        state.metrics.count_sign_in("limited");
        return Err(problem);
    }
    let Some(user) = check_password(&state, input).await? else {
        state.metrics.count_sign_in("refused");
        return Err(Problem::new(Code::WrongCredentials, "e-mail address or password is wrong"));
    };
    limits.reset(&*state.ports.limits).await;
    state.metrics.count_sign_in("done");
    start_session(&state, user, &request, &headers).await
}

/// Returns the account if the password is its own and it is not switched off.
async fn check_password(state: &ApiState, input: LoginInput) -> Result<Option<User>, Problem> {
    let found = match input.email.parse::<Email>() {
        Ok(email) => state.ports.users.find_by_email(&email).await?,
        Err(_) => None,
    };
    let (user, hash) = found.unzip();
    let is_right = state.passwords.verify(input.password, hash).await?;
    Ok(user.filter(|user| is_right && user.disabled_at.is_none()))
}

async fn start_session(
    state: &ApiState,
    user: User,
    request: &RequestContext,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let now = state.clock.now();
    let mut rng = state.random.fork();
    let secret = session_secret(&mut rng);
    let user_agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    let session = Session {
        id: SessionId::generate(now, &mut rng),
        user_id: user.id,
        expires_at: now.plus(state.settings.session_idle_max.min(state.settings.session_age_max)),
        last_used_at: now,
        user_agent: clean(user_agent, USER_AGENT_LEN_MAX),
        ip_address: request.address.map(truncated).unwrap_or_default(),
        created_at: now,
    };
    state.ports.sessions.insert(NewSession { session: session.clone(), hash: hash(&secret) }).await?;
    let is_secure = state.settings.is_cookie_secure();
    let cookie = session_cookie(&secret, state.settings.session_age_max, is_secure);
    let session = SessionView::new(session.clone(), session.id);
    let output = LoginOutput { user: user.into(), session };
    Ok(([(header::SET_COOKIE, cookie)], Json(output)).into_response())
}

/// Sign out
///
/// Ends the session of the cookie. An API key is revoked instead.
#[utoipa::path(
    post,
    path = "/v1/logout",
    tag = "sessions",
    responses(
        (status = 204, description = "Signed out"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn logout(State(state): State<SharedState>, caller: Caller) -> Result<Response, Problem> {
    let id = caller.session()?.id;
    state.ports.sessions.delete(caller.user.id, id).await?;
    let cookie = clear_cookie(state.settings.is_cookie_secure());
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// List your sessions
#[utoipa::path(
    get,
    path = "/v1/sessions",
    tag = "sessions",
    responses(
        (status = 200, description = "Your signed-in browsers", body = SessionList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_sessions(
    State(state): State<SharedState>,
    caller: Caller,
) -> Result<Json<SessionList>, Problem> {
    let current = caller.session()?.id;
    let sessions = state.ports.sessions.list(caller.user.id, state.clock.now()).await?;
    let items = sessions.into_iter().map(|session| SessionView::new(session, current)).collect();
    Ok(Json(SessionList { items }))
}

/// End a session
#[utoipa::path(
    delete,
    path = "/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = Uuid, Path, description = "The session")),
    responses(
        (status = 204, description = "Ended"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn end_session(
    State(state): State<SharedState>,
    caller: Caller,
    Path(id): Path<SessionId>,
) -> Result<StatusCode, Problem> {
    caller.session()?;
    if state.ports.sessions.delete(caller.user.id, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("session"))
    }
}

/// End all other sessions
#[utoipa::path(
    delete,
    path = "/v1/sessions",
    tag = "sessions",
    responses(
        (status = 204, description = "All but the one that asks are ended"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn end_other_sessions(State(state): State<SharedState>, caller: Caller) -> Result<StatusCode, Problem> {
    let current = caller.session()?.id;
    for session in state.ports.sessions.list(caller.user.id, state.clock.now()).await? {
        if session.id != current {
            state.ports.sessions.delete(caller.user.id, session.id).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}
