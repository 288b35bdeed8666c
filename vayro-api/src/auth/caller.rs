//! Who asks.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use vayro_core::access::{Scope, check_operator};
use vayro_core::account::{ApiKey, Session, User};
use vayro_core::change::ChangeContext;
use vayro_core::ids::AuditId;
use vayro_core::timestamp::Timestamp;

use super::cookie::find_secret;
use super::origin::check_same_site;
use super::secret::{ApiKeySecret, hash};
use crate::context::RequestContext;
use crate::problem::{Code, Problem};
use crate::state::{ApiState, SharedState};

/// How exact "last used" is; one write a minute is cheap, one per request is not.
const TOUCH_EVERY: Duration = Duration::from_mins(1);

/// What somebody proved who they are with.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    /// An API key.
    Key(ApiKey),
    /// A session cookie.
    Session(Session),
}

/// An account that may use the API, and how it came in.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The account.
    pub(crate) user: User,
    /// The proof.
    pub(crate) credential: Credential,
    /// The request.
    pub(crate) request: RequestContext,
}

impl FromRequestParts<SharedState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &SharedState) -> Result<Self, Problem> {
        // Found already, by whoever looked at the request before its handler.
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let request = RequestContext::of(parts);
        let now = state.clock.now();
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let (user, key) = by_key(value, state, now).await?;
            return Ok(Self { user, credential: Credential::Key(key), request });
        }
        let Some(secret) = find_secret(&parts.headers) else {
            return Err(Problem::new(Code::NotAuthenticated, "there is neither an API key nor a session"));
        };
        let (user, session) = by_session(secret, state, now).await?;
        check_same_site(&parts.method, &parts.headers, &state.settings)?;
        Ok(Self { user, credential: Credential::Session(session), request })
    }
}

async fn by_key(
    value: &http::HeaderValue,
    state: &ApiState,
    now: Timestamp,
) -> Result<(User, ApiKey), Problem> {
    let refuse =
        || Problem::new(Code::NotAuthenticated, "the API key is unknown, revoked, expired or switched off");
    let text = value.to_str().map_err(|_| refuse())?;
    let (scheme, key) = text.split_once(' ').unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::new(Code::NotAuthenticated, "send `Authorization: Bearer` with an API key"));
    }
    let key = key.trim();
    if !ApiKeySecret::is_plausible(key) {
        return Err(refuse());
    }
    let (key, user) = state.ports.keys.find_by_hash(&hash(key)).await?.ok_or_else(refuse)?;
    let is_over = key.revoked_at.is_some() || key.expires_at.is_some_and(|at| at <= now);
    if is_over || user.disabled_at.is_some() {
        return Err(refuse());
    }
    if key.last_used_at.is_none_or(|at| now.since(at) >= TOUCH_EVERY)
        && let Err(error) = state.ports.keys.touch(key.id, now).await
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "use of an API key is not remembered");
    }
    Ok((user, key))
}

async fn by_session(secret: &str, state: &ApiState, now: Timestamp) -> Result<(User, Session), Problem> {
    let refuse = || Problem::new(Code::NotAuthenticated, "the session is over, sign in again");
    let (session, user) = state.ports.sessions.find_by_hash(&hash(secret)).await?.ok_or_else(refuse)?;
    let end = session.created_at.plus(state.settings.session_age_max);
    if session.expires_at <= now || end <= now || user.disabled_at.is_some() {
        return Err(refuse());
    }
    if now.since(session.last_used_at) >= TOUCH_EVERY {
        let expires_at = now.plus(state.settings.session_idle_max).min(end);
        if let Err(error) = state.ports.sessions.touch(session.id, now, expires_at).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "use of a session is not remembered");
        }
    }
    Ok((user, session))
}

impl Caller {
    /// Returns the scopes that bound this request; `None` for a session, which may do all its user may.
    pub(crate) fn scopes(&self) -> Option<&[Scope]> {
        match &self.credential {
            Credential::Key(key) => Some(&key.scopes),
            Credential::Session(_) => None,
        }
    }

    /// Returns the session, or refuses an API key.
    pub(crate) fn session(&self) -> Result<&Session, Problem> {
        match &self.credential {
            Credential::Session(session) => Ok(session),
            Credential::Key(_) => Err(Problem::new(Code::Forbidden, "this needs a session, not an API key")),
        }
    }

    /// Refuses everybody but operators of the instance.
    pub(crate) fn require_operator(&self) -> Result<(), Problem> {
        Ok(check_operator(self.user.is_operator, self.scopes())?)
    }

    /// Returns what the audit log keeps about a change made now.
    pub(crate) fn change(&self, state: &ApiState) -> ChangeContext {
        let at = state.clock.now();
        ChangeContext {
            audit_id: AuditId::generate(at, &mut state.random.fork()),
            user_id: Some(self.user.id),
            key_id: match &self.credential {
                Credential::Key(key) => Some(key.id),
                Credential::Session(_) => None,
            },
            request_id: Some(self.request.id.to_string()),
            at,
        }
    }
}
