//! `/v1/analytics`.

mod answer;
mod question;
pub(crate) mod selection;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vayro_core::access::Action;
use vayro_core::ids::LinkId;

use crate::auth::Access;
use crate::extract::{Json, Path, Query};
use crate::problem::{Problem, ProblemBody};
use crate::state::SharedState;

pub(crate) use answer::{AnalyticsView, Audience, answer};
pub(crate) use question::{Parameters, Question, bucket_name};
use selection::Subject;

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(get_workspace_analytics)).routes(routes!(get_link_analytics))
}

/// Show the statistics of a link
///
/// Totals, clicks over time and breakdowns. Every dimension is also a filter: `country=DE,AT`, or
/// `country=-US` for everything else; `unknown` stands for what could not be found out, `\,` for a comma
/// inside a value.
#[utoipa::path(
    get,
    path = "/v1/analytics/{link_id}",
    tag = "analytics",
    params(("link_id" = Uuid, Path, description = "The link"), Parameters),
    responses(
        (status = 200, description = "The statistics", body = AnalyticsView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_link_analytics(
    State(state): State<SharedState>,
    access: Access,
    Path(id): Path<LinkId>,
    query: Query,
) -> Result<Json<AnalyticsView>, Problem> {
    let workspace = access.require(Action::AnalyticsRead)?;
    let subject = Subject::find(workspace, Some(id), &state).await?;
    let question = Question::read(subject, query, &state).await?;
    answer(question, Audience::Members, &state).await.map(Json)
}

/// Show the statistics of a workspace
///
/// Like those of a link, over all links; the breakdown `link` has the most clicked ones.
#[utoipa::path(
    get,
    path = "/v1/analytics",
    tag = "analytics",
    params(Parameters),
    responses(
        (status = 200, description = "The statistics", body = AnalyticsView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_workspace_analytics(
    State(state): State<SharedState>,
    access: Access,
    query: Query,
) -> Result<Json<AnalyticsView>, Problem> {
    let workspace = access.require(Action::AnalyticsRead)?;
    let subject = Subject::find(workspace, None, &state).await?;
    let question = Question::read(subject, query, &state).await?;
    answer(question, Audience::Members, &state).await.map(Json)
}
