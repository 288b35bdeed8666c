//! One edge from start to stop.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pingora::listeners::tls::Acceptor;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use vayro_backends::Backends;
use vayro_backends::handover::Inherited;
use vayro_core::host::Host;
use vayro_core::ports::{
    ClickSink, DomainStore, EdgeReports, InvalidationFeed, LedgerFile, LedgerStore, LinkLookup,
    ServedCertificates, TicketKeyStore,
};

use crate::admin::Observer;
use crate::admin_server;
use crate::server::{EdgeService, Listener};
use crate::settings::EdgeSettings;
use crate::shared::{Clock, Shared};
use crate::short_links::{Core, Running};
use crate::shutdown::{Drain, until_told};
use crate::tls::{CertificateError, Certificates, IssuedCertificates};
use crate::upgrade::{Upgrades, admin_socket, inherit_or_listen, visitors_socket};
use crate::upstream::Upstream;

/// File descriptors that are no connections of visitors: listeners, files, connections to back ends.
const OTHER_DESCRIPTORS: u64 = 512;
/// Tasks accepting on one listener; more only queue up on the same socket.
const ACCEPT_LOOPS_MAX: usize = 4;

/// What an edge needs from outside. Everything here lives on the runtime that calls [`Edge::bind`].
pub struct EdgeDeps {
    /// Name of this edge in reports: host and boot id.
    pub name: Arc<str>,
    /// Finds links, through the shared cache.
    pub lookup: Arc<dyn LinkLookup>,
    /// What changes; made before the edge, so that nothing between is missed.
    pub feed: Box<dyn InvalidationFeed>,
    /// Takes clicks, through the spool.
    pub sink: Arc<dyn ClickSink>,
    /// Where the edge says how it is.
    pub reports: Arc<dyn EdgeReports>,
    /// Where the edge keeps its own count of clicks through its death.
    pub ledger_file: Arc<dyn LedgerFile>,
    /// Where the counts of all edges come together.
    pub ledger: Arc<dyn LedgerStore>,
    /// The domains.
    pub domains: Arc<dyn DomainStore>,
    /// Certificates that were issued, and how to prove control of names.
    pub served: Arc<dyn ServedCertificates>,
    /// Keys of session tickets, which all edges share.
    pub tickets: Arc<dyn TicketKeyStore>,
    /// The host of the default domain.
    pub default_host: Host,
    /// Where links in memory are kept through the end of the process, if anywhere.
    pub snapshot: Option<PathBuf>,
    /// The time.
    pub clock: Clock,
}

impl EdgeDeps {
    /// Takes what an edge needs from `backends`, which must be connected for
    /// [`Roles::EDGE`](vayro_backends::Roles::EDGE).
    pub fn from_backends(backends: &Backends, default_host: Host) -> Self {
        Self {
            name: Arc::clone(&backends.name),
            lookup: Arc::clone(&backends.lookup),
            feed: backends.invalidations(),
            sink: Arc::clone(&backends.sink),
            reports: Arc::clone(&backends.reports),
            ledger_file: Arc::clone(&backends.ledger_file),
            ledger: Arc::clone(&backends.ledger),
            domains: Arc::clone(&backends.domains),
            served: Arc::clone(&backends.served),
            tickets: Arc::clone(&backends.tickets),
            default_host,
            snapshot: backends.snapshot_file.clone(),
            clock: Arc::new(vayro_backends::clock::now),
        }
    }
}

/// Why an edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// HTTPS without any certificate.
    #[error("edge listens for HTTPS but has no certificate")]
    NoCertificate,
}

/// Why an edge ended otherwise than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its thread cannot be started.
    #[error("cannot start the edge's thread")]
    Thread(#[source] io::Error),
    /// Its server died; what it had accepted was flushed all the same.
    #[error("edge server died")]
    Died,
}

/// Where an edge listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeAddresses {
    /// HTTP.
    pub http: Vec<SocketAddr>,
    /// HTTPS.
    pub https: Vec<SocketAddr>,
    /// Health, readiness and metrics.
    pub admin: Option<SocketAddr>,
}

/// An edge with its sockets bound.
pub struct Edge {
    core: Core,
    listeners: Vec<Listener>,
    admin: Option<TcpListener>,
    addresses: EdgeAddresses,
    tls: Option<Arc<Acceptor>>,
    upstreams: Vec<Arc<Upstream>>,
}

impl Edge {
    /// Reads what routing needs and binds every socket. The domains and the names of other servers may be
    /// out of reach; then they are tried again while the edge runs, and it is not ready until it knows the
    /// domains.
    ///
    /// # Errors
    ///
    /// [`BindError`]; nothing is bound then.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn bind(settings: EdgeSettings, deps: EdgeDeps) -> Result<Self, BindError> {
        Self::bind_or_inherit(settings, deps, Inherited::default()).await
    }

    /// The same, but takes sockets of the edge before this one where it has those of the settings.
    ///
    /// # Errors
    ///
    /// As [`Edge::bind`].
    ///
    /// # Panics
    ///
    /// As [`Edge::bind`].
    pub async fn bind_or_inherit(
        mut settings: EdgeSettings,
        deps: EdgeDeps,
        inherited: Inherited,
    ) -> Result<Self, BindError> {
        let is_tls = !settings.tls_listen.is_empty();
        let certificates =
            certificates(&settings, Arc::clone(&deps.served), Arc::clone(&deps.tickets), &deps.clock).await?;
        let tls = if !is_tls {
            None
        } else if settings.certificates.is_empty() && settings.acme.is_none() {
            return Err(BindError::NoCertificate);
        } else {
            Some(Arc::new(Acceptor::from_server_config(Arc::new(certificates.server_config()?))))
        };
        settings.connections_max = raise_descriptor_limit(settings.connections_max);
        let upstreams: Vec<(Host, Arc<Upstream>)> = settings
            .upstreams
            .iter()
            .map(|upstream| (upstream.host.clone(), Arc::new(Upstream::new(upstream))))
            .collect();
        let core = Core::new(settings, deps, certificates, upstreams.clone()).await;
        let upstreams: Vec<_> = upstreams.into_iter().map(|(_, upstream)| upstream).collect();
        for upstream in &upstreams {
            upstream.resolve().await;
        }
        let (listeners, admin, addresses) = listen_all(&core.shared.settings, inherited)?;
        Ok(Self { core, listeners, admin, addresses, tls, upstreams })
    }

    /// Returns where the edge listens, with the ports the kernel chose.
    pub fn addresses(&self) -> &EdgeAddresses {
        &self.addresses
    }

    /// Returns what sees into the edge while it runs.
    pub fn observer(&self) -> Observer {
        Observer { shared: Arc::clone(&self.core.shared) }
    }

    /// Lets the edge be upgraded by whoever asks for it in `data_dir`; `None` if that cannot be.
    pub fn upgrades(&self, data_dir: &Path) -> Option<Upgrades> {
        let (shared, snapshots) = (Arc::clone(&self.core.shared), self.core.snapshots.clone());
        Upgrades::listen(data_dir, self.sockets(), shared, snapshots)
    }

    /// Returns the sockets under the names by which a successor asks for them.
    fn sockets(&self) -> io::Result<Vec<(String, StdListener)>> {
        let mut sockets = Vec::new();
        for listener in &self.listeners {
            let name = visitors_socket(listener.configured, listener.is_tls);
            sockets.push((name, listener.socket.try_clone()?));
        }
        if let (Some(admin), Some(configured)) = (&self.admin, self.core.shared.settings.admin) {
            sockets.push((admin_socket(configured), admin.as_fd().try_clone_to_owned()?.into()));
        }
        Ok(sockets)
    }

    /// Serves until `shutdown` turns true, then drains and flushes every accepted click. For async callers;
    /// see [`Edge::run`].
    ///
    /// # Errors
    ///
    /// As [`Edge::run`].
    pub async fn serve(self, shutdown: watch::Receiver<bool>) -> Result<(), RunError> {
        let (done, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("edge".to_owned())
            .spawn(move || {
                // Nobody waits any more if the caller was dropped.
                drop(done.send(self.run(shutdown)));
            })
            .map_err(RunError::Thread)?;
        ended.await.unwrap_or(Err(RunError::Died))
    }

    /// Serves until `shutdown` turns true, then drains and flushes every accepted click. Blocks; must not
    /// be called on a thread of a tokio runtime, and the runtime of [`Edge::bind`] must go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`RunError`] when the server cannot start or dies; accepted clicks are flushed all the same.
    pub fn run(self, shutdown: watch::Receiver<bool>) -> Result<(), RunError> {
        let Self { core, listeners, admin, tls, upstreams, .. } = self;
        let (shared, runtime) = (Arc::clone(&core.shared), core.runtime.clone());
        let mut running = core.start();
        {
            let _context = runtime.enter();
            keep_current(&mut running, upstreams, tls.is_some());
            if let Some(listener) = admin {
                let observer = Observer { shared: Arc::clone(&shared) };
                let (stopping, mut handed_over) = (running.stop.subscribe(), shared.handed_over.subscribe());
                running.tasks.spawn(async move {
                    tokio::select! {
                        () = admin_server::serve(listener, observer, stopping) => {}
                        // The successor answers on the same socket.
                        () = until_told(&mut handed_over) => {}
                    }
                });
            }
        }

        let drain = Drain { shared: Arc::clone(&shared), shutdown };
        let serving = Arc::clone(&shared);
        // Pingora makes runtimes of its own and blocks on them, which no thread of a runtime may do.
        let server = std::thread::Builder::new()
            .name("edge-server".to_owned())
            .spawn(move || run_server(&serving, listeners, tls, drain));
        let ended = match server {
            Ok(server) => server.join().map_err(|_| RunError::Died),
            Err(error) => Err(RunError::Thread(error)),
        };

        // Nobody can accept a click any more: Pingora's runtimes are gone.
        runtime.block_on(running.finish());
        ended
    }
}

/// Keeps the addresses of other servers and the certificates current.
fn keep_current(running: &mut Running, upstreams: Vec<Arc<Upstream>>, has_certificates: bool) {
    for upstream in upstreams {
        let stopping = running.stop.subscribe();
        running.tasks.spawn(async move { upstream.keep_current(stopping).await });
    }
    if has_certificates {
        let (certified, stopping) = (Arc::clone(&running.shared), running.stop.subscribe());
        running.tasks.spawn(async move {
            let pause = certified.settings.certificate_reload;
            certified.certificates.keep_current(pause, stopping).await;
        });
    }
    if running.shared.certificates.issued().is_some() {
        let (certified, stopping) = (Arc::clone(&running.shared), running.stop.subscribe());
        running.tasks.spawn(async move {
            if let Some(issued) = certified.certificates.issued() {
                issued.keep_current(stopping).await;
            }
        });
    }
    if let Some(tickets) = running.shared.certificates.tickets() {
        let (tickets, stopping) = (Arc::clone(tickets), running.stop.subscribe());
        running.tasks.spawn(async move { tickets.keep_current(stopping).await });
    }
}

fn run_server(shared: &Arc<Shared>, listeners: Vec<Listener>, tls: Option<Arc<Acceptor>>, drain: Drain) {
    let threads = shared.settings.thread_count();
    let conf = ServerConf {
        // One by default, for each service.
        threads,
        listener_tasks_per_fd: threads.min(ACCEPT_LOOPS_MAX),
        work_stealing: true,
        // `Drain` has waited already; Pingora would sleep for five minutes.
        grace_period_seconds: Some(0),
        // Connections that are still open have used up their grace.
        graceful_shutdown_timeout_seconds: Some(1),
        // Counts tries, the first one included: one retry, for a kept connection that the server closed just
        // now, instead of sixteen.
        max_retries: 2,
        upstream_keepalive_pool_size: 128,
        // Never forks, never hands its sockets over; no file in a directory that everybody can write.
        daemon: false,
        pid_file: String::new(),
        upgrade_sock: String::new(),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let service = EdgeService::new(Arc::clone(shared), &server.configuration, listeners, tls);
    server.add_service(service);
    // Unlike `run_forever` this returns, and leaves signals and exit to us.
    server.run(RunArgs { shutdown_signal: Box::new(drain) });
}

fn listen_all(
    settings: &EdgeSettings,
    mut inherited: Inherited,
) -> Result<(Vec<Listener>, Option<TcpListener>, EdgeAddresses), BindError> {
    let mut listeners = Vec::new();
    let wanted = settings.listen.iter().map(|address| (address, false));
    for (address, is_tls) in wanted.chain(settings.tls_listen.iter().map(|address| (address, true))) {
        let listener = inherit_or_listen(&mut inherited, *address, is_tls)
            .map_err(|source| BindError::Listen { address: *address, source })?;
        listeners.push(listener);
    }
    let admin = match settings.admin {
        None => None,
        Some(address) => {
            let listener = inherited
                .take(&admin_socket(address))
                .map_or_else(|| StdListener::bind(address), Ok)
                .and_then(|listener| {
                    listener.set_nonblocking(true)?;
                    TcpListener::from_std(listener)
                });
            Some(listener.map_err(|source| BindError::Listen { address, source })?)
        }
    };
    let of = |is_tls| listeners.iter().filter(|l| l.is_tls == is_tls).map(|l| l.address).collect();
    let addresses = EdgeAddresses {
        http: of(false),
        https: of(true),
        admin: admin.as_ref().and_then(|listener| listener.local_addr().ok()),
    };
    Ok((listeners, admin, addresses))
}

/// Reads the certificates, from files and the database. If the database is away it is tried again while the edge runs.
async fn certificates(
    settings: &EdgeSettings,
    served: Arc<dyn ServedCertificates>,
    tickets: Arc<dyn TicketKeyStore>,
    clock: &Clock,
) -> Result<Certificates, CertificateError> {
    let files = settings.certificates.clone();
    let Some(acme) = settings.acme.as_ref().filter(|_| !settings.tls_listen.is_empty()) else {
        return Certificates::load(files, None);
    };
    let issued = IssuedCertificates::new(Arc::clone(acme), served);
    issued.refresh().await;
    let mut certificates = Certificates::load(files, Some(issued))?;
    certificates.share_tickets(Arc::clone(acme), tickets, Arc::clone(clock))?.refresh().await;
    Ok(certificates)
}

/// Lets the process open as many files as `connections` need, and returns how many connections that allows.
/// Without it the usual limit of 1024 is reached first, and then nothing at all can be opened.
fn raise_descriptor_limit(connections: usize) -> usize {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_DESCRIPTORS);
    let Ok(limit) = rlimit::increase_nofile_limit(wanted) else { return connections };
    if limit >= wanted {
        return connections;
    }
    let allowed = usize::try_from(limit.saturating_sub(OTHER_DESCRIPTORS)).unwrap_or(usize::MAX).max(64);
    tracing::warn!(connections = allowed, "limit of open files allows fewer connections than configured");
    allowed
}
