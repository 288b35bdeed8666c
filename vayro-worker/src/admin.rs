//! Health, readiness and metrics on a listener of their own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::stop::Stop;
use crate::worker::WorkerHandle;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 32;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after the system refuses a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound admin listener.
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until stopping is asked for.
    pub(crate) async fn serve(self, worker: WorkerHandle, mut stop: Stop) {
        let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let permit = Arc::clone(&free).acquire_owned().await.expect("the semaphore is never closed");
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.requested() => return,
            };
            match accepted {
                Ok((connection, _)) => {
                    let worker = worker.clone();
                    tokio::spawn(async move {
                        let served =
                            tokio::time::timeout(CONNECTION_TIMEOUT, converse(connection, worker)).await;
                        tracing::debug!(?served, "admin connection ended");
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %error, "admin connection was not accepted: {error}");
                    if !stop.pause(ACCEPT_PAUSE).await {
                        return;
                    }
                }
            }
        }
    }
}

async fn converse(connection: TcpStream, worker: WorkerHandle) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(
            TokioIo::new(connection),
            service_fn(async |request| Ok::<_, Infallible>(answer(&request, &worker))),
        )
        .await
}

fn answer(request: &Request<Incoming>, worker: &WorkerHandle) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "method not allowed\n".to_owned());
    }
    match request.uri().path() {
        "/health" => response(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/ready" => {
            let state = worker.state();
            let status = if state.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let body =
                serde_json::json!({ "ready": state.is_ready(), "parts": state, "geoip": worker.geoip() });
            response(status, "application/json", body.to_string())
        }
        "/metrics" => response(StatusCode::OK, "text/plain; version=0.0.4", worker.metrics()),
        _ => response(StatusCode::NOT_FOUND, "text/plain", "not found\n".to_owned()),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
