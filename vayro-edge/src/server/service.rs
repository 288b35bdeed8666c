//! The accept loops, as a service of Pingora's server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::apps::{HttpServerApp as _, HttpServerOptions};
use pingora::listeners::tls::Acceptor;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Listener;
use super::connection::{Accepted, Handler};
use crate::log_limit::LogLimit;
use crate::proxy::EdgeProxy;
use crate::shared::Shared;
use crate::shutdown::until_told;

/// Pause after an accept that failed for want of resources; the next one would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections on every listener and serves them.
pub(crate) struct EdgeService {
    shared: Arc<Shared>,
    proxy: Arc<HttpProxy<EdgeProxy>>,
    listeners: Vec<Listener>,
    tls: Option<Arc<Acceptor>>,
}

impl EdgeService {
    /// Makes the service; `tls` is needed by TLS listeners.
    pub(crate) fn new(
        shared: Arc<Shared>,
        conf: &Arc<ServerConf>,
        listeners: Vec<Listener>,
        tls: Option<Arc<Acceptor>>,
    ) -> Self {
        let mut proxy = http_proxy(conf, EdgeProxy::new(Arc::clone(&shared)));
        let mut options = HttpServerOptions::default();
        options.allow_connect_method_proxying = false;
        proxy.server_options = Some(options);
        Self { shared, proxy: Arc::new(proxy), listeners, tls }
    }

    fn spawn_accept_loops(&mut self, per_listener: usize) -> io::Result<Vec<tokio::task::JoinHandle<()>>> {
        let handler = Handler { shared: Arc::clone(&self.shared), proxy: Arc::clone(&self.proxy) };
        let mut loops = Vec::new();
        for listener in self.listeners.drain(..) {
            let socket = Arc::new(TcpListener::from_std(listener.socket)?);
            let acceptor = self.tls.clone().filter(|_| listener.is_tls);
            for _ in 0..per_listener.max(1) {
                loops.push(tokio::spawn(accept(handler.clone(), Arc::clone(&socket), acceptor.clone())));
            }
        }
        Ok(loops)
    }
}

#[async_trait]
impl Service for EdgeService {
    // Pingora's table of inherited sockets is not used: the sockets were bound before the server started.
    // Its shutdown signal comes after our own drain and has nothing to add.
    async fn start_service(&mut self, _: Option<ListenFds>, _: ShutdownWatch, listeners_per_fd: usize) {
        let mut draining = self.shared.draining.subscribe();
        let loops = match self.spawn_accept_loops(listeners_per_fd) {
            Ok(loops) => loops,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot take connections");
                return;
            }
        };
        self.shared.is_serving.store(true, Ordering::Release);
        until_told(&mut draining).await;
        self.shared.is_serving.store(false, Ordering::Release);
        for accept_loop in loops {
            drop(accept_loop.await);
        }
        // Wakes sessions that wait inside Pingora.
        self.proxy.http_cleanup().await;
    }

    fn name(&self) -> &'static str {
        "edge"
    }
}

async fn accept(handler: Handler, socket: Arc<TcpListener>, acceptor: Option<Arc<Acceptor>>) {
    let draining = handler.shared.draining.subscribe();
    let mut waiting = draining.clone();
    let mut drained = std::pin::pin!(until_told(&mut waiting));
    let failures = LogLimit::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = &mut drained => return,
        };
        match accepted {
            Ok((tcp, peer)) => take(&handler, tcp, peer, acceptor.clone(), draining.clone()),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                if let Some(held_back) = failures.turn((handler.shared.clock)()) {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, held_back, "connections cannot be taken");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn take(
    handler: &Handler,
    tcp: TcpStream,
    peer: SocketAddr,
    acceptor: Option<Arc<Acceptor>>,
    draining: watch::Receiver<bool>,
) {
    let shared = &handler.shared;
    let Ok(mut permit) = shared.connections.admit() else {
        shared.metrics.connections_refused_total.add_one();
        return;
    };
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    if shared.is_balancer(peer.ip()) {
        let handler = handler.clone();
        tokio::spawn(async move {
            handler.serve_balanced(tcp, peer, &mut permit, acceptor, draining).await;
        });
    } else if handler.admit(&mut permit, peer.ip()) {
        let handler = handler.clone();
        tokio::spawn(async move {
            let _permit = permit;
            handler.serve(Accepted { tcp, peer, unread: Bytes::new() }, acceptor, draining).await;
        });
    }
}

/// The client gave up between its handshake and our accept; the next connection is fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
