//! JSON in and out.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::problem::{Code, FieldError, Problem};
use crate::settings::ApiSettings;
use crate::state::SharedState;

/// A JSON body.
#[derive(Clone, Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<SharedState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &SharedState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read_json(&parts.headers, body, &state.settings).await?;
        from_slice(&bytes).map(Self)
    }
}

/// Reads a whole body that is announced as JSON, without looking into it.
pub(crate) async fn read_json(
    headers: &HeaderMap,
    body: Body,
    settings: &ApiSettings,
) -> Result<Bytes, Problem> {
    if !is_json(headers) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "send the body with `Content-Type: application/json`",
        ));
    }
    let size_max = settings.body_size_max;
    let too_large = || Problem::new(Code::BodyTooLarge, format!("a body has at most {size_max} bytes"));
    // Checked first so that a body that is announced as too large is not read at all.
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    if announced.and_then(|text| text.parse::<usize>().ok()).is_some_and(|len| len > size_max) {
        return Err(too_large());
    }
    match Limited::new(body, size_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Err(_) => Err(Problem::new(Code::MalformedBody, "the body ended before it was complete")),
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "answer cannot be written as JSON");
                Problem::internal().into_response()
            }
        }
    }
}

/// Tells whether the body is announced as JSON, `application/json` or `application/…+json`.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Serde would also take a list of the values in the order of our structs, which is nobody's business.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => Problem::of_fields(Code::InvalidFields, vec![not_an_object()]),
            Err(error) => Problem::new(Code::MalformedBody, error.to_string()),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let message = error.inner().to_string();
        match error.inner().classify() {
            Category::Data => {
                Problem::of_fields(Code::InvalidFields, vec![field_error(error.path(), &message)])
            }
            Category::Syntax | Category::Eof | Category::Io => Problem::new(Code::MalformedBody, message),
        }
    })?;
    deserializer.end().map_err(|error| Problem::new(Code::MalformedBody, error.to_string()))?;
    Ok(value)
}

/// Reads a part of a body; pointers in the error begin at `value`.
pub(crate) fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, FieldError> {
    if !value.is_object() {
        return Err(not_an_object());
    }
    serde_path_to_error::deserialize(value)
        .map_err(|error| field_error(error.path(), &error.inner().to_string()))
}

fn not_an_object() -> FieldError {
    FieldError::field("", "must be a JSON object")
}

fn field_error(path: &Path, message: &str) -> FieldError {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => push(&mut pointer, &index.to_string()),
            Segment::Map { key } => push(&mut pointer, key),
            Segment::Enum { variant } => push(&mut pointer, variant),
            Segment::Unknown => {}
        }
    }
    // Serde reports missing and unknown members at the object that lacks or has them.
    let name = ["missing field `", "unknown field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next());
    if let Some(name) = name {
        let mut own = String::new();
        push(&mut own, name);
        if !pointer.ends_with(&own) {
            pointer.push_str(&own);
        }
    }
    FieldError::field(pointer, message)
}

/// Appends a reference token, escaped as RFC 6901 §3 wants it.
fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Outer {
        name: String,
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Inner {
        #[serde(rename = "a/b")]
        slashed: u8,
    }

    fn pointer(text: &str) -> Option<String> {
        let problem = from_slice::<Outer>(text.as_bytes()).expect_err(text);
        let body = problem.to_body(None);
        body.errors.first().and_then(|error| error.pointer.clone())
    }

    #[test]
    fn pointers_lead_to_the_member_at_fault() {
        for (text, expected) in [
            (r#"{"name":1,"inner":[]}"#, "/name"),
            (r#"{"inner":[]}"#, "/name"),
            (r#"{"name":"","inner":[],"nmae":1}"#, "/nmae"),
            (r#"{"name":"","inner":[{"a/b":1},{"a/b":"x"}]}"#, "/inner/1/a~1b"),
            (r#"{"name":"","inner":[{}]}"#, "/inner/0/a~1b"),
            (r#"{"name":"","inner":[{"a/b":1,"c":1}]}"#, "/inner/0/c"),
            (r#"["name",[]]"#, ""),
            ("null", ""),
        ] {
            assert_eq!(pointer(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn broken_json_is_told_from_wrong_json() {
        for text in ["", "{", "{\"name\":}", "nope", "{\"name\":\"\",\"inner\":[]} x"] {
            let problem = from_slice::<Outer>(text.as_bytes()).expect_err(text);
            assert_eq!(problem.code(), Code::MalformedBody, "{text}");
        }
    }

    #[test]
    fn only_json_is_json() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("text/json+json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_json(&headers), expected, "{value}");
        }
    }
}
