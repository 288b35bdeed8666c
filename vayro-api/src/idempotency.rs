//! `Idempotency-Key`: a creating request that is sent again is answered again and not done again.
//!
//! [`once`] lies around every route and acts on requests with a key to one of [`OPERATIONS`]; handlers
//! know nothing of it. The request runs in a task of its own: a client that hangs up, the usual reason to
//! send a request again, must not leave it half done with nobody to store its answer. Only an answer the
//! request itself brought about is stored. After a failure of ours, a panic or a time-out the key is free.

mod answer;
mod document;
mod running;

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts as _, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::request::Parts;
use http::{HeaderMap, Method};
use sha2::{Digest as _, Sha256};
use tracing::Instrument as _;
use vayro_core::access::Action;
use vayro_core::idempotency::{Claim, ClaimOutcome, Fingerprint, IdempotencyKey, KEYS_MAX, KeySlot};
use vayro_core::ids::{ClaimId, UserId, WorkspaceId};

use crate::auth::{Access, Caller};
use crate::context::RequestContext;
use crate::extract::read_json;
use crate::layers::took_too_long;
use crate::problem::{Code, FieldError, Problem};
use crate::state::{ApiState, SharedState};

pub(crate) use document::describe;
pub(crate) use running::KeyedRequests;

/// Header of the key.
const KEY_HEADER: &str = "idempotency-key";
/// Added to `api.request_time_max` it is how long a key is held for a process that gave no sign since: the
/// request has surely ended, and its end has been stored if that was possible.
const CLAIM_SLACK: Duration = Duration::from_secs(30);
/// How long a client waits before it asks again about a request that is still running.
const RETRY_AFTER_IN_USE: Duration = Duration::from_secs(1);

/// What somebody must be allowed to do before their key is looked at: a stored answer is only for those who
/// could get a new one.
#[derive(Clone, Copy, Debug)]
enum Permission {
    /// This, in the workspace they chose.
    Workspace(Action),
    /// To use a session, in no workspace.
    Session,
}

/// A POST that takes a key.
#[derive(Clone, Copy, Debug)]
struct Operation {
    path: &'static str,
    permission: Permission,
}

/// Every POST that creates something, except those whose answers hold secrets: they must not be stored.
const OPERATIONS: [Operation; 4] = [
    Operation { path: "/v1/links", permission: Permission::Workspace(Action::LinksWrite) },
    Operation { path: "/v1/links/bulk", permission: Permission::Workspace(Action::LinksWrite) },
    Operation { path: "/v1/domains", permission: Permission::Workspace(Action::DomainsWrite) },
    Operation { path: "/v1/workspaces", permission: Permission::Session },
];

impl Operation {
    /// Finds what a request wants if that takes a key and there is one.
    fn of(request: &Request) -> Option<Self> {
        if request.method() != Method::POST || !request.headers().contains_key(KEY_HEADER) {
            return None;
        }
        let path = request.extensions().get::<MatchedPath>()?;
        OPERATIONS.into_iter().find(|operation| operation.path == path.as_str())
    }
}

/// Whose key it is.
#[derive(Clone, Copy, Debug)]
struct Owner {
    user_id: UserId,
    workspace_id: Option<WorkspaceId>,
}

impl Permission {
    /// Finds out who asks and refuses those who may not. Handlers find the result in the extensions and do
    /// not ask the database again.
    async fn check(self, parts: &mut Parts, state: &SharedState) -> Result<Owner, Problem> {
        match self {
            Self::Workspace(action) => {
                let access = Access::from_request_parts(parts, state).await?;
                let workspace_id = Some(access.require(action)?);
                let user_id = access.caller.user.id;
                parts.extensions.insert(access);
                Ok(Owner { user_id, workspace_id })
            }
            Self::Session => {
                let caller = Caller::from_request_parts(parts, state).await?;
                caller.session()?;
                let user_id = caller.user.id;
                parts.extensions.insert(caller);
                Ok(Owner { user_id, workspace_id: None })
            }
        }
    }
}

/// Runs a request with a key at most once, and passes every other one on.
pub(crate) async fn once(State(state): State<SharedState>, request: Request, next: Next) -> Response {
    let Some(operation) = Operation::of(&request) else { return next.run(request).await };
    begin(state, operation, request, next).await.unwrap_or_else(Problem::into_response)
}

async fn begin(
    state: SharedState,
    operation: Operation,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let owner = operation.permission.check(&mut parts, &state).await?;
    let key = read_key(&parts.headers)?;
    let body = read_json(&parts.headers, body, &state.settings).await?;
    let claim = claim(&state, operation, owner, &key, &body);
    let permit = state.keyed_requests.enter().ok_or_else(|| Problem::unavailable("the API is busy"))?;
    let task = async move {
        let answer = claim_and_run(&state, &claim, parts, body, next).await;
        drop(permit);
        answer
    };
    match tokio::spawn(task.in_current_span()).await {
        Ok(answer) => answer,
        // Counted, and answered, where every panic is.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(Problem::unavailable("the API is stopping")),
        },
    }
}

fn read_key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let refuse = |detail: String| {
        Problem::of_fields(Code::InvalidIdempotencyKey, vec![FieldError::header(KEY_HEADER, detail)])
    };
    let mut values = headers.get_all(KEY_HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(refuse("idempotency key is sent more than once".to_owned()));
    };
    // What is no text has characters that no key has.
    let text = value.to_str().unwrap_or("\0");
    text.parse().map_err(|error: vayro_core::idempotency::IdempotencyKeyError| refuse(error.to_string()))
}

fn claim(state: &ApiState, operation: Operation, owner: Owner, key: &IdempotencyKey, body: &[u8]) -> Claim {
    let at = state.clock.now();
    Claim {
        id: ClaimId::generate(at, &mut state.random.fork()),
        slot: slot(operation, owner, key),
        user_id: owner.user_id,
        fingerprint: Fingerprint::from_bytes(Sha256::digest(body).into()),
        at,
        held_until: at.plus(state.settings.request_time_max + CLAIM_SLACK),
    }
}

/// Names the key together with whose it is and what for. Only the last part has no fixed length or end.
fn slot(operation: Operation, owner: Owner, key: &IdempotencyKey) -> KeySlot {
    let mut hash = Sha256::new();
    hash.update(owner.user_id.as_uuid());
    hash.update(owner.workspace_id.map_or(uuid::Uuid::nil(), |id| id.as_uuid()));
    hash.update(Method::POST.as_str());
    hash.update(operation.path);
    hash.update([0]);
    hash.update(key.as_str());
    KeySlot::from_bytes(hash.finalize().into())
}

async fn claim_and_run(
    state: &ApiState,
    claim: &Claim,
    parts: Parts,
    body: Bytes,
    next: Next,
) -> Result<Response, Problem> {
    match state.ports.idempotency.claim(claim, KEYS_MAX).await? {
        ClaimOutcome::Held => Ok(run(state, claim, Request::from_parts(parts, Body::from(body)), next).await),
        ClaimOutcome::Answered(kept) => answer::replay(*kept, &RequestContext::of(&parts)),
        ClaimOutcome::Running => {
            let detail = "a request with this idempotency key is still running";
            Err(Problem::new(Code::IdempotencyKeyInUse, detail).retry_after(RETRY_AFTER_IN_USE))
        }
        ClaimOutcome::OtherRequest => {
            let detail = "the idempotency key was used for a request with another body";
            let error = FieldError::header(KEY_HEADER, detail);
            Err(Problem::of_fields(Code::IdempotencyKeyReused, vec![error]))
        }
    }
}

/// Runs the request and leaves its answer with the key, or makes the key free.
async fn run(state: &ApiState, claim: &Claim, request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(state.settings.request_time_max, answer).await {
        Ok(Ok(response)) if !response.status().is_server_error() => match answer::read(response).await {
            Ok((response, kept)) => {
                complete(state, claim, &kept).await;
                response
            }
            Err(problem) => {
                release(state, claim).await;
                problem.into_response()
            }
        },
        Ok(Ok(response)) => {
            release(state, claim).await;
            response
        }
        Ok(Err(panic)) => {
            release(state, claim).await;
            resume_unwind(panic)
        }
        Err(_) => {
            release(state, claim).await;
            took_too_long(&state.settings).into_response()
        }
    }
}

/// Stores the answer. The request is done whether that works or not, so its client gets the answer.
async fn complete(state: &ApiState, claim: &Claim, kept: &vayro_core::idempotency::KeptAnswer) {
    match state.ports.idempotency.complete(claim, kept).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!("an answer came after its idempotency key was given to another request"),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "an answer could not be kept; the same request may run again once its key is free"
        ),
    }
}

async fn release(state: &ApiState, claim: &Claim) {
    if let Err(error) = state.ports.idempotency.release(claim).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "an idempotency key stays in use until {}", claim.held_until);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn keys_are_told_apart_by_owner_and_operation() {
        let user = |number| UserId::from_uuid(uuid::Uuid::from_u128(number));
        let workspace = |number| Some(WorkspaceId::from_uuid(uuid::Uuid::from_u128(number)));
        let of = |path, user_id, workspace_id, key: &str| {
            let operation = Operation { path, permission: Permission::Session };
            slot(operation, Owner { user_id, workspace_id }, &key.parse().expect("valid"))
        };
        let slots = [
            of("/v1/links", user(1), workspace(1), "a"),
            of("/v1/links", user(1), workspace(1), "b"),
            of("/v1/links", user(1), workspace(2), "a"),
            of("/v1/links", user(2), workspace(1), "a"),
            of("/v1/links", user(1), None, "a"),
            of("/v1/links/bulk", user(1), workspace(1), "a"),
            of("/v1/links", user(1), workspace(1), "/bulk"),
        ];
        for (index, slot) in slots.iter().enumerate() {
            assert!(!slots[..index].contains(slot), "{index}");
        }
        assert_eq!(slots[0], of("/v1/links", user(1), workspace(1), "a"));
    }

    #[test]
    fn a_key_is_one_header_of_visible_characters() {
        let read = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(KEY_HEADER, HeaderValue::from_bytes(value).expect("a header"));
            }
            read_key(&headers).map(|key| key.to_string()).map_err(|problem| problem.code())
        };
        assert_eq!(read(&[b"abc"]), Ok("abc".to_owned()));
        for bad in [&[&b""[..]][..], &[b"a b"], &["ü".as_bytes()], &[b"a", b"a"], &[&[b'x'; 256]]] {
            assert_eq!(read(bad), Err(Code::InvalidIdempotencyKey), "{bad:?}");
        }
    }
}
