//! Listening, and stopping gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt as _;
use vayro_backends::Backends;

use crate::explain::{Explainer, VisitSettings};
use crate::router::{admin_router, router};
use crate::settings::ApiSettings;
use crate::state::{ApiState, SharedState};

/// Pause after the system refused to accept, for example because files ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often sessions that are over are removed.
const CLEAN_EVERY: Duration = Duration::from_hours(1);
/// Streams one HTTP/2 client may have at one time.
const STREAMS_MAX: u32 = 100;
/// Largest request head, in bytes.
const HEAD_SIZE_MAX: usize = 32 * 1024;
/// Connections of the admin listener at one time.
const ADMIN_CONNECTIONS_MAX: usize = 32;
/// How long questions on the admin listener may still run at the end.
const ADMIN_DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Serves the API on `backends`, like [`serve_state`].
pub async fn serve(
    settings: ApiSettings,
    backends: &Backends,
    listener: TcpListener,
    shutdown: watch::Receiver<bool>,
) {
    let explainer = Explainer::new(VisitSettings::default(), backends.shared_cache.clone());
    serve_state(Arc::new(ApiState::new(backends, settings, explainer)), listener, shutdown).await;
}

/// Answers requests on `listener` until `shutdown` is true, then finishes the running ones within
/// [`ApiSettings::drain_time_max`].
///
/// The process's outbox drainer, see [`Backends::spawn_drainer`], runs beside it.
pub async fn serve_state(state: SharedState, listener: TcpListener, mut shutdown: watch::Receiver<bool>) {
    let cleaning = tokio::spawn(clean_sessions(Arc::clone(&state)));
    let entrance = Entrance {
        app: router(Arc::clone(&state)),
        connections_max: state.settings.connections_max,
        head_time_max: state.settings.head_time_max,
        connections: Some(state.metrics.connections.clone()),
    };
    let graceful = entrance.accept(listener, &mut shutdown).await;
    state.is_draining.store(true, Ordering::Relaxed);
    state.live.close();
    let limit = state.settings.drain_time_max;
    let drained = async {
        graceful.shutdown().await;
        state.keyed_requests.ended().await;
    };
    if tokio::time::timeout(limit, drained).await.is_err() {
        tracing::warn!("requests were still running after {} seconds and were ended", limit.as_secs());
    }
    cleaning.abort();
}

/// Answers `/livez`, `/readyz` and `/metrics` on a listener of its own until `shutdown` is true, for a
/// process that is the API alone.
pub async fn serve_admin(state: SharedState, listener: TcpListener, mut shutdown: watch::Receiver<bool>) {
    let entrance = Entrance {
        app: admin_router(Arc::clone(&state)),
        connections_max: ADMIN_CONNECTIONS_MAX,
        head_time_max: state.settings.head_time_max,
        connections: None,
    };
    let graceful = entrance.accept(listener, &mut shutdown).await;
    if tokio::time::timeout(ADMIN_DRAIN_TIME_MAX, graceful.shutdown()).await.is_err() {
        tracing::debug!("a question on the admin listener was cut off");
    }
}

/// What is behind a listener, and how much of it at one time.
struct Entrance {
    app: Router,
    connections_max: usize,
    head_time_max: Duration,
    connections: Option<IntGauge>,
}

impl Entrance {
    /// Lets connections in until told to stop, then closes the listener and returns those still open.
    async fn accept(self, listener: TcpListener, shutdown: &mut watch::Receiver<bool>) -> GracefulShutdown {
        let permits = Arc::new(Semaphore::new(self.connections_max.max(1)));
        let graceful = GracefulShutdown::new();
        while !*shutdown.borrow() {
            tokio::select! {
                (stream, peer, permit) = accept_one(&listener, &permits) => {
                    self.connect(stream, peer, permit, &graceful);
                }
                result = shutdown.changed() => if result.is_err() { break },
            }
        }
        graceful
    }

    fn connect(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        graceful: &GracefulShutdown,
    ) {
        // Answers are small and written at once; waiting for more would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot set TCP_NODELAY");
        }
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_time_max)
            .max_buf_size(HEAD_SIZE_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .keep_alive_interval(self.head_time_max)
            .max_header_list_size(u32::try_from(HEAD_SIZE_MAX).unwrap_or(u32::MAX));
        let app = self.app.clone();
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            app.clone().oneshot(request)
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        let connections = self.connections.clone();
        if let Some(connections) = &connections {
            connections.inc();
        }
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &*error as &dyn std::error::Error, "connection ended early");
            }
            if let Some(connections) = connections {
                connections.dec();
            }
            drop(permit);
        });
    }
}

/// Accepts a connection once there is room for it; further ones wait in the system's queue.
async fn accept_one(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Removes sessions that are over, now and then.
async fn clean_sessions(state: SharedState) {
    let mut turn = tokio::time::interval(CLEAN_EVERY);
    loop {
        turn.tick().await;
        match state.ports.sessions.delete_expired(state.clock.now()).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "removed sessions that are over"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "sessions that are over stay");
            }
        }
    }
}
