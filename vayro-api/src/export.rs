//! `/v1/export`: clicks as a file of any size.
//!
//! Clicks are read page by page, encoded, and handed to the connection through a [`pipe`] that holds two
//! pieces: whoever reads slowly makes the reading of the database slow, and memory does not grow with the
//! file. A file that ends too early ends the connection with it, so that nobody takes a part for the whole.

mod csv;
mod encode;
mod parquet;
mod pipe;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures::Stream;
use http::header;
use jiff::tz::TimeZone;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vayro_core::access::Action;
use vayro_core::analytics::{ClickScope, local_text};
use vayro_core::event::{EVENTS_MAX, EventOrder};
use vayro_core::ids::ClickId;
use vayro_core::ports::StoreError;

use crate::analytics::selection;
use crate::auth::Access;
use crate::events::{Asked, EventView};
use crate::extract::Query;
use crate::problem::{Code, Problem, ProblemBody};
use crate::state::SharedState;

use encode::Format;

/// Exports of one workspace at one time, in one process.
pub(crate) const EXPORTS_OF_WORKSPACE_MAX: usize = 2;
/// Exports at one time in one process.
pub(crate) const EXPORTS_MAX: usize = 8;
/// When somebody without a place is told to come again.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(10);
/// Tries of one page before an export is given up.
const PAGE_TRIES_MAX: u32 = 4;
/// Pause before a page is tried again; doubled each time.
const PAGE_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(export_events))
}

struct Parameters;

impl IntoParams for Parameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let names = Format::ALL.map(|format| format!("`{}`", format.as_str())).join(", ");
        let format = selection::parameter("format", format!("{names}; `csv` if left out"));
        std::iter::once(format).chain(Asked::parameters()).collect()
    }
}

/// Export clicks
///
/// One by one, oldest first, with the members of `/v1/events`, as CSV, JSON lines or Parquet. The answer is
/// written while it is read and may be of any size and take any time; a client that takes nothing for 60
/// seconds is cut off. Only an answer that ends properly is whole.
#[utoipa::path(
    get,
    path = "/v1/export",
    tag = "analytics",
    params(Parameters),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/csv"),
            (String = "application/x-ndjson"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn export_events(
    State(state): State<SharedState>,
    access: Access,
    mut query: Query,
) -> Result<Response, Problem> {
    let workspace_id = access.require(Action::AnalyticsRead)?;
    let format = query.take_with("format", Format::read).unwrap_or(Format::Csv);
    let asked = Asked::take(&mut query);
    query.finish()?;
    let scope = asked.scope(workspace_id, &state).await?;
    let slot = state.exports.take(workspace_id).ok_or_else(|| {
        let detail = format!(
            "at most {EXPORTS_OF_WORKSPACE_MAX} exports of a workspace and {EXPORTS_MAX} in all run at one time"
        );
        Problem::new(Code::RateLimited, detail).retry_after(RETRY_AFTER)
    })?;
    let day = |at| local_text(at, &TimeZone::UTC).chars().take(10).collect::<String>();
    let last = scope.end.minus(std::time::Duration::from_micros(1));
    let name = format!("clicks-{}-{}.{}", day(scope.start), day(last), format.extension());
    let encoder = format.encoder().map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "an export cannot begin");
        Problem::internal()
    })?;
    let headers = [
        (header::CONTENT_TYPE, format.content_type().to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    let body = pipe::start(pages(state, scope), encoder, slot);
    Ok((headers, Body::from_stream(body)).into_response())
}

/// Reads the clicks of a scope, oldest first, a page at a time and only when asked.
fn pages(
    state: SharedState,
    scope: ClickScope,
) -> impl Stream<Item = Result<Vec<EventView>, StoreError>> + Send + 'static {
    futures::stream::try_unfold((state, scope, Some(None)), async |(state, scope, after)| {
        let Some(after) = after else { return Ok(None) };
        let events = page(&state, &scope, after).await?;
        let last = events.last().map(|event| event.id);
        let next = last.filter(|_| events.len() == usize::from(EVENTS_MAX)).map(Some);
        let views = events.into_iter().map(|event| EventView::new(event, &state.settings)).collect();
        Ok(Some((views, (state, scope, next))))
    })
}

/// Reads one page, patiently: an export may be hours old when the database restarts.
async fn page(
    state: &SharedState,
    scope: &ClickScope,
    after: Option<ClickId>,
) -> Result<Vec<vayro_core::event::ClickEvent>, StoreError> {
    let mut tries = 1;
    loop {
        let page = state.ports.events.events(scope, EventOrder::OldestFirst, after, EVENTS_MAX).await;
        match page {
            Err(StoreError::Unavailable(error)) if tries < PAGE_TRIES_MAX => {
                tracing::warn!(
                    error = &*error as &dyn std::error::Error,
                    "a page of an export is tried again"
                );
                tokio::time::sleep(PAGE_PAUSE * 2_u32.pow(tries - 1)).await;
                tries += 1;
            }
            other => return other,
        }
    }
}
