//! HTTP/1 connections: the fast lane answers what it can, the rest goes into Pingora's session, one whole request
//! head after the other.

use std::future::Future;

use bytes::{Buf as _, BytesMut};
use pingora::apps::HttpServerApp;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;

use super::connection::Handler;
use super::head::{Extent, Head, finish_head, read_through};
use super::idle::{Idle, Seldom};
use crate::lane::{Answers, Lane};
use crate::shared::Shared;
use crate::shutdown::until_told;

const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves one connection until it ends.
pub(crate) async fn serve(
    handler: &Handler,
    mut stream: Stream,
    lane: Lane,
    draining: &watch::Receiver<bool>,
) {
    let shared = &*handler.shared;
    let mut waiting = shared.idle_ends.subscribe();
    let idle = Idle::new();
    let ends = std::pin::pin!(async {
        tokio::select! {
            () = idle.until_over(shared.settings.idle_timeout) => {}
            () = until_told(&mut waiting) => {}
        }
    });
    let mut ends = Seldom::new(ends);
    let mut buffer = BytesMut::new();
    let mut requests_left = shared.settings.requests_per_connection;
    loop {
        while buffer.is_empty() {
            let mut answers = Answers::take();
            let answer = |bytes: &[u8]| lane.answer(shared, bytes, &mut requests_left, &mut answers);
            idle.begin();
            let has_come = wait_for_request(&mut stream, &mut buffer, answer, &mut ends).await;
            if !has_come || !send(shared, &mut stream, answers).await {
                return close(stream).await;
            }
        }
        let extent = match finish_head(&mut stream, &mut buffer, handler.head_limits()).await {
            Head::Complete(extent) => extent,
            Head::Closed => return,
            Head::TimedOut => {
                shared.metrics.heads_timed_out.add_one();
                return refuse(stream, TOO_SLOW).await;
            }
            Head::TooLarge => {
                shared.metrics.heads_too_large.add_one();
                return refuse(stream, TOO_LARGE).await;
            }
        };
        // It came in pieces, or behind another one.
        let mut answers = Answers::take();
        let answered = lane.answer(shared, &buffer, &mut requests_left, &mut answers);
        if !send(shared, &mut stream, answers).await {
            return close(stream).await;
        }
        if answered > 0 {
            buffer.advance(answered);
            continue;
        }
        requests_left = requests_left.saturating_sub(1);
        let session = make_session(handler, stream, take_request(&mut buffer, extent), requests_left);
        match handler.proxy.process_new_http(session, draining).await {
            Some(reused) => stream = reused.consume().0,
            None => return,
        }
    }
}

/// Waits for the first bytes of the next requests, of which `answer` may take the first ones; false when the
/// connection `ends` instead.
async fn wait_for_request(
    stream: &mut Stream,
    buffer: &mut BytesMut,
    answer: impl FnMut(&[u8]) -> usize,
    ends: impl Future<Output = ()>,
) -> bool {
    tokio::select! {
        // A request that is there already is still answered.
        biased;
        read = read_through(stream, buffer, answer) => matches!(read, Ok(count) if count > 0),
        () = ends => false,
    }
}

/// Sends what was answered, if anything, in one write; false if the connection ends with it.
async fn send(shared: &Shared, stream: &mut Stream, mut answers: Answers) -> bool {
    if !answers.bytes.is_empty() {
        if stream.write_all(&answers.bytes).await.is_err() || stream.flush().await.is_err() {
            return false;
        }
        answers.sent(shared);
    }
    let goes_on = !answers.closes;
    answers.give_back();
    goes_on
}

/// Cuts the request off the buffer. If a body may follow, Pingora gets everything that came and closes the
/// connection should there be more than this request.
fn take_request(buffer: &mut BytesMut, extent: Extent) -> BytesMut {
    if extent.has_no_body && extent.len < buffer.len() {
        buffer.split_to(extent.len)
    } else {
        std::mem::take(buffer)
    }
}

fn make_session(handler: &Handler, stream: Stream, request: BytesMut, requests_left: u32) -> ServerSession {
    let settings = &handler.shared.settings;
    let mut session = ServerSession::new_http1(stream);
    // The wait for the next request is ours, so Pingora's endless keep-alive does not matter. `Some(0)`
    // would mean endless, `None` none at all.
    session.set_keepalive(Some(settings.idle_timeout.as_secs().max(1)));
    session.set_keepalive_reuses_remaining(Some(requests_left));
    // Applies to each read of a body.
    session.set_read_timeout(Some(settings.idle_timeout));
    // A body that nobody wants is read to its end for this long, then the connection closes.
    session.set_total_drain_timeout(Some(settings.head_timeout));
    session.set_pipelined_prefix(request);
    session
}

async fn refuse(mut stream: Stream, answer: &'static [u8]) {
    // Best effort: the client may be gone, and is about to be.
    if stream.write_all(answer).await.is_ok() {
        drop(stream.flush().await);
    }
    close(stream).await;
}

async fn close(mut stream: Stream) {
    // The client may be gone already.
    drop(stream.shutdown().await);
}
