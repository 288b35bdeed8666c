//! Problem documents (RFC 9457): the only form in which the API says no.

mod code;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;
use vayro_core::access::Refusal;
use vayro_core::ports::{StoreError, StreamError};

pub use code::Code;

/// Media type of problem documents.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// Where the codes are listed; `type` is this with the code as fragment.
pub const CODES_PATH: &str = "/v1/problems";
/// How long a client waits before it tries again when a store is away.
const RETRY_AFTER_UNAVAILABLE: Duration = Duration::from_secs(1);

/// One field, parameter or header that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProblemError)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the member of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of the query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Name of the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// What is wrong with it, and what was expected.
    pub detail: String,
}

impl FieldError {
    /// Names a member of the body by its JSON pointer.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), parameter: None, header: None, detail: detail.into() }
    }

    /// Names a query parameter.
    pub fn parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: None, parameter: Some(name.into()), header: None, detail: detail.into() }
    }

    /// Names a header.
    pub fn header(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: None, parameter: None, header: Some(name.into()), detail: detail.into() }
    }
}

/// A refusal on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
}

/// The document itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Where the code is documented.
    #[schema(example = "/v1/problems#short_code_taken")]
    pub r#type: String,
    /// The kind of problem, in words.
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 409)]
    pub status: u16,
    /// The kind of problem, for programs; never changes its meaning.
    #[schema(example = "short_code_taken")]
    pub code: &'static str,
    /// What went wrong this time.
    pub detail: String,
    /// The fields, parameters or headers at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// The request's id, also in the header `x-request-id` and in our log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// Makes a problem; `detail` says what went wrong this time.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// Makes a problem of fields, parameters or headers.
    pub fn of_fields(code: Code, errors: Vec<FieldError>) -> Self {
        let detail = errors.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>().join("; ");
        Self { code, detail, errors, retry_after: None }
    }

    /// Says that there is no such `thing`.
    pub fn not_found(thing: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {thing}"))
    }

    /// Says that something broke; the cause is in the log, never in the answer.
    pub fn internal() -> Self {
        Self::new(Code::Internal, "the request failed, its id leads to the cause in the log")
    }

    /// Says that something is away or busy for a moment.
    pub fn unavailable(detail: &str) -> Self {
        Self::new(Code::Unavailable, detail).retry_after(RETRY_AFTER_UNAVAILABLE)
    }

    /// Adds how long the client should wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Puts `pointer` in front of every pointer, for a body that is part of a larger one.
    #[must_use]
    pub(crate) fn below(mut self, pointer: &str) -> Self {
        for error in &mut self.errors {
            if let Some(inner) = &mut error.pointer {
                inner.insert_str(0, pointer);
            }
        }
        self
    }

    /// Returns the code.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Returns the document for the request with this id.
    pub fn to_body(&self, request_id: Option<String>) -> ProblemBody {
        ProblemBody {
            r#type: format!("{CODES_PATH}#{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            request_id,
        }
    }

    /// Returns the answer; the outermost layer uses it to put in the request's id.
    pub(crate) fn to_response(&self, request_id: Option<String>) -> Response {
        let body = serde_json::to_vec(&self.to_body(request_id)).unwrap_or_default();
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        let mut response = (self.code.status(), [content_type], body).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            headers
                .insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
        }
        if self.code == Code::NotAuthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"vayro\""));
        }
        response.extensions_mut().insert(self.clone());
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.to_response(None)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        // The one place where a storage failure is logged; the client learns nothing about it.
        let cause = &error as &dyn std::error::Error;
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(error = cause, "storage is unavailable");
                Self::unavailable("the database is away or busy")
            }
            // Use cases turn the conflicts they expect into problems of their own; any other is a bug.
            StoreError::Conflict { .. } | StoreError::Internal(_) => {
                tracing::error!(error = cause, "storage failed");
                Self::internal()
            }
        }
    }
}

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "click stream is unavailable");
        Self::unavailable("the click stream is away")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Role | Refusal::Operator => Code::Forbidden,
            Refusal::Scope(_) => Code::ScopeMissing,
        };
        Self::new(code, refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_fit_their_status() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
            assert!(Code::ALL[..index].iter().all(|other| other.as_str() != code.as_str()), "{code:?}");
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code:?}");
        }
    }

    #[test]
    fn causes_never_reach_the_client() {
        let problem = Problem::from(StoreError::Internal("password=hunter2".into()));
        let body = serde_json::to_string(&problem.to_body(None)).expect("serializes");
        assert!(!body.contains("hunter2"), "{body}");
    }

    #[test]
    fn waiting_times_are_rounded_up_to_seconds() {
        let response =
            Problem::new(Code::RateLimited, "x").retry_after(Duration::from_millis(1200)).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
