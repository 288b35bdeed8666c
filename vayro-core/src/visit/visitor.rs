//! Who visits: the address behind our own proxies, and what else a click remembers.

use std::net::IpAddr;

use http::header::{ACCEPT_LANGUAGE, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use serde::Deserialize;

use crate::click::{
    Click, ClickMethod, LANGUAGE_LEN_MAX, QUERY_LEN_MAX, REFERER_LEN_MAX, USER_AGENT_LEN_MAX, clean,
};
use crate::host::Host;
use crate::ids::ClickId;
use crate::resolve::CachedLink;
use crate::visitor::network;

/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");
const DNT: HeaderName = HeaderName::from_static("dnt");

/// What of a visitor's address leaves the edge with a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClickAddress {
    /// All of it.
    Full,
    /// The network: IPv4 cut to /24, IPv6 to /48.
    Truncated,
    /// Nothing.
    None,
}

impl ClickAddress {
    /// Returns what is left of an address.
    pub fn of(self, ip: IpAddr) -> Option<IpAddr> {
        match self {
            Self::Full => Some(ip),
            Self::Truncated => Some(network(ip)),
            Self::None => None,
        }
    }
}

/// What a browser's wish for privacy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivacySignal {
    /// Nothing.
    Ignore,
    /// The click counts and says nothing about the visitor.
    Respect,
}

/// What of a visitor leaves the edge with a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClickPolicy {
    /// What of the address.
    pub address: ClickAddress,
    /// What `Sec-GPC: 1` does.
    pub global_privacy_control: PrivacySignal,
    /// What `DNT: 1` does.
    pub do_not_track: PrivacySignal,
}

/// Tells whether `address` lies in one of `nets`.
pub fn is_within(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

/// Returns the visitor's address: that of the peer, or the right-most one in `X-Forwarded-For` that is
/// not one of our proxies. What stands left of it was written by the visitor and proves nothing.
pub fn visitor_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
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

/// A visit that was just answered.
pub struct Visit<'a> {
    /// Host of the domain the link was visited on.
    pub domain: &'a Host,
    /// The visitor's address as far as known.
    pub ip: Option<IpAddr>,
    /// The method.
    pub method: ClickMethod,
    /// The query string, without `?`.
    pub query: &'a [u8],
    /// What it remembers of the headers.
    pub headers: VisitHeaders<'a>,
}

/// Headers that a click is made of; `None` where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VisitHeaders<'a> {
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// `Accept-Language`.
    pub language: Option<&'a [u8]>,
    /// `Sec-Purpose`.
    pub sec_purpose: Option<&'a [u8]>,
    /// `Purpose`.
    pub purpose: Option<&'a [u8]>,
    /// `Sec-GPC`.
    pub sec_gpc: Option<&'a [u8]>,
    /// `DNT`.
    pub dnt: Option<&'a [u8]>,
}

impl<'a> From<&'a HeaderMap> for VisitHeaders<'a> {
    fn from(headers: &'a HeaderMap) -> Self {
        let of = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
        Self {
            user_agent: of(&USER_AGENT),
            referer: of(&REFERER),
            language: of(&ACCEPT_LANGUAGE),
            sec_purpose: of(&SEC_PURPOSE),
            purpose: of(&PURPOSE),
            sec_gpc: of(&SEC_GPC),
            dnt: of(&DNT),
        }
    }
}

/// Makes the click `id` of a visit. What is not to be kept of the visitor never leaves this function.
pub fn mint_click(id: ClickId, link: &CachedLink, visit: &Visit<'_>, policy: ClickPolicy) -> Click {
    let &Visit { domain, ip, method, query, headers } = visit;
    let is_private = is_private(&headers, policy);
    let click = Click {
        id,
        link_id: link.id,
        workspace_id: link.workspace_id,
        domain: domain.as_str().into(),
        ip: ip.and_then(|ip| policy.address.of(ip)),
        user_agent: clean(headers.user_agent.unwrap_or_default(), USER_AGENT_LEN_MAX),
        referer: clean(headers.referer.unwrap_or_default(), REFERER_LEN_MAX),
        language: clean(headers.language.unwrap_or_default(), LANGUAGE_LEN_MAX),
        query: clean(query, QUERY_LEN_MAX),
        method,
        is_prefetch: is_prefetch(&headers),
        is_private,
    };
    if is_private { withhold(click) } else { click }
}

/// Tells whether the visitor asks for privacy by a signal that is respected.
pub fn is_private(headers: &VisitHeaders<'_>, policy: ClickPolicy) -> bool {
    [(headers.sec_gpc, policy.global_privacy_control), (headers.dnt, policy.do_not_track)]
        .into_iter()
        .filter(|(_, signal)| *signal == PrivacySignal::Respect)
        .any(|(value, _)| value.is_some_and(|value| value.trim_ascii() == b"1"))
}

/// Takes out of a click what tells visitors apart. The user agent stays: robots are told by it, and the worker
/// stores no more of it than the class of device.
fn withhold(click: Click) -> Click {
    Click {
        ip: None,
        language: "".into(),
        referer: origin(&click.referer).into(),
        query: of_campaigns(&click.query).into(),
        ..click
    }
}

/// Returns scheme and host of an address, nothing if it has none.
fn origin(address: &str) -> &str {
    let Some((scheme, rest)) = address.split_once("://") else { return "" };
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // Before an `@` there may be a name and a password.
    if rest[..host].contains('@') { "" } else { &address[..scheme.len() + "://".len() + host] }
}

/// Returns the parts of a query string that the link's owner put there to tell campaigns apart.
fn of_campaigns(query: &str) -> String {
    let is_ours = |part: &&str| {
        let name = part.split_once('=').map_or(*part, |(name, _)| name);
        name == "qr" || name.starts_with("utm_")
    };
    query.split('&').filter(is_ours).collect::<Vec<_>>().join("&")
}

fn is_prefetch(headers: &VisitHeaders<'_>) -> bool {
    [headers.sec_purpose, headers.purpose]
        .into_iter()
        .flatten()
        .any(|value| value.windows(b"prefetch".len()).any(|part| part.eq_ignore_ascii_case(b"prefetch")))
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
    fn a_referrer_is_cut_to_its_origin() {
        assert_eq!(origin("https://news.example/story?id=7#x"), "https://news.example");
        assert_eq!(origin("https://news.example:8443"), "https://news.example:8443");
        assert_eq!(origin("android-app://com.example/path"), "android-app://com.example");
        for bad in ["", "news.example/story", "https://ann:secret@news.example/"] {
            assert_eq!(origin(bad), "", "{bad}");
        }
    }

    #[test]
    fn only_campaigns_stay_in_a_query() {
        assert_eq!(of_campaigns("fbclid=abc&utm_source=news&qr=1&user=ann"), "utm_source=news&qr=1");
        assert_eq!(of_campaigns("fbclid=abc"), "");
    }

    #[test]
    fn prefetches_are_known_by_either_header() {
        let prefetches = |name, value| is_prefetch(&VisitHeaders::from(&headers(&[(name, value)])));
        assert!(prefetches("sec-purpose", "prefetch;prerender"));
        assert!(prefetches("purpose", "Prefetch"));
        assert!(!prefetches("purpose", "preview"));
    }
}
