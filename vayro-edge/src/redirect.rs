//! Answers requests on hosts of short links. Start here to see what a visitor gets.

mod form;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use tokio::time::{Instant, sleep, sleep_until};
use vayro_core::click::ClickMethod;
use vayro_core::timestamp::Timestamp;
use vayro_core::visit::{Page, Verdict, Visit, Wanted, lead_to, verdict, visitor_address, wanted};

pub(crate) use form::RedirectForms;

use crate::answer;
use crate::cache::{Entry, KeyRef, Outcome, Read};
use crate::misses::Charge;
use crate::routes::Domain;
use crate::shared::Shared;
use crate::visitor::{click, demo_instant};

/// Answers one request on a host of short links.
pub(crate) async fn answer(
    shared: &Shared,
    session: &mut ServerSession,
    domain: &Domain,
    peer: Option<IpAddr>,
) -> pingora::Result<()> {
    let request = session.req_header();
    let (code, method) = match wanted(&request.method, path_and_query(request).0) {
        Wanted::Link(code, method) => (code, method),
        Wanted::Page(Page::Root) => return root(shared, session).await,
        Wanted::Page(asked) => {
            let counter = match asked {
                Page::MethodNotAllowed => &shared.metrics.method_not_allowed,
                Page::Robots | Page::NoFavicon => &shared.metrics.other_pages,
                _ => &shared.metrics.not_found,
            };
            counter.add_one();
            return page(shared, session, asked).await;
        }
    };
    let began = Instant::now();
    let visitor = Visitor::new(shared, request, peer);
    let key = KeyRef { domain: domain.index, code: code.as_bytes() };
    let found = find(shared, key, domain, visitor).await;
    if shared.is_draining() {
        // The edge was told to stop while the look-up ran.
        session.set_keepalive(None);
    }
    let Some(Found { outcome, is_charged }) = found else { return turn_away(shared, session).await };
    let entry = match outcome {
        Outcome::Found(entry) => Some(entry),
        Outcome::Absent => None,
        Outcome::Unavailable => {
            shared.metrics.unavailable.add_one();
            return page(shared, session, Page::Unavailable).await;
        }
    };
    // Decided after every read: what is kept may have expired since. A look-up took time, too.
    let now = (shared.clock)();
    match (verdict(entry.as_ref().map(|entry| &entry.link), now), &entry) {
        (Verdict::Redirect(_), Some(entry)) => {
            send_on(shared, session, domain, entry, method, visitor, now).await
        }
        (Verdict::Page(Page::Gone), _) => {
            shared.metrics.gone.add_one();
            page(shared, session, Page::Gone).await
        }
        _ => {
            if !is_charged && !visitor.miss(shared, now) {
                return turn_away(shared, session).await;
            }
            // How long it took would tell a code that is switched off from one that never was.
            sleep_until(began + shared.settings.not_found_after).await;
            shared.metrics.not_found.add_one();
            page(shared, session, Page::NotFound).await
        }
    }
}

/// Tells a visitor whose network guesses codes nothing about this one.
async fn turn_away(shared: &Shared, session: &mut ServerSession) -> pingora::Result<()> {
    shared.metrics.too_many_misses.add_one();
    shared.misses.alert((shared.clock)());
    page(shared, session, Page::TooManyMisses).await
}

/// Pause between tries to charge a budget that look-ups have taken; about as long as a slow one takes.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Where a request comes from.
#[derive(Clone, Copy)]
struct Visitor {
    /// Who is connected.
    peer: Option<IpAddr>,
    /// The visitor's own address, as far as known.
    address: Option<IpAddr>,
}

impl Visitor {
    fn new(shared: &Shared, request: &RequestHeader, peer: Option<IpAddr>) -> Self {
        let trusted = &shared.settings.trusted_proxies;
        Self { peer, address: peer.map(|peer| visitor_address(peer, &request.headers, trusted)) }
    }

    /// Takes a miss from the budget of the visitor's network; false if it asked for so many unknown codes that it is
    /// not told about others.
    fn miss(self, shared: &Shared, now: Timestamp) -> bool {
        let Some(address) = self.address else { return true };
        let is_taken = shared.misses.charge(address, now) == Charge::Taken;
        if is_taken {
            shared.misses.settle(address, now, true);
        }
        is_taken
    }

    /// Charges the budget of the visitor's network for a look-up, once it is not taken by others that run.
    async fn charge(self, shared: &Shared) -> Charge {
        let Some(address) = self.address else { return Charge::Taken };
        let deadline = Instant::now() + shared.settings.lookup_timeout;
        loop {
            match shared.misses.charge(address, (shared.clock)()) {
                Charge::Busy if Instant::now() < deadline => sleep(BUSY_PAUSE).await,
                charge => return charge,
            }
        }
    }
}

/// What a look gave.
struct Found {
    outcome: Outcome,
    /// Whether the visitor's network has paid for it.
    is_charged: bool,
}

impl From<Outcome> for Found {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, is_charged: false }
    }
}

/// Finds the link in memory or behind it; `None` if the visitor is not to know.
async fn find(shared: &Shared, key: KeyRef<'_>, domain: &Domain, visitor: Visitor) -> Option<Found> {
    let now = (shared.clock)();
    match shared.links.read(key, now) {
        Read::Hit(entry) => {
            shared.metrics.cache_hits.add_one();
            Some(Outcome::Found(entry).into())
        }
        Read::Aging(entry) => {
            shared.metrics.cache_aging.add_one();
            shared.links.refresh(key, domain.host.as_ref());
            Some(Outcome::Found(entry).into())
        }
        Read::Absent => {
            shared.metrics.cache_absent.add_one();
            Some(Outcome::Absent.into())
        }
        Read::Miss(Some(stale)) => {
            // A link that was known before is no guess.
            shared.metrics.cache_misses.add_one();
            Some(shared.links.load(key, domain.host.as_ref(), Some(stale)).await.into())
        }
        Read::Miss(None) => {
            shared.metrics.cache_misses.add_one();
            match visitor.charge(shared).await {
                Charge::Taken => {}
                Charge::Busy => return Some(Outcome::Unavailable.into()),
                Charge::Spent => return None,
            }
            // Whoever goes away meanwhile gets nothing back, or guesses that are broken off would be free.
            let outcome = shared.links.load(key, domain.host.as_ref(), None).await;
            let is_charged = matches!(outcome, Outcome::Absent);
            if let Some(address) = visitor.address {
                shared.misses.settle(address, (shared.clock)(), is_charged);
            }
            Some(Found { outcome, is_charged })
        }
    }
}

/// Writes the redirect, then counts the visit: what was not answered is no click.
async fn send_on(
    shared: &Shared,
    session: &mut ServerSession,
    domain: &Domain,
    entry: &Arc<Entry>,
    method: ClickMethod,
    visitor: Visitor,
    now: Timestamp,
) -> pingora::Result<()> {
    answer::header(shared, session, shared.redirects.header(&entry.link, now)).await?;
    shared.metrics.redirects.add_one();
    let request = session.req_header();
    let headers = &request.headers;
    let at = visitor
        .peer
        .filter(|peer| shared.settings.demo_import && peer.is_loopback() && shared.is_trusted(*peer))
        .and_then(|_| demo_instant(headers, now))
        .unwrap_or(now);
    let query = path_and_query(request).1;
    let visit = Visit { domain: &domain.name, ip: visitor.address, method, query, headers: headers.into() };
    shared.rings.push(click(&entry.link, at, &visit, &shared.settings));
    Ok(())
}

async fn root(shared: &Shared, session: &mut ServerSession) -> pingora::Result<()> {
    shared.metrics.other_pages.add_one();
    match &shared.root_redirect {
        Some(head) => answer::header(shared, session, Box::new(answer::header_of(head))).await,
        None => page(shared, session, Page::Root).await,
    }
}

/// Sends one of our pages in the form the client wants.
pub(crate) async fn page(shared: &Shared, session: &mut ServerSession, page: Page) -> pingora::Result<()> {
    let form = shared.pages.form(page, &session.req_header().headers);
    answer::page(shared, session, form).await
}

/// Sends an HTTP request to the same address on HTTPS.
pub(crate) async fn to_https(
    shared: &Shared,
    session: &mut ServerSession,
    host: &str,
) -> pingora::Result<()> {
    shared.metrics.to_https.add_one();
    let target = session.req_header().uri.path_and_query().map_or("/", |target| target.as_str());
    let port = match shared.settings.https_port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    match HeaderValue::try_from(format!("https://{host}{port}{target}")) {
        // 308 keeps the method. Bounded, so that a certificate can be given up again.
        Ok(location) => {
            let head = lead_to(StatusCode::PERMANENT_REDIRECT.as_u16(), location, "private, max-age=3600");
            answer::header(shared, session, Box::new(answer::header_of(&head))).await
        }
        Err(_) => page(shared, session, Page::NotFound).await,
    }
}

/// Splits the request target into path and query, without `?`.
pub(crate) fn path_and_query(request: &RequestHeader) -> (&[u8], &[u8]) {
    let raw = request.raw_path();
    if raw.first() != Some(&b'/') {
        // `GET http://host/path`, as clients ask proxies.
        let query = request.uri.query().unwrap_or_default();
        return (request.uri.path().as_bytes(), query.as_bytes());
    }
    match memchr::memchr(b'?', raw) {
        Some(at) => (&raw[..at], &raw[at + 1..]),
        None => (raw, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_target_are_split() {
        for (target, path, query) in [
            ("/a?b=c?d", "/a", "b=c?d"),
            ("/a", "/a", ""),
            ("/a?", "/a", ""),
            ("http://vay.ro/a?b", "/a", "b"),
        ] {
            let request = RequestHeader::build("GET", target.as_bytes(), None).expect("valid");
            assert_eq!(path_and_query(&request), (path.as_bytes(), query.as_bytes()), "{target}");
        }
    }
}
