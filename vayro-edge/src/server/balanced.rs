//! Connections that a balancer brings: whose they are stands in the PROXY header before anything else.

use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use pingora::time::timeout;
use tokio::net::TcpStream;

use super::head::read_some;
use super::proxy_header::{HeaderError, ProxyHeader, parse};
use crate::shared::Shared;
use crate::shutdown::until_told;

/// What came before a connection's own bytes.
#[derive(Debug)]
pub(crate) struct Introduction {
    /// Who is connected with the balancer; `None` if that is the balancer itself, or it does not know.
    pub(crate) visitor: Option<SocketAddr>,
    /// What came behind the header, not longer than one read.
    pub(crate) unread: Bytes,
}

/// Why there is none.
#[derive(Debug)]
enum Failure {
    Header(HeaderError),
    Closed,
    TimedOut,
}

/// Reads the header within `edge.head_timeout`; `None` if the connection must be closed without an answer.
pub(crate) async fn introduced(shared: &Shared, tcp: &mut TcpStream) -> Option<Introduction> {
    let mut buffer = BytesMut::new();
    let mut waiting = shared.idle_ends.subscribe();
    let read = tokio::select! {
        // A header that is there already is still read.
        biased;
        read = timeout(shared.settings.head_timeout, read_header(tcp, &mut buffer)) => {
            read.unwrap_or(Err(Failure::TimedOut))
        }
        () = until_told(&mut waiting) => Err(Failure::Closed),
    };
    let metrics = &shared.metrics;
    let (counter, alert) = match read {
        Ok(ProxyHeader { len, visitor }) => {
            let counter =
                if visitor.is_some() { &metrics.proxy_headers_visitor } else { &metrics.proxy_headers_local };
            counter.add_one();
            buffer.advance(len);
            return Some(Introduction { visitor, unread: buffer.freeze() });
        }
        // Balancers open and close connections to see whether anybody listens.
        Err(Failure::Closed) => (&metrics.proxy_headers_closed, None),
        // Some bring the header along with the visitor's first bytes, which may never come.
        Err(Failure::TimedOut) => (&metrics.proxy_headers_timed_out, None),
        Err(Failure::Header(HeaderError::Missing)) => (&metrics.proxy_headers_missing, Some("missing")),
        Err(Failure::Header(HeaderError::Malformed)) => (&metrics.proxy_headers_malformed, Some("malformed")),
        Err(Failure::Header(HeaderError::TooLong)) => (&metrics.proxy_headers_too_long, Some("too long")),
    };
    counter.add_one();
    if let Some(reason) = alert
        && let Some(held_back) = shared.header_alerts.turn((shared.clock)())
    {
        tracing::warn!(
            reason,
            held_back,
            "connection from a network in `edge.proxy_protocol_from` was closed, its PROXY header is {reason}"
        );
    }
    None
}

/// Reads until `buffer` begins with a whole header; it never holds more than one read beyond the longest one.
async fn read_header(tcp: &mut TcpStream, buffer: &mut BytesMut) -> Result<ProxyHeader, Failure> {
    loop {
        if let Some(header) = parse(buffer).map_err(Failure::Header)? {
            return Ok(header);
        }
        if !matches!(read_some(tcp, buffer).await, Ok(count) if count > 0) {
            return Err(Failure::Closed);
        }
    }
}
