//! Who visits: the address behind our own proxies, and what else a click remembers.

use std::net::IpAddr;
use std::time::Duration;

use http::header::{ACCEPT_LANGUAGE, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use vayro_core::click::{
    Click, ClickMethod, LANGUAGE_LEN_MAX, QUERY_LEN_MAX, REFERER_LEN_MAX, USER_AGENT_LEN_MAX, clean,
};
use vayro_core::host::Host;
use vayro_core::ids::ClickId;
use vayro_core::resolve::CachedLink;
use vayro_core::timestamp::Timestamp;

use crate::shared::is_within;

/// `X-Forwarded-For`.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Says when a demo visit was, in Unix milliseconds.
const X_VAYRO_DEMO_AT: HeaderName = HeaderName::from_static("x-vayro-demo-at");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");

/// How far back a demo visit may lie.
const DEMO_WINDOW: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// Returns the visitor's address: that of the peer, or the right-most one in `X-Forwarded-For` that is
/// not one of our proxies. What stands left of it was written by the visitor and proves nothing.
pub(crate) fn visitor_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut visitor = peer;
    if !is_within(trusted, peer) {
        return visitor;
    }
    for line in headers.get_all(&X_FORWARDED_FOR).iter().rev() {
        let Ok(line) = line.to_str() else { return visitor };
        for hop in line.rsplit(',') {
            let Some(address) = parse_hop(hop) else { return visitor };
            visitor = address;
            if !is_within(trusted, address) {
                return visitor;
            }
        }
    }
    visitor
}

/// Reads `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1` or `[2001:db8::1]:443`.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let address = if let Some(bracketed) = hop.strip_prefix('[') {
        bracketed.split_once(']')?.0
    } else if hop.bytes().filter(|b| *b == b':').count() == 1 {
        hop.split_once(':')?.0
    } else {
        hop
    };
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Returns when a demo visit says it was. The caller has checked that demo visits are allowed and that a
/// trusted proxy on this machine sent it.
pub(crate) fn demo_instant(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let millis = headers.get(&X_VAYRO_DEMO_AT)?.to_str().ok()?.parse().ok()?;
    let at = Timestamp::from_millis(millis)?;
    (at <= now && now.since(at) <= DEMO_WINDOW).then_some(at)
}

/// Mints the click of a visit that was just answered.
pub(crate) fn mint_click(
    link: &CachedLink,
    domain: &Host,
    at: Timestamp,
    ip: Option<IpAddr>,
    method: ClickMethod,
    query: &[u8],
    headers: &HeaderMap,
) -> Click {
    let text = |name: &HeaderName, len_max| match headers.get(name) {
        Some(value) => clean(value.as_bytes(), len_max),
        None => Box::default(),
    };
    Click {
        id: ClickId::generate(at, &mut rand::rng()),
        link_id: link.id,
        workspace_id: link.workspace_id,
        domain: domain.as_str().into(),
        ip,
        user_agent: text(&USER_AGENT, USER_AGENT_LEN_MAX),
        referer: text(&REFERER, REFERER_LEN_MAX),
        language: text(&ACCEPT_LANGUAGE, LANGUAGE_LEN_MAX),
        query: if query.is_empty() { Box::default() } else { clean(query, QUERY_LEN_MAX) },
        method,
        is_prefetch: is_prefetch(headers),
    }
}

fn is_prefetch(headers: &HeaderMap) -> bool {
    [&SEC_PURPOSE, &PURPOSE].into_iter().filter_map(|name| headers.get(name)).any(|value| {
        value.as_bytes().windows(b"prefetch".len()).any(|part| part.eq_ignore_ascii_case(b"prefetch"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), value.parse().expect("valid"));
        }
        headers
    }

    fn visitor(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["127.0.0.0/8".parse().expect("valid"), "10.0.0.0/8".parse().expect("valid")];
        let lines: Vec<_> = forwarded.iter().map(|line| ("x-forwarded-for", *line)).collect();
        visitor_address(peer.parse().expect("valid"), &headers(&lines), &trusted).to_string()
    }

    #[test]
    fn strangers_cannot_say_who_they_are() {
        assert_eq!(visitor("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn the_right_most_address_that_is_not_ours_is_the_visitor() {
        assert_eq!(visitor("127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(visitor("127.0.0.1", &["6.6.6.6, 198.51.100.7, 10.1.2.3"]), "198.51.100.7");
        assert_eq!(visitor("127.0.0.1", &["6.6.6.6", "198.51.100.7", "10.1.2.3"]), "198.51.100.7");
        assert_eq!(visitor("127.0.0.1", &["10.9.9.9, 10.1.2.3"]), "10.9.9.9");
        assert_eq!(visitor("127.0.0.1", &["6.6.6.6, rubbish, 10.1.2.3"]), "10.1.2.3");
        assert_eq!(visitor("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(visitor("127.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(visitor("127.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(visitor("127.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn demo_visits_lie_within_the_last_sixty_days() {
        let now = Timestamp::from_millis(1_790_000_000_000).expect("in range");
        let at = |millis: i64| demo_instant(&headers(&[("x-vayro-demo-at", &millis.to_string())]), now);
        let day = 24 * 60 * 60 * 1000;
        assert_eq!(at(1_790_000_000_000 - day), Timestamp::from_millis(1_790_000_000_000 - day));
        assert_eq!(at(1_790_000_000_000 - 61 * day), None);
        assert_eq!(at(1_790_000_000_001), None);
        assert_eq!(demo_instant(&headers(&[("x-vayro-demo-at", "soon")]), now), None);
        assert_eq!(demo_instant(&HeaderMap::new(), now), None);
    }

    #[test]
    fn prefetches_are_known_by_either_header() {
        assert!(is_prefetch(&headers(&[("sec-purpose", "prefetch;prerender")])));
        assert!(is_prefetch(&headers(&[("purpose", "Prefetch")])));
        assert!(!is_prefetch(&headers(&[("purpose", "preview")])));
    }
}
