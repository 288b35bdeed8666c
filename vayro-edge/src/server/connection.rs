//! One connection from accept to close.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora::listeners::ALPN;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::ext::set_tcp_keepalive;
use pingora::protocols::{Stream, TcpKeepalive};
use pingora::proxy::HttpProxy;
use pingora::time::timeout;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::balanced::introduced;
use super::head::HeadLimits;
use super::io::Connection;
use super::limits::Permit;
use super::{h1, h2};
use crate::lane::Lane;
use crate::proxy::EdgeProxy;
use crate::shared::Shared;

/// Finds out about clients that vanished without a word.
const KEEPALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(15),
    count: 4,
    user_timeout: Duration::ZERO,
};

/// A connection whose visitor is known.
pub(crate) struct Accepted {
    pub(crate) tcp: TcpStream,
    /// Its address has one form only: IPv4 is never written as IPv6.
    pub(crate) peer: SocketAddr,
    /// What was read already.
    pub(crate) unread: Bytes,
}

/// What serves connections.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) shared: Arc<Shared>,
    pub(crate) proxy: Arc<HttpProxy<EdgeProxy>>,
}

impl Handler {
    /// Returns the limits of request heads.
    pub(crate) fn head_limits(&self) -> HeadLimits {
        HeadLimits { time: self.shared.settings.head_timeout, size: self.shared.settings.head_size }
    }

    /// Counts a connection for its visitor; false if there are too many from that address. Our own proxies bring the
    /// visitors of many and count only in all.
    pub(crate) fn admit(&self, permit: &mut Permit, visitor: IpAddr) -> bool {
        let metrics = &self.shared.metrics;
        if !self.shared.is_trusted(visitor) && permit.count_for(visitor).is_err() {
            metrics.connections_refused_address.add_one();
            return false;
        }
        metrics.connections_accepted.add_one();
        true
    }

    /// Finds out whose connection `balancer` brings, and serves it until it ends.
    pub(crate) async fn serve_balanced(
        &self,
        mut tcp: TcpStream,
        balancer: SocketAddr,
        permit: &mut Permit,
        acceptor: Option<Arc<Acceptor>>,
        draining: watch::Receiver<bool>,
    ) {
        let Some(introduction) = introduced(&self.shared, &mut tcp).await else { return };
        let peer = match introduction.visitor {
            Some(visitor) if self.admit(permit, visitor.ip()) => visitor,
            Some(_) => return,
            // Its own connections, such as health checks, count only in all.
            None => {
                self.shared.metrics.connections_accepted.add_one();
                balancer
            }
        };
        let accepted = Accepted { tcp, peer, unread: introduction.unread };
        self.serve(accepted, acceptor, draining).await;
    }

    /// Serves a connection until it ends.
    pub(crate) async fn serve(
        &self,
        Accepted { tcp, peer, unread }: Accepted,
        acceptor: Option<Arc<Acceptor>>,
        draining: watch::Receiver<bool>,
    ) {
        // An answer leaves in one write; waiting for more to send would only delay it.
        if tcp.set_nodelay(true).is_err() || set_tcp_keepalive(&tcp, &KEEPALIVE).is_err() {
            // Only fails when the client is gone.
            return;
        }
        let connection = Connection::new(tcp, unread, peer, self.shared.settings.write_timeout);
        let is_tls = acceptor.is_some();
        let stream = match acceptor {
            None => Box::new(connection),
            Some(acceptor) => match self.handshake(connection, &acceptor).await {
                Some(stream) => stream,
                None => return,
            },
        };
        let lane = Lane::new(&self.shared, peer.ip(), is_tls);
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            h2::serve(self, stream, lane, &draining).await;
        } else {
            h1::serve(self, stream, lane, &draining).await;
        }
    }

    async fn handshake(&self, connection: Connection, acceptor: &Acceptor) -> Option<Stream> {
        let metrics = &self.shared.metrics;
        match timeout(self.shared.settings.handshake_timeout, acceptor.tls_handshake(connection)).await {
            Ok(Ok(stream)) => {
                metrics.handshakes_done.add_one();
                Some(Box::new(stream))
            }
            // Scanners fail all day long: a number, not a line.
            Ok(Err(error)) => {
                metrics.handshakes_failed.add_one();
                tracing::debug!(error = &*error as &dyn std::error::Error, "TLS handshake failed");
                None
            }
            Err(_) => {
                metrics.handshakes_timed_out.add_one();
                None
            }
        }
    }
}
