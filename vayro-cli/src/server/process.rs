//! Every role in one process: from settings to a running server, and back to nothing.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;
use vayro_api::{ApiState, Explainer, SharedState};
use vayro_backends::config::BackendConfig;
use vayro_backends::{Backends, Roles, SchemaState, clock};
use vayro_edge::{BindError, Edge, EdgeDeps};
use vayro_worker::{Worker, WorkerDeps};

use super::admin::{self, Watched};
use super::config::connect;
use super::listen::{cannot_listen, listen, reachable};
use super::settings::ServerSettings;
use crate::error::CommandError;

/// File in the data directory that the running process holds locked.
const LOCK_FILE: &str = "vayro.lock";
/// How long the roles may take to say that they are ready.
const READY_MAX: Duration = Duration::from_secs(30);
/// Time between two looks at whether they are.
const READY_PAUSE: Duration = Duration::from_millis(20);

/// Which addresses are the default ones, to be replaced by what was really bound.
#[derive(Clone, Copy, Debug)]
pub struct Defaulted {
    /// `instance.short_url`.
    pub short_url: bool,
    /// `instance.api_url`.
    pub api_url: bool,
}

/// Where everything listens, as addresses to type.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The edge's, HTTP first.
    pub edge: Vec<String>,
    /// The API's.
    pub api: String,
    /// That of health, readiness and metrics; `None` if switched off.
    pub admin: Option<String>,
}

/// Everything bound and connected, nothing running.
pub struct Bound {
    backends: Backends,
    edge: Edge,
    worker: Worker,
    api_listener: TcpListener,
    admin_listener: Option<TcpListener>,
    /// The API's state, for making the first account.
    pub api: SharedState,
    /// Where everything listens.
    pub addresses: Addresses,
    /// Directory of the data, whole.
    pub data_dir: PathBuf,
    lock: File,
}

/// Returns the directory of the data.
pub const fn data_dir(backend: &BackendConfig) -> &PathBuf {
    match backend {
        BackendConfig::Clustered(config) => &config.data_dir,
        BackendConfig::Embedded(config) => &config.data_dir,
    }
}

/// Connects the back ends, brings the schema up to date and binds every address.
///
/// # Errors
///
/// A failure that says what to do about it; nothing stays bound or locked then.
pub async fn bind(settings: ServerSettings, defaulted: Defaulted) -> Result<Bound, CommandError> {
    let data_dir = make_data_dir(data_dir(&settings.common.backend))?;
    let lock = lock(&data_dir)?;
    let backends = connect(&settings.common.backend, Roles::ALL).await?;
    match bind_roles(settings, defaulted, &backends).await {
        Ok((edge, worker, api_listener, admin_listener, api, addresses)) => {
            Ok(Bound { backends, edge, worker, api_listener, admin_listener, api, addresses, data_dir, lock })
        }
        Err(error) => {
            backends.close().await;
            Err(error)
        }
    }
}

type Roled = (Edge, Worker, TcpListener, Option<TcpListener>, SharedState, Addresses);

async fn bind_roles(
    mut settings: ServerSettings,
    defaulted: Defaulted,
    backends: &Backends,
) -> Result<Roled, CommandError> {
    migrate(backends).await?;
    let host = settings.common.instance.default_host();
    backends.domains.ensure_default(&host, clock::now()).await.map_err(database_failed)?;

    // One listener serves the metrics of all roles.
    let admin_address = settings.edge.admin.take();
    settings.worker.admin = None;
    let edge =
        Edge::bind(settings.edge, EdgeDeps::from_backends(backends, host)).await.map_err(edge_failed)?;
    let (api_listener, api_address) = listen(settings.api.listen, "--api").await?;
    let admin = match admin_address {
        Some(address) => Some(listen(address, "--admin").await?),
        None => None,
    };
    let api_url = format!("http://{}", reachable(api_address));
    if let Some(address) = edge.addresses().http.first().filter(|_| defaulted.short_url) {
        settings.api.short_url = local_url(&settings.api.short_url, reachable(*address).port());
    }
    if defaulted.api_url {
        settings.api.api_url = local_url(&settings.api.api_url, reachable(api_address).port());
    }
    let worker = Worker::new(settings.worker, WorkerDeps::new(backends))
        .await
        .map_err(|error| CommandError::failed("the worker cannot start").caused_by(error))?;
    let observer = edge.observer();
    let explainer = Explainer::new(settings.visits, backends.shared_cache.clone())
        .beside(Arc::new(move |key| observer.remembered(key)), worker.enricher());
    let api = Arc::new(ApiState::new(backends, settings.api, explainer));

    let http = edge.addresses().http.iter().map(|address| format!("http://{}", reachable(*address)));
    let https = edge.addresses().https.iter().map(|address| format!("https://{}", reachable(*address)));
    let addresses = Addresses {
        edge: http.chain(https).collect(),
        api: api_url,
        admin: admin.as_ref().map(|(_, address)| format!("http://{}", reachable(*address))),
    };
    Ok((edge, worker, api_listener, admin.map(|(listener, _)| listener), api, addresses))
}

/// Makes the directory, for its owner alone, and returns its whole path.
fn make_data_dir(dir: &Path) -> Result<PathBuf, CommandError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = |error: io::Error| {
        CommandError::failed(format!("cannot use the data directory `{}`", dir.display()))
            .caused_by(error)
            .hint("name another one with `--data-dir`")
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    dir.canonicalize().map_err(failed)
}

/// Takes the directory for this process, until the file is closed.
fn lock(dir: &Path) -> Result<File, CommandError> {
    let path = dir.join(LOCK_FILE);
    let failed =
        |error: io::Error| CommandError::failed(format!("cannot lock `{}`", path.display())).caused_by(error);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(CommandError::failed(format!("another process uses the data directory `{}`", dir.display()))
                .hint("stop it first, or choose another directory with `--data-dir`"))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

async fn migrate(backends: &Backends) -> Result<(), CommandError> {
    match backends.schema_state().await.map_err(database_failed)? {
        SchemaState::Current => Ok(()),
        SchemaState::Behind(count) => {
            tracing::info!(count, "bringing the schema up to date");
            backends.migrate().await.map_err(database_failed)
        }
        SchemaState::Ahead => Err(CommandError::failed("the database was migrated by a newer release")
            .hint("use that release, or restore a backup")),
    }
}

fn database_failed(error: vayro_core::ports::StoreError) -> CommandError {
    CommandError::failed("the database cannot be used").caused_by(error)
}

fn edge_failed(error: BindError) -> CommandError {
    match error {
        BindError::Listen { address, source } => cannot_listen(address, "--edge", source),
        other => CommandError::failed(other.to_string()).caused_by(other),
    }
}

/// Returns `url` with another port, for addresses that were not configured.
fn local_url(url: &Url, port: u16) -> Url {
    let mut url = url.clone();
    // Only addresses without a host refuse a port, and the configuration has none of those.
    url.set_port(Some(port)).ok();
    url
}

/// Every role at work.
pub struct Running {
    backends: Backends,
    edge: JoinHandle<Result<(), vayro_edge::RunError>>,
    api: JoinHandle<()>,
    worker: JoinHandle<()>,
    drainer: JoinHandle<()>,
    admin: Option<JoinHandle<()>>,
    watched: Watched,
    stop_entrances: watch::Sender<bool>,
    stop_worker: watch::Sender<bool>,
    stop_rest: watch::Sender<bool>,
    /// Held to the end.
    _lock: File,
}

impl Bound {
    /// Starts every role.
    pub fn start(self) -> Running {
        let (stop_entrances, stop_worker, stop_rest) =
            (watch::Sender::new(false), watch::Sender::new(false), watch::Sender::new(false));
        let watched = Watched {
            edge: self.edge.observer(),
            api: Arc::clone(&self.api),
            worker: self.worker.handle(),
            is_stopping: Arc::new(AtomicBool::new(false)),
        };
        let admin = self
            .admin_listener
            .map(|listener| tokio::spawn(admin::serve(listener, watched.clone(), stop_rest.subscribe())));
        Running {
            edge: tokio::spawn(self.edge.serve(stop_entrances.subscribe())),
            api: tokio::spawn(vayro_api::serve_state(
                self.api,
                self.api_listener,
                stop_entrances.subscribe(),
            )),
            worker: tokio::spawn(self.worker.run(stop_worker.subscribe())),
            drainer: self.backends.spawn_drainer(stop_rest.subscribe()),
            admin,
            watched,
            stop_entrances,
            stop_worker,
            stop_rest,
            backends: self.backends,
            _lock: self.lock,
        }
    }
}

impl Running {
    /// Waits until every role is ready. Returns false if there is nothing to wait for any more, because
    /// `told` turned true or a role has died.
    ///
    /// # Errors
    ///
    /// A failure with what each role says about itself.
    pub async fn until_ready(&self, told: &watch::Receiver<bool>) -> Result<bool, CommandError> {
        let deadline = tokio::time::Instant::now() + READY_MAX;
        loop {
            let (is_ready, parts) = self.watched.readiness().await;
            if is_ready || *told.borrow() || self.has_died() {
                return Ok(is_ready && !*told.borrow());
            }
            if tokio::time::Instant::now() > deadline {
                let seconds = READY_MAX.as_secs();
                return Err(
                    CommandError::failed(format!("not ready after {seconds} s")).detail(parts.to_string())
                );
            }
            tokio::time::sleep(READY_PAUSE).await;
        }
    }

    fn has_died(&self) -> bool {
        self.edge.is_finished() || self.api.is_finished() || self.worker.is_finished()
    }

    /// Runs until `told` turns true or a role ends by itself, then stops: first whatever takes requests,
    /// then the worker, then the rest. Every accepted click is on disk or in the database afterwards.
    ///
    /// # Errors
    ///
    /// A failure if a role ended by itself.
    pub async fn run(mut self, mut told: watch::Receiver<bool>) -> Result<(), CommandError> {
        let died = tokio::select! {
            _ = told.wait_for(|is_told| *is_told) => None,
            _ = &mut self.edge => Some("the edge"),
            _ = &mut self.api => Some("the API"),
            _ = &mut self.worker => Some("the worker"),
        };
        self.watched.is_stopping.store(true, Ordering::Release);
        self.stop_entrances.send_replace(true);
        // A role that is over already has been waited for, and a task may be waited for only once.
        if died != Some("the edge") {
            log_end(
                "edge",
                (&mut self.edge)
                    .await
                    .map_err(|error| error.to_string())
                    .and_then(|ended| ended.map_err(|error| error.to_string())),
            );
        }
        if died != Some("the API") {
            log_end("API", (&mut self.api).await.map_err(|error| error.to_string()));
        }
        self.stop_worker.send_replace(true);
        if died != Some("the worker") {
            log_end("worker", (&mut self.worker).await.map_err(|error| error.to_string()));
        }
        self.stop_rest.send_replace(true);
        log_end("outbox drainer", self.drainer.await.map_err(|error| error.to_string()));
        if let Some(admin) = self.admin {
            log_end("admin listener", admin.await.map_err(|error| error.to_string()));
        }
        self.backends.close().await;
        match died {
            None => Ok(()),
            Some(role) => {
                Err(CommandError::failed(format!("{role} ended by itself")).hint("the log above says more"))
            }
        }
    }
}

fn log_end(role: &str, ended: Result<(), String>) {
    match ended {
        Ok(()) => tracing::debug!(role, "ended"),
        Err(error) => tracing::error!(role, error, "ended badly"),
    }
}
