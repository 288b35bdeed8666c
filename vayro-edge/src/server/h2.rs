//! HTTP/2 connections: Pingora's loop, once the client has shown that it speaks HTTP/2.

use bytes::BytesMut;
use pingora::apps::{HttpServerOptions, ServerApp as _};
use pingora::protocols::Stream;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::time::timeout;
use tokio::sync::watch;

use super::connection::Handler;
use super::head::read_some;
use super::prefixed::Prefixed;
use crate::settings::EdgeSettings;

/// RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves one connection until it ends.
pub(crate) async fn serve(handler: &Handler, mut stream: Stream, draining: &watch::Receiver<bool>) {
    // Pingora waits for the preface without an end and logs an error for each one that never comes.
    let mut buffer = BytesMut::new();
    let preface = timeout(handler.shared.settings.head_timeout, async {
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
    // Returns `None`: an HTTP/2 connection is served to its end.
    drop(handler.proxy.process_new(stream, draining).await);
}

/// Returns the limits of HTTP/2 connections.
pub(crate) fn options(settings: &EdgeSettings) -> H2Options {
    // Built on Pingora's defaults: those of the h2 crate allow 16 MiB of headers and any number of streams.
    let mut options = default_h2_options();
    options.max_header_list_size(u32::try_from(settings.head_size).unwrap_or(u32::MAX));
    options.max_concurrent_streams(settings.h2_streams_max);
    options
}

/// Returns what applies to connections of both protocols.
pub(crate) fn server_options(settings: &EdgeSettings) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    // HTTP/2 without TLS is nothing browsers speak.
    options.h2c = false;
    options.allow_connect_method_proxying = false;
    options.keepalive_request_limit = Some(settings.requests_per_connection);
    // No limit by default: an idle connection would live until the client goes away.
    options.h2_idle_timeout = Some(settings.idle_timeout);
    options
}
