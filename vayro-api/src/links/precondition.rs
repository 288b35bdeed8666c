//! `If-Match` on a link's version.

use http::{HeaderMap, header};

use crate::problem::{Code, FieldError, Problem};

/// Returns the version the change is meant for: from `If-Match`, or from the body, or `None` for any.
pub(super) fn expected_version(headers: &HeaderMap, in_body: Option<i32>) -> Result<Option<i32>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(in_body) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(in_body);
    }
    let version = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')?.parse::<i32>().ok());
    let Some(version) = version else {
        let error = FieldError::header("if-match", "expected the link's `ETag`, such as `\"3\"`, or `*`");
        return Err(Problem::of_fields(Code::InvalidHeader, vec![error]));
    };
    if in_body.is_some_and(|in_body| in_body != version) {
        let error = FieldError::field("/version", "differs from `If-Match`");
        return Err(Problem::of_fields(Code::InvalidFields, vec![error]));
    }
    Ok(Some(version))
}

/// Says that the link changed in between.
pub(super) fn mismatch(current: i32) -> Problem {
    Problem::new(Code::VersionMismatch, format!("the link has version {current} by now"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn expected(value: Option<&'static str>, in_body: Option<i32>) -> Result<Option<i32>, Code> {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::IF_MATCH, HeaderValue::from_static(value));
        }
        expected_version(&headers, in_body).map_err(|problem| problem.code())
    }

    #[test]
    fn header_and_body_agree_or_one_is_missing() {
        assert_eq!(expected(None, None), Ok(None));
        assert_eq!(expected(Some("\"3\""), None), Ok(Some(3)));
        assert_eq!(expected(Some("\"3\""), Some(3)), Ok(Some(3)));
        assert_eq!(expected(None, Some(2)), Ok(Some(2)));
        assert_eq!(expected(Some("*"), None), Ok(None));
        assert_eq!(expected(Some("\"3\""), Some(4)), Err(Code::InvalidFields));
        for bad in ["3", "W/\"3\"", "\"x\"", "\"3\", \"4\"", ""] {
            assert_eq!(expected(Some(bad), None), Err(Code::InvalidHeader), "{bad}");
        }
    }
}
