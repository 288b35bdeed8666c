//! Every route, and what is wrapped around them.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use http::{Method, Uri};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

use crate::openapi::{Document, DocumentText, get_document};
use crate::problem::{Code, Problem};
use crate::state::SharedState;
use crate::{
    analytics, audit, domains, events, explain, export, health, idempotency, keys, layers, links, live, me,
    openapi, ops, sessions, shares, workspaces,
};

fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(links::router())
        .merge(explain::router())
        .merge(analytics::router())
        .merge(events::router())
        .merge(export::router())
        .merge(live::router())
        .merge(domains::router())
        .merge(workspaces::router())
        .merge(keys::router())
        .merge(shares::router())
        .merge(shares::public::router())
        .merge(sessions::router())
        .merge(me::router())
        .merge(audit::router())
        .merge(ops::router())
        .merge(openapi::router())
}

/// Returns the OpenAPI 3.1 document.
pub fn openapi_document() -> utoipa::openapi::OpenApi {
    let mut document = routes().to_openapi();
    idempotency::describe(&mut document);
    document
}

/// Returns the whole API as one service; tests call it in memory.
pub fn router(state: SharedState) -> Router {
    let router: Router<SharedState> = routes().into();
    router
        .route_layer(from_fn_with_state(state.clone(), idempotency::once))
        .route("/v1/openapi.json", get(get_document))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::Extension(DocumentText::new(&openapi_document())))
        .layer(from_fn_with_state(state.clone(), layers::around))
        .with_state(state)
}

/// Returns what the admin listener answers.
pub(crate) fn admin_router(state: SharedState) -> Router {
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .with_state(state)
}

async fn unknown_route(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    Problem::new(Code::UnknownRoute, format!("nothing is at `{path}`"))
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("`{method}` is not a method of this route"))
}
