//! `/v1/live`: clicks as they are stored, by server-sent events.
//!
//! One [`feed`] per workspace looks for new clicks and keeps the newest in a ring; a [`listener`] reads the
//! ring. Clicks become visible out of order, since batches are written at the same time, so a feed looks back
//! a while each time and leaves out what it has seen. A listener that comes back goes on in the ring, or, if
//! its place is not there any more, from the database; it may then get a click again, with the same id, and
//! misses none within [`RESUME_MAX`].

mod feed;
mod hub;
mod listener;
mod ring;
mod seen;

use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vayro_core::access::Action;
use vayro_core::click::ClickClass;
use vayro_core::ids::ClickId;

use crate::analytics::selection::{self, Subject, take_classes};
use crate::auth::Access;
use crate::events::take_link;
use crate::extract::Query;
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::SharedState;

pub(crate) use hub::LiveHub;
use listener::{Choice, Listener};

/// Listeners of one workspace at one time, in one process.
pub(crate) const LISTENERS_OF_WORKSPACE_MAX: usize = 20;
/// Listeners at one time in one process.
pub(crate) const LISTENERS_MAX: usize = 200;
/// How often a feed looks for new clicks.
const POLL_EVERY: Duration = Duration::from_millis(400);
/// How long after it happened a click may be stored and is still shown.
pub(crate) const LATE_MAX: Duration = Duration::from_secs(30);
/// How long a listener may be away and miss nothing.
pub(crate) const RESUME_MAX: Duration = Duration::from_mins(10);
/// Clicks a feed looks back at most, whatever their time.
const RECENT_MAX: u32 = 20_000;
/// Silence after which a comment is sent, so that nobody takes the connection for a dead one.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// How long one answer goes on before its client has to come again, and be let in again.
const AGE_MAX: Duration = Duration::from_mins(15);
/// When a client that was turned away may come again.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// What a browser sends when it comes again.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(follow_events))
}

struct Parameters;

impl IntoParams for Parameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            selection::parameter("link_id", "Only clicks of this link".to_owned()),
            selection::classes_parameter("all"),
        ]
    }
}

/// Follow clicks
///
/// Server-sent events. Each `click` has an `Event` of `/v1/events` as its data and the click's id as its id;
/// comments keep the connection alive. The answer ends after some minutes: come again with the last id as
/// `Last-Event-ID`, and nothing is missed as long as that click is no more than ten minutes old. Some clicks
/// may then come twice, with the same id. A `gap` says that clicks are missing.
#[utoipa::path(
    get,
    path = "/v1/live",
    tag = "analytics",
    params(
        ("last-event-id" = Option<String>, Header, description = "The last click that was received"),
        Parameters,
    ),
    responses(
        (status = 200, description = "Clicks as they are stored", body = String, content_type = "text/event-stream"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn follow_events(
    State(state): State<SharedState>,
    access: Access,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let workspace_id = access.require(Action::AnalyticsRead)?;
    let link_id = take_link(&mut query);
    let classes = take_classes(&mut query, &ClickClass::ALL);
    query.finish()?;
    let last = read_last(&headers)?;
    if link_id.is_some() {
        Subject::find(workspace_id, link_id, &state).await?;
    }
    let slot = state.live.slots.take(workspace_id).ok_or_else(|| {
        let detail = format!(
            "at most {LISTENERS_OF_WORKSPACE_MAX} listeners of a workspace and {LISTENERS_MAX} in all follow at one time"
        );
        Problem::new(Code::RateLimited, detail).retry_after(RETRY_AFTER)
    })?;
    let feed = state.live.join(workspace_id, &state);
    let mut end = state.live.end();
    tokio::select! {
        () = feed.is_ready() => {}
        _ = end.wait_for(|is_over| *is_over) => return Err(Problem::unavailable("the API is stopping")),
    }
    let listener = Listener::new(feed, state, slot, Choice { link_id, classes }, last);
    let events = Sse::new(listener.events()).keep_alive(KeepAlive::new().interval(HEARTBEAT_EVERY));
    let mut response = events.into_response();
    // Proxies that gather an answer before they pass it on would pass on nothing.
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

fn read_last(headers: &HeaderMap) -> Result<Option<ClickId>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.trim().parse::<ClickId>().ok());
    id.filter(|id| id.timestamp().is_some()).map(Some).ok_or_else(|| {
        let error = FieldError::header(LAST_EVENT_ID.as_str(), "is not the id of a click");
        Problem::of_fields(Code::InvalidHeader, vec![error])
    })
}
