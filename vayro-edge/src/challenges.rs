//! Answers to ACME servers that ask whether a name leads here (RFC 8555 §8.3).
//!
//! Anybody may ask for tokens that do not exist. All who ask for unknown ones at about the same time wait for one look
//! into the database, of which there are at most four a second; whoever asks after a challenge was stored gets it from
//! the next look. So a flood costs the database next to nothing, and does not hide a challenge that is real.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method};
use parking_lot::RwLock;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};
use vayro_core::certificate::{CHALLENGES_MAX, is_token};
use vayro_core::ports::ServedCertificates;
use vayro_core::timestamp::Timestamp;
use vayro_core::visit::{Head, Page};

use crate::answer;
use crate::log_limit::LogLimit;
use crate::misses::Charge;
use crate::pages::Form;
use crate::shared::{Clock, Shared};

/// Beginning of the path that ACME servers ask for.
const PATH: &[u8] = b"/.well-known/acme-challenge/";
/// Shortest time between two looks into the database.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Requests that wait for a look at one time; further ones are told that there is nothing.
const WAITING_MAX: usize = 512;

/// The challenges that are under way, as of the last look.
pub(crate) struct Challenges {
    store: Arc<dyn ServedCertificates>,
    clock: Clock,
    /// Where connections to the database live.
    runtime: Handle,
    answers: RwLock<HashMap<Box<str>, (Bytes, Timestamp)>>,
    /// When the last look began.
    looked_at: Mutex<Option<Instant>>,
    places: Semaphore,
    failures: LogLimit,
}

impl Challenges {
    /// Makes one that knows of none yet.
    pub(crate) fn new(store: Arc<dyn ServedCertificates>, clock: Clock, runtime: Handle) -> Self {
        Self {
            store,
            clock,
            runtime,
            answers: RwLock::default(),
            looked_at: Mutex::default(),
            places: Semaphore::new(WAITING_MAX),
            failures: LogLimit::new(),
        }
    }

    /// Returns the answer to `token`, if there is one.
    pub(crate) async fn find(&self, token: &[u8]) -> Option<Bytes> {
        if !is_token(token) {
            return None;
        }
        let token = std::str::from_utf8(token).ok()?;
        if let Some(answer) = self.known(token) {
            return Some(answer);
        }
        let _place = self.places.try_acquire().ok()?;
        let came_at = Instant::now();
        let mut looked_at = self.looked_at.lock().await;
        // Somebody who came later may have looked meanwhile.
        if looked_at.is_none_or(|at| at < came_at) {
            if let Some(at) = *looked_at {
                sleep_until(at + LOOK_PAUSE).await;
            }
            *looked_at = Some(Instant::now());
            self.look().await;
        }
        drop(looked_at);
        self.known(token)
    }

    fn known(&self, token: &str) -> Option<Bytes> {
        let answers = self.answers.read();
        let (answer, expires_at) = answers.get(token)?;
        (*expires_at > (self.clock)()).then(|| answer.clone())
    }

    async fn look(&self) {
        let (store, now) = (Arc::clone(&self.store), (self.clock)());
        let look = self.runtime.spawn(async move { store.challenges(now, CHALLENGES_MAX).await });
        let error = match timeout(LOOK_TIMEOUT, look).await {
            Ok(Ok(Ok(challenges))) => {
                let answers = challenges.into_iter().map(|challenge| {
                    (challenge.token.into(), (Bytes::from(challenge.answer), challenge.expires_at))
                });
                *self.answers.write() = answers.collect();
                return;
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        if let Some(held_back) = self.failures.turn(now) {
            tracing::warn!(error, held_back, "challenges cannot be read");
        }
    }
}

/// Returns the token that the request asks for, as ACME servers do; `None` for every other request, and where no
/// certificates are issued.
pub(crate) fn asked_for(shared: &Shared, request: &RequestHeader) -> Option<Box<[u8]>> {
    let is_read = matches!(request.method, Method::GET | Method::HEAD);
    let token = request.uri.path().as_bytes().strip_prefix(PATH)?;
    (shared.challenges.is_some() && is_read).then(|| token.into())
}

/// Answers a request for `token` if there is an answer, or if it can be nothing else; tells whether it did. Comes before
/// everything else, redirects to HTTPS included: the server asks by HTTP for a name that has no certificate yet, and may
/// do so for any host of this instance.
pub(crate) async fn answer(
    shared: &Shared,
    session: &mut ServerSession,
    token: &[u8],
    visitor: Option<IpAddr>,
    is_ours: bool,
) -> pingora::Result<bool> {
    let Some(challenges) = &shared.challenges else { return Ok(false) };
    let now = (shared.clock)();
    let is_allowed = visitor.is_none_or(|visitor| shared.misses.charge(visitor, now) == Charge::Taken);
    let found = if is_allowed { challenges.find(token).await } else { None };
    if let Some(visitor) = visitor.filter(|_| is_allowed) {
        shared.misses.settle(visitor, (shared.clock)(), found.is_none());
    }
    if let Some(found) = found {
        shared.metrics.challenges_answered.add_one();
        answer::page(shared, session, &form(found)).await?;
        return Ok(true);
    }
    shared.metrics.challenges_unknown.add_one();
    if is_ours {
        crate::redirect::page(shared, session, Page::NotFound).await?;
    }
    // Another server behind us may have asked for a certificate of its own.
    Ok(is_ours)
}

fn form(body: Bytes) -> Form {
    let headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_LENGTH, HeaderValue::from(body.len())),
    ];
    Form { header: answer::header_of(&Head { status: 200, headers }), body }
}
