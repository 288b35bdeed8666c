//! From an answer to what is kept of it, and back.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use vayro_core::idempotency::{ANSWER_SIZE_MAX, KeptAnswer};

use crate::context::RequestContext;
use crate::problem::{Code, MEDIA_TYPE, Problem};

/// Header of an answer that was given before.
const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Reads an answer and returns it together with what is kept of it.
pub(super) async fn read(response: Response) -> Result<(Response, KeptAnswer), Problem> {
    let (parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "an answer cannot be read");
            return Err(Problem::internal());
        }
    };
    let kept = KeptAnswer {
        status: parts.status.as_u16(),
        content_type: text(&parts.headers, &CONTENT_TYPE),
        etag: text(&parts.headers, &ETAG),
        location: text(&parts.headers, &LOCATION),
        body: (bytes.len() <= ANSWER_SIZE_MAX).then(|| bytes.to_vec()),
    };
    Ok((Response::from_parts(parts, Body::from(bytes)), kept))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Gives an answer again.
pub(super) fn replay(kept: KeptAnswer, context: &RequestContext) -> Result<Response, Problem> {
    let KeptAnswer { status, content_type, etag, location, body } = kept;
    let Some(body) = body else {
        let detail =
            format!("the request was answered with status {status}; the answer was too large to keep");
        return Err(Problem::new(Code::IdempotencyAnswerLost, detail));
    };
    let status = StatusCode::from_u16(status).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a kept answer has no status");
        Problem::internal()
    })?;
    let is_problem = content_type.as_deref() == Some(MEDIA_TYPE);
    let body = if is_problem { with_request_id(body, context) } else { body };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    for (name, text) in [(CONTENT_TYPE, content_type), (ETAG, etag), (LOCATION, location)] {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
    Ok(response)
}

/// Names this request in a problem document, as every one does; it was kept without a name.
fn with_request_id(body: Vec<u8>, context: &RequestContext) -> Vec<u8> {
    let Ok(mut document) = serde_json::from_slice::<serde_json::Map<_, _>>(&body) else { return body };
    document.insert("request_id".to_owned(), context.id.to_string().into());
    serde_json::to_vec(&document).unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kept(body: Vec<u8>) -> KeptAnswer {
        let response = (StatusCode::MULTI_STATUS, [(ETAG, "\"7\"")], body).into_response();
        let (response, kept) = read(response).await.expect("reads");
        assert_eq!(response.status(), StatusCode::MULTI_STATUS);
        kept
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_kept() {
        let context = RequestContext::of(&http::Request::new(()).into_parts().0);
        for (len, code) in [(ANSWER_SIZE_MAX, None), (ANSWER_SIZE_MAX + 1, Some(Code::IdempotencyAnswerLost))]
        {
            let kept = kept(vec![b'x'; len]).await;
            assert_eq!(replay(kept, &context).err().map(|problem| problem.code()), code, "{len}");
        }
    }

    #[tokio::test]
    async fn a_replay_has_the_headers_that_were_kept_and_says_what_it_is() {
        let context = RequestContext::of(&http::Request::new(()).into_parts().0);
        let bare = KeptAnswer { content_type: None, ..kept(b"x".to_vec()).await };
        let response = replay(bare, &context).expect("a body");
        let names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["etag", "idempotency-replayed"]);
    }
}
