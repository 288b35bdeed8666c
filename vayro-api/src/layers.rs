//! What happens around every request: id, limits, safety net, headers, counting.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tracing::Instrument as _;

use crate::context::{REQUEST_ID_HEADER, RequestContext};
use crate::problem::{Code, Problem};
use crate::settings::ApiSettings;
use crate::state::SharedState;

/// Wraps a request: gives it an id and a time limit, turns a panic into a problem document, puts the id
/// into the answer, sets the safety headers and counts.
pub(crate) async fn around(State(state): State<SharedState>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let context = RequestContext::read(request.headers(), request.extensions(), &state);
    let id = context.id.clone();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(context);

    let span = tracing::info_span!("request", request.id = %id, route);
    state.metrics.in_flight.inc();
    let _in_flight = scopeguard(|| state.metrics.in_flight.dec());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answer = tokio::time::timeout(state.settings.request_time_max, answer).instrument(span.clone()).await;
    let mut response = match answer {
        Ok(Ok(response)) => response,
        // The panic hook has logged message and place.
        Ok(Err(_)) => {
            state.metrics.panics.inc();
            span.in_scope(|| tracing::error!("request panicked"));
            Problem::internal().to_response(None)
        }
        Err(_) => {
            span.in_scope(|| tracing::warn!("request took too long"));
            took_too_long(&state.settings).to_response(None)
        }
    };

    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let (parts, body) = problem.to_response(Some(id.to_string())).into_parts();
        // Headers that were put on since, such as `Allow`, stay.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().extend(parts.headers);
        *response.body_mut() = body;
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(HeaderName::from_static(REQUEST_ID_HEADER), value);
    }
    set_safety_headers(response.headers_mut());

    let took = began.elapsed();
    let status = response.status().as_u16();
    state.metrics.count_request(&route, &method, status, took);
    span.in_scope(|| {
        tracing::debug!(status, duration_ms = took.as_millis(), "answered {method} {route} with {status}");
    });
    response
}

/// Says that a request was ended because it took too long.
pub(crate) fn took_too_long(settings: &ApiSettings) -> Problem {
    let limit = settings.request_time_max.as_secs();
    Problem::new(Code::Timeout, format!("a request may take {limit} seconds"))
}

/// Answers are data for programs: never sniffed, kept, framed or run.
fn set_safety_headers(headers: &mut HeaderMap) {
    const SAFETY: [(HeaderName, &str); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in SAFETY {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Runs `f` when dropped, so that a client that hangs up is no longer counted.
fn scopeguard<F: FnMut()>(f: F) -> impl Drop {
    struct Guard<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(f)
}
