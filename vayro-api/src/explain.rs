//! `POST /v1/explain`: what would be done with a visit, and why. Asking leaves no trace: no click, no fill of a cache,
//! no time to live that starts anew.

mod explainer;
mod request;
mod settings;
mod view;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vayro_core::access::Action;
use vayro_core::resolve::CachedLink;

use crate::auth::Access;
use crate::extract::Json;
use crate::problem::{Code, Problem, ProblemBody};
use crate::state::SharedState;

pub use explainer::{EdgeMemory, Explainer};
pub use settings::VisitSettings;

use request::ExplainInput;
use view::ExplanationView;

pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(explain_visit))
}

/// Explain what a visit gets
///
/// Goes through what an edge and a worker would do with a visit, with their own code: host, code, the layers that are
/// asked for the link, the link, the answer with its headers, and what the visit counts as. Nothing is counted, and
/// nothing is kept. Settings are those that the API itself was started with. For members of the link's workspace, and
/// for operators, with a session or the scope `ops`.
#[utoipa::path(
    post,
    path = "/v1/explain",
    tag = "links",
    request_body = ExplainInput,
    responses(
        (status = 200, description = "What would be done", body = ExplanationView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn explain_visit(
    State(state): State<SharedState>,
    access: Access,
    Json(input): Json<ExplainInput>,
) -> Result<Json<ExplanationView>, Problem> {
    if access.caller.require_operator().is_err() {
        access.require(Action::LinksRead)?;
    }
    let visited = input.check()?;
    state.explainer.explain(&state, &access, visited).await.map(Json)
}

/// Refuses whoever may not see `link`.
fn check_link(access: &Access, link: &CachedLink) -> Result<(), Problem> {
    if access.caller.require_operator().is_ok() || access.require(Action::LinksRead)? == link.workspace_id {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, "the link belongs to another workspace"))
}
