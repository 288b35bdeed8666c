//! `/v1/api-keys`.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vayro_core::access::{Action, Scope, check_operator};
use vayro_core::account::{ApiKey, KEY_NAME_LEN_MAX, NewApiKey};
use vayro_core::ids::KeyId;
use vayro_core::timestamp::Timestamp;

use crate::auth::{Access, ApiKeySecret, hash};
use crate::extract::{Json, Path};
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::SharedState;
use crate::text::{collect, name};

/// Most keys of a workspace that are not revoked.
pub(crate) const KEYS_MAX: usize = 100;
/// What a key may do when nobody says.
const SCOPES_DEFAULT: [Scope; 5] =
    [Scope::LinksRead, Scope::LinksWrite, Scope::AnalyticsRead, Scope::DomainsRead, Scope::WorkspaceRead];

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(list_keys, create_key)).routes(routes!(revoke_key))
}

/// An API key without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct KeyView {
    /// Its identity.
    id: Uuid,
    /// Its name for people.
    name: String,
    /// The public beginning of the key.
    #[schema(example = "vayro_3fT9aZk2")]
    prefix: String,
    /// What it may be used for; its maker's role still applies.
    #[schema(schema_with = scopes_schema)]
    scopes: Vec<Scope>,
    /// On whose behalf it acts.
    user_id: Uuid,
    /// Where it works.
    workspace_id: Uuid,
    /// When it stops working.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    revoked_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

fn scopes_schema() -> utoipa::openapi::Array {
    utoipa::openapi::ArrayBuilder::new().items(crate::schema::scope()).build()
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.as_uuid(),
            name: key.name,
            prefix: key.prefix,
            scopes: key.scopes,
            user_id: key.user_id.as_uuid(),
            workspace_id: key.workspace_id.as_uuid(),
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
            created_at: key.created_at,
        }
    }
}

/// The API keys of a workspace.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct KeyList {
    /// Newest first, revoked ones included.
    items: Vec<KeyView>,
}

/// A key to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateKey {
    /// Its name for people, 1 to 100 bytes.
    name: String,
    /// What it may be used for; left out, reading everything and changing links. Nobody hands out more
    /// than they have.
    #[schema(schema_with = scopes_schema, required = false)]
    scopes: Option<Vec<Scope>>,
    /// When it stops working; left out, never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A new key.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct CreatedKey {
    /// The key itself. It is shown only now and stored nowhere.
    key: String,
    /// What is kept of it.
    #[serde(flatten)]
    view: KeyView,
}

/// List API keys
#[utoipa::path(
    get,
    path = "/v1/api-keys",
    tag = "api-keys",
    responses(
        (status = 200, description = "The keys of this workspace", body = KeyList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_keys(State(state): State<SharedState>, access: Access) -> Result<Json<KeyList>, Problem> {
    let workspace = access.require(Action::KeysManage)?;
    let keys = state.ports.keys.list(workspace).await?;
    Ok(Json(KeyList { items: keys.into_iter().map(KeyView::from).collect() }))
}

/// Create an API key
///
/// It acts on its maker's behalf in this workspace.
#[utoipa::path(
    post,
    path = "/v1/api-keys",
    tag = "api-keys",
    request_body = CreateKey,
    responses(
        (status = 201, description = "Made; the only answer that has the key itself", body = CreatedKey),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn create_key(
    State(state): State<SharedState>,
    access: Access,
    Json(input): Json<CreateKey>,
) -> Result<(StatusCode, Json<CreatedKey>), Problem> {
    let workspace_id = access.require(Action::KeysManage)?;
    let context = access.change(&state);
    let mut errors = Vec::new();
    let name = collect(name("/name", &input.name, KEY_NAME_LEN_MAX), &mut errors);
    let scopes = collect(check_scopes(input.scopes, &access), &mut errors);
    if input.expires_at.is_some_and(|at| at <= context.at) {
        errors.push(FieldError::field("/expires_at", "lies in the past"));
    }
    let (Some(name), Some(scopes), true) = (name, scopes, errors.is_empty()) else {
        return Err(Problem::of_fields(Code::InvalidFields, errors));
    };
    let keys = state.ports.keys.list(workspace_id).await?;
    if keys.iter().filter(|key| key.revoked_at.is_none()).count() >= KEYS_MAX {
        return Err(Problem::new(Code::LimitReached, format!("a workspace has at most {KEYS_MAX} API keys")));
    }
    let mut rng = state.random.fork();
    let secret = ApiKeySecret::generate(&mut rng);
    let new = NewApiKey {
        id: KeyId::generate(context.at, &mut rng),
        workspace_id,
        user_id: access.caller.user.id,
        name,
        prefix: secret.prefix,
        hash: hash(&secret.text),
        scopes,
        expires_at: input.expires_at,
    };
    let key = state.ports.keys.insert(new, &context).await?;
    Ok((StatusCode::CREATED, Json(CreatedKey { key: secret.text, view: key.into() })))
}

/// Revoke an API key
///
/// It stops working at once and for good; it stays on the list.
#[utoipa::path(
    delete,
    path = "/v1/api-keys/{id}",
    tag = "api-keys",
    params(("id" = Uuid, Path, description = "The key")),
    responses(
        (status = 204, description = "Revoked"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn revoke_key(
    State(state): State<SharedState>,
    access: Access,
    Path(id): Path<KeyId>,
) -> Result<StatusCode, Problem> {
    let workspace = access.require(Action::KeysManage)?;
    let revoked = state.ports.keys.revoke(workspace, id, &access.change(&state)).await?;
    revoked.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| Problem::not_found("API key"))
}

/// Nobody hands out what they do not have: a key no scope beyond its own, and `ops` only by operators.
fn check_scopes(scopes: Option<Vec<Scope>>, access: &Access) -> Result<Vec<Scope>, FieldError> {
    let own = access.caller.scopes();
    let has = |scope: Scope| own.is_none_or(|own| own.contains(&scope));
    let Some(scopes) = scopes else {
        return Ok(SCOPES_DEFAULT.into_iter().filter(|scope| has(*scope)).collect());
    };
    if scopes.is_empty() {
        return Err(FieldError::field("/scopes", "must not be empty"));
    }
    for (index, scope) in scopes.iter().enumerate() {
        let at = || format!("/scopes/{index}");
        if !has(*scope) {
            return Err(FieldError::field(at(), format!("your own API key lacks `{}`", scope.as_str())));
        }
        if *scope == Scope::Ops && check_operator(access.caller.user.is_operator, own).is_err() {
            return Err(FieldError::field(at(), "only operators of this instance hand out `ops`"));
        }
    }
    Ok(Scope::ALL.into_iter().filter(|scope| scopes.contains(scope)).collect())
}
