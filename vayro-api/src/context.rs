//! What is known about a request before anybody is asked who sent it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use http::request::Parts;
use http::{Extensions, HeaderMap};
use ipnet::IpNet;
use vayro_core::ids::AuditId;

use crate::state::ApiState;

/// Header of the request's id, both ways.
pub(crate) const REQUEST_ID_HEADER: &str = "x-request-id";
/// Longest request id taken from a client, in bytes.
const REQUEST_ID_LEN_MAX: usize = 64;
/// Most addresses of `X-Forwarded-For` that are looked at.
const FORWARDED_MAX: usize = 20;

/// Names one request in answers, logs and the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The request's id and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    /// Its id.
    pub(crate) id: RequestId,
    /// The client's address, as far as known.
    pub(crate) address: Option<IpAddr>,
}

impl RequestContext {
    /// Reads the context from a request's head.
    pub(crate) fn read(headers: &HeaderMap, extensions: &Extensions, state: &ApiState) -> Self {
        let given = headers.get(REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
        let fresh = || AuditId::generate(state.clock.now(), &mut state.random.fork()).to_string();
        let id = given.filter(|text| is_sane(text)).map_or_else(fresh, ToOwned::to_owned).into();
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let address = client_address(peer, headers, &state.settings.trusted_proxies);
        Self { id: RequestId(id), address }
    }

    /// Returns the context that the outermost layer put into the request.
    pub(crate) fn of(parts: &Parts) -> Self {
        let context = parts.extensions.get::<Self>();
        context.cloned().unwrap_or_else(|| Self { id: RequestId("".into()), address: None })
    }
}

fn is_sane(id: &str) -> bool {
    (1..=REQUEST_ID_LEN_MAX).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Walks back from the peer through the proxies we trust; the first other address is the client.
fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = peer?.to_canonical();
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let mut client = peer;
    let values = headers.get_all("x-forwarded-for").into_iter().rev();
    let hops = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(','));
    for hop in hops.take(FORWARDED_MAX) {
        // Something that is no address was written by nobody we trust, and what lies behind neither.
        let Ok(ip) = hop.trim().parse::<IpAddr>() else { break };
        client = ip.to_canonical();
        if !is_trusted(&client) {
            break;
        }
    }
    Some(client)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn address(peer: &str, forwarded: &[&'static str]) -> String {
        let trusted = ["127.0.0.0/8".parse().expect("valid"), "10.0.0.0/8".parse().expect("valid")];
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        let peer = peer.parse().expect("valid");
        client_address(Some(peer), &headers, &trusted).map(|ip| ip.to_string()).unwrap_or_default()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(address("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(address("127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(address("127.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(address("127.0.0.1", &["1.1.1.1", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(address("::ffff:127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(address("127.0.0.1", &["1.1.1.1, rubbish"]), "127.0.0.1");
        assert_eq!(address("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn request_ids_cannot_carry_anything_else() {
        assert!(is_sane("01890000-0000-7000-8000-000000000001"));
        for bad in ["", "a b", "a\"b", "ü"] {
            assert!(!is_sane(bad), "{bad}");
        }
        assert!(!is_sane(&"x".repeat(65)));
    }
}
