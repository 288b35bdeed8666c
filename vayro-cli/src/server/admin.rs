//! Health, readiness and metrics of every role, on one listener.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use vayro_api::SharedState;
use vayro_edge::admin::Observer;
use vayro_worker::WorkerHandle;

/// Most connections; whoever watches needs one.
const CONNECTIONS_MAX: usize = 32;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the listener looks into.
#[derive(Clone)]
pub struct Watched {
    /// The edge.
    pub edge: Observer,
    /// The API.
    pub api: SharedState,
    /// The worker.
    pub worker: WorkerHandle,
    /// Whether the process is about to stop.
    pub is_stopping: Arc<AtomicBool>,
}

impl Watched {
    /// Tells whether every role works, with what each says about itself.
    pub async fn readiness(&self) -> (bool, serde_json::Value) {
        let edge = vayro_edge::admin::readiness(&self.edge);
        let api = vayro_api::is_ready(&self.api).await;
        let worker = self.worker.state();
        let is_stopping = self.is_stopping.load(Ordering::Acquire);
        let is_ready = edge.ready && api.is_ok() && worker.is_ready() && !is_stopping;
        let parts = serde_json::json!({
            "ready": is_ready,
            "stopping": is_stopping,
            "edge": edge,
            "api": { "ready": api.is_ok(), "reason": api.err() },
            "worker": { "ready": worker.is_ready(), "parts": worker, "geoip": self.worker.geoip() },
        });
        (is_ready, parts)
    }

    fn metrics(&self) -> String {
        let mut text = vayro_edge::admin::metrics_text(&self.edge);
        text.push_str(&self.api.metrics.text());
        text.push_str(&self.worker.metrics());
        text
    }
}

/// Answers until `shutdown` turns true.
///
/// # Panics
///
/// Never: the semaphore is not closed.
pub async fn serve(listener: TcpListener, watched: Watched, mut shutdown: watch::Receiver<bool>) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&free).acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|is_told| *is_told) => return,
        };
        match accepted {
            Ok((connection, _)) => {
                let watched = watched.clone();
                tokio::spawn(async move {
                    let served =
                        tokio::time::timeout(CONNECTION_TIMEOUT, converse(connection, watched)).await;
                    tracing::debug!(?served, "admin connection ended");
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "an admin connection was not accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(connection: TcpStream, watched: Watched) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| {
        let watched = watched.clone();
        async move { Ok::<_, Infallible>(answer(&watched, request.method(), request.uri().path()).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(connection), service)
        .await
}

async fn answer(watched: &Watched, method: &Method, path: &str) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/livez" => response(StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" => {
            let (is_ready, parts) = watched.readiness().await;
            let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            response(status, "application/json", parts.to_string())
        }
        "/metrics" => response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", watched.metrics()),
        _ => response(StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
