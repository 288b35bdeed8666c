//! Answers requests on hosts of short links. Start here to see what a visitor gets.

mod form;

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use tokio::time::{Instant, sleep_until};
use vayro_core::click::ClickMethod;
use vayro_core::resolve::{Resolution, resolve};
use vayro_core::short_code::ShortCode;
use vayro_core::timestamp::Timestamp;

pub(crate) use form::{RedirectForms, X_ROBOTS_TAG};

use crate::answer;
use crate::cache::{Entry, KeyRef, Outcome, Read};
use crate::pages::Page;
use crate::routes::Domain;
use crate::shared::Shared;
use crate::visitor::{Visit, demo_instant, mint_click, visitor_address};

/// What the path of a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Root,
    Robots,
    Favicon,
    Code(Code),
    /// Something no short code can be.
    Nothing,
}

/// A valid short code, copied out of the request so that the answer can borrow the session.
#[derive(Debug, PartialEq, Eq)]
struct Code {
    len: usize,
    bytes: [u8; ShortCode::LEN_MAX],
}

impl Code {
    fn new(bytes: &[u8]) -> Option<Self> {
        if !ShortCode::is_valid(bytes) {
            return None;
        }
        let mut code = Self { len: bytes.len(), bytes: [0; ShortCode::LEN_MAX] };
        code.bytes[..bytes.len()].copy_from_slice(bytes);
        Some(code)
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Answers one request on a host of short links.
pub(crate) async fn answer(
    shared: &Shared,
    session: &mut ServerSession,
    domain: &Domain,
    peer: Option<IpAddr>,
) -> pingora::Result<()> {
    let request = session.req_header();
    let method = match request.method {
        Method::GET => ClickMethod::Get,
        Method::HEAD => ClickMethod::Head,
        _ => {
            shared.metrics.method_not_allowed.add_one();
            return page(session, &shared.pages.method_not_allowed).await;
        }
    };
    let asked = what_is_asked(path_and_query(request).0);
    let code = match asked {
        Asked::Code(code) => code,
        Asked::Nothing => {
            shared.metrics.not_found.add_one();
            return page(session, &shared.pages.not_found).await;
        }
        Asked::Root => return root(shared, session).await,
        Asked::Robots | Asked::Favicon => {
            shared.metrics.other_pages.add_one();
            let is_robots = asked == Asked::Robots;
            let form = if is_robots { &shared.pages.robots } else { &shared.pages.no_favicon };
            return answer::page(session, form).await;
        }
    };
    let began = Instant::now();
    let visitor = Visitor::new(shared, request, peer);
    let key = KeyRef { domain: domain.index, code: code.as_bytes() };
    let outcome = find(shared, key, domain, visitor).await;
    if shared.is_draining() {
        // The edge was told to stop while the look-up ran.
        session.set_keepalive(None);
    }
    let entry = match outcome {
        Some(Outcome::Found(entry)) => Some(entry),
        Some(Outcome::Absent) => None,
        Some(Outcome::Unavailable) => {
            shared.metrics.unavailable.add_one();
            return page(session, &shared.pages.unavailable).await;
        }
        None => return turn_away(shared, session).await,
    };
    // Decided after every read: what is kept may have expired since. A look-up took time, too.
    let now = (shared.clock)();
    match (resolve(entry.as_ref().map(|entry| &entry.link), now), &entry) {
        (Resolution::Redirect { .. }, Some(entry)) => {
            send_on(shared, session, domain, entry, method, visitor, now).await
        }
        (Resolution::Gone, _) => {
            shared.metrics.gone.add_one();
            page(session, &shared.pages.gone).await
        }
        (Resolution::NotFound | Resolution::Redirect { .. }, _) => {
            if visitor.is_guessing(shared, now) {
                return turn_away(shared, session).await;
            }
            if let Some(address) = visitor.address {
                shared.misses.charge(address, now);
            }
            // How long it took would tell a code that is switched off from one that never was.
            sleep_until(began + shared.settings.not_found_after).await;
            shared.metrics.not_found.add_one();
            page(session, &shared.pages.not_found).await
        }
    }
}

/// Tells a visitor whose network guesses codes nothing about this one.
async fn turn_away(shared: &Shared, session: &mut ServerSession) -> pingora::Result<()> {
    shared.metrics.too_many_misses.add_one();
    shared.misses.alert((shared.clock)());
    page(session, &shared.pages.too_many_misses).await
}

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

    /// Tells whether the visitor's network asked for so many unknown codes that it is not told about others.
    fn is_guessing(self, shared: &Shared, now: Timestamp) -> bool {
        self.address.is_some_and(|address| shared.misses.is_spent(address, now))
    }
}

/// Finds the link in memory or behind it; `None` if the visitor is not to know.
async fn find(shared: &Shared, key: KeyRef<'_>, domain: &Domain, visitor: Visitor) -> Option<Outcome> {
    let now = (shared.clock)();
    match shared.links.read(key, now) {
        Read::Hit(entry) => {
            shared.metrics.cache_hits.add_one();
            Some(Outcome::Found(entry))
        }
        Read::Aging(entry) => {
            shared.metrics.cache_aging.add_one();
            shared.links.refresh(key, domain.host.as_ref());
            Some(Outcome::Found(entry))
        }
        Read::Absent => {
            shared.metrics.cache_absent.add_one();
            Some(Outcome::Absent)
        }
        Read::Miss(stale) => {
            shared.metrics.cache_misses.add_one();
            // A link that was known before is no guess.
            if stale.is_none() && visitor.is_guessing(shared, now) {
                return None;
            }
            Some(shared.links.load(key, domain.host.as_ref(), stale).await)
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
    answer::header(session, shared.redirects.header(&entry.link, now)).await?;
    shared.metrics.redirects.add_one();
    let request = session.req_header();
    let headers = &request.headers;
    let at = visitor
        .peer
        .filter(|peer| shared.settings.demo_import && peer.is_loopback() && shared.is_trusted(*peer))
        .and_then(|_| demo_instant(headers, now))
        .unwrap_or(now);
    let query = path_and_query(request).1;
    let visit =
        Visit { at, domain: &domain.name, ip: visitor.address, method, query, headers: headers.into() };
    shared.rings.push(mint_click(&entry.link, &visit, &shared.settings));
    Ok(())
}

async fn root(shared: &Shared, session: &mut ServerSession) -> pingora::Result<()> {
    shared.metrics.other_pages.add_one();
    match &shared.root_redirect {
        Some(location) => {
            answer::lead_to(session, StatusCode::FOUND, location.clone(), "private, max-age=0").await
        }
        None => answer::page(session, &shared.pages.root).await,
    }
}

/// Sends one of our pages in the form the client wants.
pub(crate) async fn page(session: &mut ServerSession, page: &Page) -> pingora::Result<()> {
    let form = page.form(&session.req_header().headers);
    answer::page(session, form).await
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
            let cache_control = "private, max-age=3600";
            answer::lead_to(session, StatusCode::PERMANENT_REDIRECT, location, cache_control).await
        }
        Err(_) => page(session, &shared.pages.not_found).await,
    }
}

/// Splits the request target into path and query, without `?`.
fn path_and_query(request: &RequestHeader) -> (&[u8], &[u8]) {
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

fn what_is_asked(path: &[u8]) -> Asked {
    let Some(name) = path.strip_prefix(b"/") else { return Asked::Nothing };
    match name {
        b"" => return Asked::Root,
        b"robots.txt" => return Asked::Robots,
        b"favicon.ico" => return Asked::Favicon,
        _ => {}
    }
    // People and chat programs add a slash at the end.
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let code = if memchr::memchr(b'%', name).is_some() {
        // `%61` is another way to write `a`.
        Code::new(&percent_decode(name).collect::<Vec<_>>())
    } else {
        Code::new(name)
    };
    code.map_or(Asked::Nothing, Asked::Code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(path: &str) -> Option<String> {
        match what_is_asked(path.as_bytes()) {
            Asked::Code(code) => Some(String::from_utf8(code.as_bytes().to_vec()).expect("ASCII")),
            _ => None,
        }
    }

    #[test]
    fn paths_become_codes_or_nothing() {
        assert_eq!(code("/launch").as_deref(), Some("launch"));
        assert_eq!(code("/launch/").as_deref(), Some("launch"));
        assert_eq!(code("/l%61unch").as_deref(), Some("launch"));
        for path in ["//launch", "/launch//", "/a/b", "/.env", "/a b", "/l%00", "/%ff", "launch"] {
            assert_eq!(what_is_asked(path.as_bytes()), Asked::Nothing, "{path}");
        }
        assert_eq!(code(&format!("/{}", "a".repeat(50))).map(|code| code.len()), Some(50));
        assert_eq!(code(&format!("/{}", "a".repeat(51))), None);
        assert_eq!(what_is_asked(b"/"), Asked::Root);
        assert_eq!(what_is_asked(b"/robots.txt"), Asked::Robots);
        assert_eq!(what_is_asked(b"/favicon.ico"), Asked::Favicon);
    }

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
