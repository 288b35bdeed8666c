//! `/v1/shares`: statistics for whoever has a token.

pub(crate) mod pass;
pub(crate) mod public;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vayro_core::access::Action;
use vayro_core::ids::{LinkId, ShareId};
use vayro_core::share::{NewShare, SHARE_NAME_LEN_MAX, Share};
use vayro_core::timestamp::Timestamp;

use crate::auth::{Access, Passwords, ShareToken, hash};
use crate::extract::{Json, Path};
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::SharedState;
use crate::text::{collect, optional_name};

/// Most shares of a workspace that are not revoked.
const SHARES_MAX: u64 = 200;
/// Most shares of a list; older ones are revoked or among too many.
const LISTED_MAX: u16 = 500;

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(list_shares, create_share)).routes(routes!(revoke_share))
}

/// A share without its token.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Share)]
pub(crate) struct ShareView {
    /// Its identity.
    id: Uuid,
    /// The link whose statistics it shows, `null` for the whole workspace.
    #[schema(required = true)]
    link_id: Option<Uuid>,
    /// Its name for people; may be empty.
    name: String,
    /// The beginning of the token, to recognise it by.
    #[schema(example = "3fT9aZk2")]
    prefix: String,
    /// Whether a password is needed besides.
    has_password: bool,
    /// Who made it.
    user_id: Uuid,
    /// When it stops working.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    revoked_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Share> for ShareView {
    fn from(share: Share) -> Self {
        Self {
            id: share.id.as_uuid(),
            link_id: share.link_id.map(|id| id.as_uuid()),
            name: share.name,
            prefix: share.prefix,
            has_password: share.has_password,
            user_id: share.user_id.as_uuid(),
            expires_at: share.expires_at,
            revoked_at: share.revoked_at,
            created_at: share.created_at,
        }
    }
}

/// The shares of a workspace.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ShareList {
    /// The newest 500, revoked and expired ones included.
    items: Vec<ShareView>,
}

/// A share to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateShare {
    /// The link whose statistics it shows; left out, those of the whole workspace.
    #[schema(value_type = Option<Uuid>)]
    link_id: Option<LinkId>,
    /// Its name for people, at most 100 bytes.
    #[serde(default)]
    #[schema(required = false)]
    name: String,
    /// A password that is needed besides the token, at least 10 characters; left out, none.
    password: Option<String>,
    /// When it stops working; left out, never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A new share.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct CreatedShare {
    /// The token. It is shown only now and stored nowhere.
    token: String,
    /// Where the statistics are.
    #[schema(example = "https://api.vay.example/v1/public/3fT9aZk2…/analytics")]
    url: String,
    /// What is kept of it.
    #[serde(flatten)]
    view: ShareView,
}

/// List shares
#[utoipa::path(
    get,
    path = "/v1/shares",
    tag = "shares",
    responses(
        (status = 200, description = "The shares of this workspace", body = ShareList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_shares(State(state): State<SharedState>, access: Access) -> Result<Json<ShareList>, Problem> {
    let workspace = access.require(Action::SharesManage)?;
    let shares = state.ports.shares.list(workspace, LISTED_MAX).await?;
    Ok(Json(ShareList { items: shares.into_iter().map(ShareView::from).collect() }))
}

/// Share statistics
///
/// Whoever has the token may ask the same as `/v1/analytics` answers, and nothing else: no clicks one by one,
/// no titles and targets of links.
#[utoipa::path(
    post,
    path = "/v1/shares",
    tag = "shares",
    request_body = CreateShare,
    responses(
        (status = 201, description = "Made; the only answer that has the token", body = CreatedShare),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn create_share(
    State(state): State<SharedState>,
    access: Access,
    Json(input): Json<CreateShare>,
) -> Result<(StatusCode, Json<CreatedShare>), Problem> {
    let workspace_id = access.require(Action::SharesManage)?;
    let context = access.change(&state);
    let mut errors = Vec::new();
    let name = collect(optional_name("/name", &input.name, SHARE_NAME_LEN_MAX), &mut errors);
    if let Some(Err(error)) = input.password.as_deref().map(Passwords::check_new) {
        errors.push(FieldError::field("/password", error.to_string()));
    }
    if input.expires_at.is_some_and(|at| at <= context.at) {
        errors.push(FieldError::field("/expires_at", "lies in the past"));
    }
    if let Some(id) = input.link_id
        && state.ports.links.find(workspace_id, id).await?.is_none()
    {
        errors.push(FieldError::field("/link_id", "there is no such link"));
    }
    let (Some(name), true) = (name, errors.is_empty()) else {
        return Err(Problem::of_fields(Code::InvalidFields, errors));
    };
    if state.ports.shares.count(workspace_id).await? >= SHARES_MAX {
        return Err(Problem::new(Code::LimitReached, format!("a workspace has at most {SHARES_MAX} shares")));
    }
    let mut rng = state.random.fork();
    let password_hash = match input.password {
        Some(password) => Some(state.passwords.hash(password, &mut rng).await?),
        None => None,
    };
    let token = ShareToken::generate(&mut rng);
    let new = NewShare {
        id: ShareId::generate(context.at, &mut rng),
        workspace_id,
        link_id: input.link_id,
        user_id: access.caller.user.id,
        name,
        prefix: token.prefix,
        hash: hash(&token.text),
        password_hash,
        expires_at: input.expires_at,
    };
    let share = state.ports.shares.insert(new, &context).await?;
    let api = state.settings.api_url.as_str().trim_end_matches('/');
    let url = format!("{api}/v1/public/{}/analytics", token.text);
    Ok((StatusCode::CREATED, Json(CreatedShare { token: token.text, url, view: share.into() })))
}

/// Revoke a share
///
/// It stops working at once and for good; it stays on the list.
#[utoipa::path(
    delete,
    path = "/v1/shares/{id}",
    tag = "shares",
    params(("id" = Uuid, Path, description = "The share")),
    responses(
        (status = 204, description = "Revoked"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn revoke_share(
    State(state): State<SharedState>,
    access: Access,
    Path(id): Path<ShareId>,
) -> Result<StatusCode, Problem> {
    let workspace = access.require(Action::SharesManage)?;
    let revoked = state.ports.shares.revoke(workspace, id, &access.change(&state)).await?;
    revoked.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| Problem::not_found("share"))
}
