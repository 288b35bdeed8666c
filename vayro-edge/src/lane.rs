//! The fast lane: plain visits, answered from memory. Over HTTP/1.1 that is before anybody reads all of HTTP, over
//! HTTP/2 before the request gets a task of its own.
//!
//! It answers what it is certain of: a GET or HEAD for a short code on a host of short links, with a link in memory
//! that is fresh. Everything else goes on to Pingora as it came, and is answered there. Whatever the lane answers,
//! Pingora's way would have answered with the same status and headers; the tests hold both together.

pub(crate) mod request;

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::SystemTime;

use http::header::{CONTENT_LENGTH, EXPECT};
use pingora::http::ResponseHeader;
use pingora::protocols::http::v2::server::HttpSession;
use vayro_core::click::Click;
use vayro_core::resolve::{CachedLink, Resolution, resolve};
use vayro_core::timestamp::Timestamp;
use vayro_core::visit::{Visit, Wanted, normal_host, wanted};

use crate::answer::add_hsts;
use crate::cache::KeyRef;
use crate::redirect::path_and_query;
use crate::routes::{Domain, host_buffer};
use crate::shared::Shared;
use crate::short_links::authority;
use crate::visitor::click;
use request::{Request, read};

/// Bytes of answers from which on they are sent before more of a pipeline is read.
const ANSWERS_LEN_MAX: usize = 16 * 1024;
/// Most bytes of memory that answers keep for the next ones.
const ANSWERS_KEPT: usize = 4 * 1024;

/// What the lane knows of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    peer: IpAddr,
    is_trusted: bool,
    is_tls: bool,
    is_open: bool,
}

/// Answers that are not sent yet, and the clicks they will be.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) bytes: Vec<u8>,
    clicks: Vec<Click>,
    /// Whether the last one says that the connection closes.
    pub(crate) closes: bool,
}

thread_local! {
    /// Memory for the answers of whichever connection this thread serves next: those that wait need none.
    static SPARE: RefCell<Option<Answers>> = const { RefCell::new(None) };
}

impl Answers {
    /// Takes what this thread used before.
    pub(crate) fn take() -> Self {
        SPARE.take().unwrap_or_default()
    }

    /// Counts the visits, after their answers were sent.
    pub(crate) fn sent(&mut self, shared: &Shared) {
        shared.metrics.redirects.add(self.clicks.len() as u64);
        for click in self.clicks.drain(..) {
            shared.rings.push(click);
        }
        self.bytes.clear();
    }

    /// Leaves the memory to the next ones.
    pub(crate) fn give_back(mut self) {
        if self.bytes.capacity() <= ANSWERS_KEPT {
            self.bytes.clear();
            self.clicks.clear();
            self.closes = false;
            SPARE.set(Some(self));
        }
    }
}

impl Lane {
    /// Makes the lane of a connection from `peer`.
    pub(crate) fn new(shared: &Shared, peer: IpAddr, is_tls: bool) -> Self {
        Self { peer, is_trusted: shared.is_trusted(peer), is_tls, is_open: shared.settings.fast_lane }
    }

    /// Answers the requests at the beginning of `bytes` as far as it is certain of them, and returns how many
    /// bytes these were. `requests_left` are those of the connection.
    pub(crate) fn answer(
        &self,
        shared: &Shared,
        bytes: &[u8],
        requests_left: &mut u32,
        answers: &mut Answers,
    ) -> usize {
        let mut done = 0;
        while self.is_open && !answers.closes && answers.bytes.len() < ANSWERS_LEN_MAX {
            let Some(request) = read(&bytes[done..], self.is_trusted) else { break };
            if self.answer_one(shared, &request, *requests_left, answers).is_none() {
                break;
            }
            *requests_left = requests_left.saturating_sub(1);
            done += request.len;
        }
        done
    }

    /// Answers one request; `None` if that is for others.
    fn answer_one(
        &self,
        shared: &Shared,
        request: &Request<'_>,
        requests_left: u32,
        answers: &mut Answers,
    ) -> Option<()> {
        if request.len > shared.settings.head_size {
            return None;
        }
        let mut buffer = host_buffer();
        let host = normal_host(request.host, &mut buffer)?;
        if shared.settings.redirect_to_https && !self.is_tls && shared.certificates.covers(host) {
            return None;
        }
        let now = (shared.clock)();
        with_link(shared, host, request.code, now, |domain, link| {
            if !shared.redirects.write(link, &mut answers.bytes) {
                return None;
            }
            let closes = request.closes || requests_left <= 1 || shared.is_draining();
            if let Some(hsts) = shared.hsts.as_ref().filter(|_| self.is_tls) {
                for part in [b"Strict-Transport-Security: ", hsts.as_bytes(), b"\r\n"] {
                    answers.bytes.extend_from_slice(part);
                }
            }
            finish(&mut answers.bytes, now, closes);
            answers.closes = closes;
            let visit = Visit {
                domain: &domain.name,
                ip: Some(self.peer),
                method: request.method,
                query: request.query,
                headers: request.headers,
            };
            answers.clicks.push(click(link, now, &visit, &shared.settings));
            Some(())
        })
    }

    /// Answers a request over HTTP/2; false if that is for others.
    pub(crate) fn answer_stream(&self, shared: &Shared, stream: &mut HttpSession) -> bool {
        let Some((header, click)) = self.redirect_for(shared, stream) else { return false };
        // Fails if the client took the request back meanwhile: nobody was redirected.
        if stream.write_response_header(header, true).is_ok() {
            shared.metrics.redirects.add_one();
            shared.rings.push(click);
        }
        true
    }

    fn redirect_for(&self, shared: &Shared, stream: &HttpSession) -> Option<(Box<ResponseHeader>, Click)> {
        let request = stream.req_header();
        // A body has to be read, and what a proxy of ours says of a visitor is for those who know whether to trust it.
        let is_plain = stream.is_body_done()
            && !request.headers.contains_key(CONTENT_LENGTH)
            && !request.headers.contains_key(EXPECT);
        if !self.is_open || !self.is_tls || self.is_trusted || !is_plain {
            return None;
        }
        let (path, query) = path_and_query(request);
        let Wanted::Link(code, method) = wanted(&request.method, path) else { return None };
        let mut buffer = host_buffer();
        let host = normal_host(authority(request)?, &mut buffer)?;
        let now = (shared.clock)();
        with_link(shared, host, code.as_bytes(), now, |domain, link| {
            let mut header = shared.redirects.header(link, now);
            add_hsts(shared, &mut header).ok()?;
            let (ip, headers) = (Some(self.peer), (&request.headers).into());
            let visit = Visit { domain: &domain.name, ip, method, query, headers };
            Some((header, click(link, now, &visit, &shared.settings)))
        })
    }
}

/// Answers with a link that redirects and needs no look-up, and counts that; `None` if there is none.
fn with_link<T>(
    shared: &Shared,
    host: &str,
    code: &[u8],
    now: Timestamp,
    look: impl FnOnce(&Domain, &CachedLink) -> Option<T>,
) -> Option<T> {
    let found = shared.routes.with_short(host, |domain| {
        let key = KeyRef { domain: domain.index, code };
        shared.links.with_fresh(key, now, |entry| match resolve(Some(&entry.link), now) {
            Resolution::Redirect { .. } => look(domain, &entry.link),
            _ => None,
        })
    });
    let answer = found.flatten().flatten()?;
    shared.metrics.cache_hits.add_one();
    shared.metrics.fast_lane.add_one();
    Some(answer)
}

/// Writes the headers of an answer that change with time and connection, and its end.
fn finish(bytes: &mut Vec<u8>, now: Timestamp, closes: bool) {
    with_date(now, |date| bytes.extend_from_slice(date));
    let connection: &[u8] =
        if closes { b"Connection: close\r\n\r\n" } else { b"Connection: keep-alive\r\n\r\n" };
    bytes.extend_from_slice(connection);
}

/// Hands the line with the date to `put`; it is made once a second and thread.
fn with_date(now: Timestamp, put: impl FnOnce(&[u8])) {
    thread_local! {
        static LINE: RefCell<(i64, Vec<u8>)> = const { RefCell::new((i64::MIN, Vec::new())) };
    }
    LINE.with_borrow_mut(|(made_for, line)| {
        let second = now.as_micros().div_euclid(1_000_000);
        if *made_for != second {
            *made_for = second;
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second.unsigned_abs());
            *line = format!("Date: {}\r\n", httpdate::fmt_http_date(at)).into_bytes();
        }
        put(line);
    });
}
