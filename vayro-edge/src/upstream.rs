//! Servers behind other hosts: the API and the dashboard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::HttpPeer;
use tokio::sync::watch;
use vayro_core::visit::X_FORWARDED_FOR;

use crate::settings::UpstreamSettings;
use crate::shutdown::until_told;
use crate::visitor::X_FORWARDED_PROTO;

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// How often addresses are resolved again.
const RESOLVE_EVERY: Duration = Duration::from_secs(60);
/// Pause after a name did not resolve.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long one resolution may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses of one server.
const PEERS_MAX: usize = 16;

/// A server and its addresses.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: String,
    tls: bool,
    peers: ArcSwap<Vec<HttpPeer>>,
    next: AtomicUsize,
}

impl Upstream {
    /// Makes one without any address; [`Upstream::resolve`] finds them.
    pub(crate) fn new(settings: &UpstreamSettings) -> Self {
        Self {
            address: settings.address.clone(),
            tls: settings.tls,
            peers: ArcSwap::default(),
            next: AtomicUsize::new(0),
        }
    }

    /// Returns the address to try, another one each time; `None` while the name does not resolve.
    pub(crate) fn peer(&self) -> Option<Box<HttpPeer>> {
        let peers = self.peers.load();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        peers.get(turn.checked_rem(peers.len())?).cloned().map(Box::new)
    }

    /// Resolves the name and tells whether it has an address. Pingora would do it for every request, on the
    /// thread that serves others too, and panic if there is none.
    pub(crate) async fn resolve(&self) -> bool {
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(&self.address)).await;
        let addresses: Vec<SocketAddr> = match found {
            Ok(Ok(addresses)) => addresses.take(PEERS_MAX).collect(),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, upstream.address = %self.address, "upstream does not resolve");
                return false;
            }
            Err(_) => {
                tracing::warn!(upstream.address = %self.address, "resolving upstream took too long");
                return false;
            }
        };
        if addresses.is_empty() {
            return false;
        }
        self.peers.store(Arc::new(addresses.into_iter().map(|address| self.make_peer(address)).collect()));
        true
    }

    /// Keeps the addresses current until `stopping` turns true.
    pub(crate) async fn keep_current(&self, mut stopping: watch::Receiver<bool>) {
        let mut pause = if self.peers.load().is_empty() { RETRY_AFTER } else { RESOLVE_EVERY };
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = until_told(&mut stopping) => return,
            }
            pause = if self.resolve().await { RESOLVE_EVERY } else { RETRY_AFTER };
        }
    }

    fn make_peer(&self, address: SocketAddr) -> HttpPeer {
        let name = self.address.rsplit_once(':').map_or(self.address.as_str(), |(name, _)| name);
        let mut peer = HttpPeer::new(address, self.tls, name.trim_matches(['[', ']']).to_owned());
        // Pingora sets no time limit at all.
        let options = &mut peer.options;
        options.connection_timeout = Some(Duration::from_secs(1));
        options.total_connection_timeout = Some(Duration::from_secs(2));
        // Between two reads, which long exports and event streams stay below.
        options.read_timeout = Some(Duration::from_secs(60));
        options.write_timeout = Some(Duration::from_secs(30));
        options.idle_timeout = Some(Duration::from_secs(60));
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: Duration::from_secs(60),
            interval: Duration::from_secs(10),
            count: 3,
            user_timeout: Duration::ZERO,
        });
        peer
    }
}

/// Tells the server who asks. Whatever the client said about that is replaced, never extended: the server
/// trusts these headers.
pub(crate) fn set_forwarded(
    request: &mut RequestHeader,
    visitor: std::net::IpAddr,
    is_https: bool,
    host: Option<HeaderValue>,
) -> pingora::Result<()> {
    let claims: Vec<HeaderName> = request.headers.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in &claims {
        request.remove_header(name);
    }
    let visitor = HeaderValue::try_from(visitor.to_string()).map_err(|error| {
        pingora::Error::because(pingora::ErrorType::InternalError, "address as a header", error)
    })?;
    request.insert_header(X_REAL_IP, visitor.clone())?;
    request.insert_header(X_FORWARDED_FOR, visitor)?;
    let scheme = if is_https { "https" } else { "http" };
    request.insert_header(X_FORWARDED_PROTO, HeaderValue::from_static(scheme))?;
    if let Some(host) = host {
        // The server sees the host that the client asked for, also where HTTP/2 carried it elsewhere.
        request.insert_header(http::header::HOST, host.clone())?;
        request.insert_header(X_FORWARDED_HOST, host)?;
    }
    Ok(())
}

/// Tells whether the header says something that only we may say.
fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "forwarded"
        || name == "x-real-ip"
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-vayro-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_the_client_are_replaced() {
        let mut request = RequestHeader::build("GET", b"/", None).expect("valid");
        for (name, value) in [
            ("X-Forwarded-For", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
            ("X-Forwarded-Prefix", "/evil"),
            ("Forwarded", "for=6.6.6.6"),
            ("X-Vayro-Demo-At", "1"),
            ("X-Real-IP", "6.6.6.6"),
            ("Cookie", "a=b"),
        ] {
            request.append_header(name, value).expect("valid");
        }
        let host = HeaderValue::from_static("api.example");
        set_forwarded(&mut request, [192, 0, 2, 1].into(), true, Some(host)).expect("valid");
        let mut lines: Vec<String> = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "cookie: a=b",
                "host: api.example",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: api.example",
                "x-forwarded-proto: https",
                "x-real-ip: 192.0.2.1",
            ]
        );
    }
}
