//! The OpenAPI document and the list of problem codes.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::Json;
use crate::problem::Code;
use crate::state::SharedState;

/// Head of the document; paths and schemas come from the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Vayro",
        description = "Short links, their statistics and everything around them. Errors are problem documents \
                       (RFC 9457); lists are paged with opaque cursors; instants are RFC 3339 in UTC. Send \
                       `X-Vayro-Workspace` to choose a workspace, otherwise an API key works in its own and a \
                       session in your oldest one.",
        license(name = "MIT OR Apache-2.0"),
    ),
    servers((url = "/")),
    security(("api_key" = []), ("session" = [])),
    modifiers(&Security),
    tags(
        (name = "links", description = "Short links"),
        (name = "analytics", description = "Clicks and visitors"),
        (name = "domains", description = "Hosts that serve short links"),
        (name = "workspaces", description = "What owns links, and who works there"),
        (name = "api-keys", description = "Keys for programs"),
        (name = "shares", description = "Statistics for whoever has a token"),
        (name = "sessions", description = "Signing in with a browser"),
        (name = "me", description = "Your own account"),
        (name = "audit-log", description = "Who changed what"),
        (name = "ops", description = "Operating the instance"),
        (name = "problems", description = "What errors mean"),
    ),
)]
pub(crate) struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key, `vayro_…`"))
            .build();
        components.add_security_scheme("api_key", SecurityScheme::Http(bearer));
        let pass = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The pass that the password of a share was exchanged for"))
            .build();
        components.add_security_scheme("share_pass", SecurityScheme::Http(pass));
        let cookie = ApiKeyValue::with_description(
            "vayro_session",
            "The cookie of `POST /v1/login`; changes also need `Origin` or `Sec-Fetch-Site` of this instance",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

/// The document as text, made once.
#[derive(Clone)]
pub(crate) struct DocumentText(Arc<str>);

impl DocumentText {
    pub(crate) fn new(document: &utoipa::openapi::OpenApi) -> Self {
        Self(document.to_json().unwrap_or_default().into())
    }
}

/// Answers with the document.
pub(crate) async fn get_document(text: axum::Extension<DocumentText>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    (headers, text.0.0.to_string()).into_response()
}

pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(list_problems))
}

/// The kinds of problems.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ProblemList {
    /// In the order of the documentation.
    items: Vec<ProblemKind>,
}

/// One kind of problem.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ProblemKind {
    /// The code, for programs.
    code: &'static str,
    /// The HTTP status.
    status: u16,
    /// The kind, in words.
    title: &'static str,
    /// What it means and what to do about it.
    meaning: &'static str,
}

/// List the kinds of problems
///
/// What `type` of a problem document points to.
#[utoipa::path(
    get,
    path = "/v1/problems",
    tag = "problems",
    security(()),
    responses((status = 200, description = "Every code", body = ProblemList)),
)]
async fn list_problems() -> Json<ProblemList> {
    let kind = |code: &Code| ProblemKind {
        code: code.as_str(),
        status: code.status().as_u16(),
        title: code.title(),
        meaning: code.meaning(),
    };
    Json(ProblemList { items: Code::ALL.iter().map(kind).collect() })
}
