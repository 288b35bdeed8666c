//! Why there is no certificate yet, and whose fault that is.

use std::time::Duration;

use instant_acme::{Error, Problem};
use vayro_core::ports::StoreError;

/// Error types of RFC 8555 §6.7 that are about the server or the account, not about the name.
const SERVER_TYPES: [&str; 5] = [
    "serverInternal",
    "accountDoesNotExist",
    "unauthorizedAccount",
    "userActionRequired",
    "externalAccountRequired",
];
/// How long the server is left alone after it said that it was asked too often; its limits count hours.
const RATE_LIMIT_PAUSE: Duration = Duration::from_hours(1);

/// What kept a certificate from being issued.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Something about the name; counts for it.
    Name(String),
    /// The server is away or wants to be left alone; no other name would fare better.
    Server {
        /// Words for whoever looks at the name.
        reason: String,
        /// How long to leave it alone, if it matters.
        pause: Option<Duration>,
    },
    /// Asking once more may do: the server did not take our nonce, or had forgotten our account.
    Again,
    /// Our own database.
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Trouble {
    pub(super) fn name(reason: impl Into<String>) -> Self {
        Self::Name(reason.into())
    }

    pub(super) fn server(reason: impl Into<String>) -> Self {
        Self::Server { reason: reason.into(), pause: None }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => problem.into(),
            other => Self::server(format!(
                "the ACME server cannot be worked with: {}",
                vayro_backends::causes(&other)
            )),
        }
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        let kind = kind_of(&problem);
        let reason = format!("the ACME server says: {}", words_of(&problem));
        if kind == "badNonce" {
            Self::Again
        } else if kind == "rateLimited" {
            Self::Server { reason, pause: Some(RATE_LIMIT_PAUSE) }
        } else if SERVER_TYPES.contains(&kind) || problem.status.is_some_and(|status| status >= 500) {
            Self::server(reason)
        } else {
            Self::Name(reason)
        }
    }
}

/// Returns the last part of a problem's type, such as `badNonce`.
pub(super) fn kind_of(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.rsplit(':').next().unwrap_or_default()
}

/// Returns what the server says, with what it says about each name.
pub(super) fn words_of(problem: &Problem) -> String {
    let details = std::iter::once(&problem.detail)
        .chain(problem.subproblems.iter().map(|part| &part.detail))
        .filter_map(Option::as_deref);
    let words = details.collect::<Vec<_>>().join("; ");
    if words.is_empty() { kind_of(problem).to_owned() } else { words }
}
