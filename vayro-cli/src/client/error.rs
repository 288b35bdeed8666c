//! What can go wrong between us and the API.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{CommandError, ErrorKind};

/// A problem document (RFC 9457) as the API writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// HTTP status.
    #[serde(default)]
    pub status: u16,
    /// The kind in a few words.
    #[serde(default)]
    pub title: String,
    /// This case in a sentence.
    #[serde(default)]
    pub detail: Option<String>,
    /// The stable name of the kind.
    #[serde(default)]
    pub code: String,
    /// Which fields were refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The request, for whoever reads the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One refused field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// JSON pointer to a member of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of a query parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Name of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// What is wrong with it.
    #[serde(default)]
    pub detail: String,
}

impl FieldError {
    /// Returns the name of the field, parameter or header.
    pub fn name(&self) -> &str {
        let pointer = self.pointer.as_deref().map(|pointer| pointer.trim_start_matches('/'));
        pointer.or(self.parameter.as_deref()).or(self.header.as_deref()).unwrap_or("request")
    }
}

impl Problem {
    /// Returns the case in one sentence, refused fields included.
    pub fn sentence(&self) -> String {
        match (self.errors.as_slice(), &self.detail) {
            ([only], _) => only.detail.clone(),
            // The server joins the details of several fields; they get a line each instead.
            ([_, ..], _) if !self.title.is_empty() => lower_first(&self.title),
            (_, Some(detail)) if !detail.is_empty() => detail.clone(),
            _ if !self.title.is_empty() => lower_first(&self.title),
            _ => format!("the API answered with status {}", self.status),
        }
    }
}

/// Titles are sentences, our messages go on after `error:`.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody answers there.
    #[error("cannot reach the API at {url}")]
    Unreachable {
        /// The address of the API.
        url: String,
        /// What the connection said.
        #[source]
        source: reqwest::Error,
    },
    /// No answer in time; whether a change happened is unknown.
    #[error("the API at {url} did not answer within {} s", after.as_secs())]
    TimedOut {
        /// The address of the API.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// The answer broke off.
    #[error("the answer of the API at {url} broke off")]
    Broken {
        /// The address of the API.
        url: String,
        /// What the connection said.
        #[source]
        source: reqwest::Error,
    },
    /// The API refused.
    #[error("{}", .0.sentence())]
    Problem(Problem),
    /// The answer is not one of this API.
    #[error("{url} does not answer like a Vayro API (status {status})")]
    NotOurs {
        /// The address of the API.
        url: String,
        /// The status it answered with.
        status: u16,
    },
    /// The answer is longer than any of ours.
    #[error("the answer of the API at {url} is too long")]
    TooLong {
        /// The address of the API.
        url: String,
    },
}

impl ApiError {
    /// Returns the problem document if the API sent one.
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Returns the stable name of the refusal, empty if there is none.
    pub fn code(&self) -> &str {
        self.problem().map_or("", |problem| &problem.code)
    }

    /// Tells whether the same call may work a moment later.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Problem(problem) => matches!(problem.status, 429 | 500..),
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => true,
            Self::NotOurs { .. } | Self::TooLong { .. } => false,
        }
    }

    /// Tells whether later calls are pointless too, so that a long run should stop here.
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::Problem(problem) => matches!(problem.status, 401 | 403 | 429 | 500..),
            _ => true,
        }
    }
}

impl From<ApiError> for CommandError {
    fn from(error: ApiError) -> Self {
        let message = error.to_string();
        match error {
            ApiError::Problem(problem) => from_problem(&problem, message),
            ApiError::Unreachable { source, .. } => Self::failed(message)
                .caused_by(source.without_url())
                .hint("start it with `vayro up`, or name another one with `--api-url` or VAYRO_API_URL"),
            ApiError::TimedOut { .. } => {
                Self::failed(message).hint("look whether it is overloaded, then try again")
            }
            ApiError::Broken { source, .. } => Self::failed(message).caused_by(source.without_url()),
            ApiError::NotOurs { .. } => Self::failed(message)
                .hint("the address should be that of the API, such as http://127.0.0.1:8081, without `/v1`"),
            ApiError::TooLong { .. } => Self::failed(message),
        }
    }
}

fn from_problem(problem: &Problem, message: String) -> CommandError {
    let kind = match problem.status {
        401 | 403 => ErrorKind::NotAllowed,
        404 => ErrorKind::NotFound,
        _ => ErrorKind::Failed,
    };
    let mut error = CommandError::new(kind, message);
    if problem.errors.len() > 1 {
        for field in &problem.errors {
            error = error.detail(format!("{}: {}", field.name(), field.detail));
        }
    }
    match problem.status {
        401 => error = error.hint("sign in with `vayro login`"),
        403 => error = error.hint("`vayro whoami` shows who is signed in and what the key may do"),
        429 => error = error.hint("wait a moment, then try again"),
        500.. => {
            if let Some(id) = &problem.request_id {
                error = error.hint(format!("the server's log has more under request {id}"));
            }
        }
        _ => {}
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16) -> Problem {
        Problem {
            status,
            title: "Kind".to_owned(),
            detail: Some("this case".to_owned()),
            ..Problem::default()
        }
    }

    #[test]
    fn statuses_become_exit_statuses() {
        for (status, kind) in [
            (401, ErrorKind::NotAllowed),
            (403, ErrorKind::NotAllowed),
            (404, ErrorKind::NotFound),
            (409, ErrorKind::Failed),
            (500, ErrorKind::Failed),
        ] {
            assert_eq!(CommandError::from(ApiError::Problem(problem(status))).kind(), kind);
        }
    }

    #[test]
    fn one_refused_field_is_the_message_and_several_are_details() {
        let field = |pointer: &str, detail: &str| FieldError {
            pointer: Some(pointer.to_owned()),
            detail: detail.to_owned(),
            ..FieldError::default()
        };
        let mut one = problem(422);
        one.errors = vec![field("/target_url", "target URL is empty")];
        let error = CommandError::from(ApiError::Problem(one.clone()));
        assert_eq!(error.to_string(), "target URL is empty");
        assert!(error.details().is_empty());
        one.errors.push(field("/title", "title is too long"));
        let error = CommandError::from(ApiError::Problem(one));
        assert_eq!(error.to_string(), "kind");
        assert_eq!(error.details(), ["target_url: target URL is empty", "title: title is too long"]);
    }

    #[test]
    fn a_problem_without_words_still_says_something() {
        let bare = Problem { status: 418, ..Problem::default() };
        assert_eq!(bare.sentence(), "the API answered with status 418");
    }
}
