//! HTTP/2 connections: the fast lane answers what it can, every other request goes through Pingora on a task of its
//! own.

use std::future::{Future as _, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use h2::server::Connection;
use pingora::apps::HttpServerApp as _;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake};
use pingora::protocols::{Digest, Stream};
use pingora::time::timeout;
use tokio::sync::watch;

use super::connection::Handler;
use super::head::read_some;
use super::idle::{Idle, Seldom};
use super::prefixed::Prefixed;
use crate::lane::Lane;
use crate::settings::EdgeSettings;
use crate::shutdown::until_told;

/// RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Malformed requests that a connection may send before it is closed; Pingora's own loop allows as many.
const MALFORMED_MAX: u32 = 32;

/// Requests taken before any of them is answered.
const TAKEN_MAX: usize = 64;

/// Serves one connection until it ends.
pub(crate) async fn serve(
    handler: &Handler,
    mut stream: Stream,
    lane: Lane,
    draining: &watch::Receiver<bool>,
) {
    let shared = &*handler.shared;
    // Pingora waits for the preface without an end.
    let mut buffer = BytesMut::new();
    let preface = timeout(shared.settings.head_timeout, async {
        while buffer.len() < PREFACE.len() {
            if !matches!(read_some(&mut stream, &mut buffer).await, Ok(count) if count > 0) {
                return false;
            }
        }
        buffer.starts_with(PREFACE)
    });
    if !matches!(preface.await, Ok(true)) {
        stream.shutdown().await;
        return;
    }
    let stream: Stream = Box::new(Prefixed::new(buffer.freeze(), stream));
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let Ok(mut connection) = handshake(stream, Some(options(&shared.settings))).await else { return };

    let idle = Arc::new(Idle::new());
    let over = std::pin::pin!(idle.until_over(shared.settings.idle_timeout));
    let mut over = Seldom::new(over);
    let mut waiting = draining.clone();
    let told = std::pin::pin!(until_told(&mut waiting));
    let mut told = Seldom::new(told);
    let mut says_goodbye = false;
    let mut malformed = 0;
    let mut is_open = true;
    while is_open {
        // Not kept: a connection that asked for much at once would hold that memory while it is idle.
        let mut came = Vec::new();
        tokio::select! {
            biased;
            () = &mut told, if !says_goodbye => {
                // Requests that are under way are still answered, the client makes no new ones.
                connection.graceful_shutdown();
                says_goodbye = true;
                continue;
            }
            goes_on = accept(&mut connection, &digest, &mut came) => is_open = goes_on,
            () = &mut over => return,
        }
        idle.begin();
        for request in came {
            match request {
                H2Accept::Session(mut session) => {
                    if !lane.answer_stream(shared, &mut session) {
                        pass_on(handler, session, &idle, draining);
                    }
                }
                H2Accept::Rejected if malformed < MALFORMED_MAX => malformed += 1,
                H2Accept::Rejected => return,
            }
        }
    }
}

/// Waits for requests and takes all that came: each further wait sends what was answered before it, so that answers
/// to requests of one read leave in one write. False if the connection ends; clients that just leave are nobody's
/// fault.
///
/// Whoever waits here also moves everything else on the connection.
async fn accept(
    connection: &mut Connection<Stream, Bytes>,
    digest: &Arc<Digest>,
    came: &mut Vec<H2Accept>,
) -> bool {
    poll_fn(|cx| {
        while came.len() < TAKEN_MAX {
            let next = std::pin::pin!(HttpSession::from_h2_conn(connection, Arc::clone(digest)));
            match next.poll(cx) {
                Poll::Ready(Ok(Some(request))) => came.push(request),
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(false),
                Poll::Pending if came.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(true)
    })
    .await
}

/// Lets Pingora answer a request; its connection is not idle meanwhile.
fn pass_on(handler: &Handler, session: HttpSession, idle: &Arc<Idle>, draining: &watch::Receiver<bool>) {
    let (proxy, draining) = (Arc::clone(&handler.proxy), draining.clone());
    let busy = idle.busy();
    tokio::spawn(async move {
        drop(proxy.process_new_http(ServerSession::new_http2(session), &draining).await);
        drop(busy);
    });
}

/// Returns the limits of HTTP/2 connections.
fn options(settings: &EdgeSettings) -> H2Options {
    // Built on Pingora's defaults: those of the h2 crate allow 16 MiB of headers and any number of streams.
    let mut options = default_h2_options();
    options.max_header_list_size(u32::try_from(settings.head_size).unwrap_or(u32::MAX));
    options.max_concurrent_streams(settings.h2_streams_max);
    options
}
