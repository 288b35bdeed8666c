//! The API as a process of its own: configuration, back ends, signals, exit status.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use vayro_backends::config::{
    BackendConfig, ConfigErrors, EXIT_BAD_CONFIG, InstanceSettings, Layers, LogSettings,
};
use vayro_backends::service::ServiceManager;
use vayro_backends::{Backends, ConnectError, Roles, SchemaState, clock, logging, signals};
use vayro_core::ports::StoreError;

use crate::serve::{serve_admin, serve_state};
use crate::settings::{ApiSettings, Section};
use crate::state::ApiState;

/// Everything the process reads.
struct Config {
    backend: BackendConfig,
    log: LogSettings,
    instance: InstanceSettings,
    api: ApiSettings,
}

/// Why the process ends with a failure.
#[derive(Debug, thiserror::Error)]
enum ProcessError {
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot prepare the database")]
    Database(#[from] StoreError),
    #[error("the database is {0} migrations behind, run `vayro migrate`")]
    SchemaBehind(u32),
    #[error("the database was migrated by a newer version")]
    SchemaAhead,
}

/// Serves the API until SIGTERM or SIGINT and returns the exit status: 64 for a configuration with
/// mistakes, 1 for any other failure.
pub fn run(config: Option<&Path>) -> ExitCode {
    let config = match read_config(config) {
        Ok(config) => config,
        Err(errors) => {
            complain(&errors);
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
    };
    if let Err(error) = logging::init(&config.log) {
        complain(&error);
        return ExitCode::FAILURE;
    }
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the API ends: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read_config(path: Option<&Path>) -> Result<Config, ConfigErrors> {
    let layers = Layers::load(path, std::env::vars(), &[])?;
    let mut errors = layers.errors();
    let backend = BackendConfig::read(&layers, &mut errors);
    let log = layers.section("log", &mut errors);
    let instance = InstanceSettings::read(&layers, &mut errors);
    let section = Section::read(&layers, &mut errors);
    if let (Some(backend), Some(log), Some(instance), Some(section)) = (backend, log, instance, section) {
        errors.finish()?;
        let api = section.within(&instance);
        return Ok(Config { backend, log, instance, api });
    }
    Err(errors)
}

/// Says on stderr what went wrong before there is a log.
fn complain(error: &dyn std::error::Error) {
    // Whoever closed our stderr does not want to know.
    drop(writeln!(std::io::stderr(), "error: {error}"));
}

fn start(config: Config) -> Result<(), ProcessError> {
    let runtime = tokio::runtime::Runtime::new().map_err(ProcessError::Runtime)?;
    runtime.block_on(async {
        let shutdown = signals::shutdown().map_err(ProcessError::Signals)?;
        let backends = Backends::connect(&config.backend, Roles::API).await?;
        let ended = serve(config, &backends, shutdown).await;
        backends.close().await;
        ended
    })
}

async fn serve(
    config: Config,
    backends: &Backends,
    shutdown: watch::Receiver<bool>,
) -> Result<(), ProcessError> {
    match backends.schema_state().await? {
        SchemaState::Current => {}
        SchemaState::Behind(count) => return Err(ProcessError::SchemaBehind(count)),
        SchemaState::Ahead => return Err(ProcessError::SchemaAhead),
    }
    backends.domains.ensure_default(&config.instance.default_host(), clock::now()).await?;
    let (listener, address) = listen(config.api.listen).await?;
    let admin = match config.api.admin {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let ready = match &admin {
        Some((_, admin)) => format!("ready api http://{address} admin http://{admin}"),
        None => format!("ready api http://{address}"),
    };
    let state = Arc::new(ApiState::new(backends, config.api));

    let stop_rest = watch::Sender::new(false);
    let drainer = backends.spawn_drainer(stop_rest.subscribe());
    let admin = admin
        .map(|(listener, _)| tokio::spawn(serve_admin(Arc::clone(&state), listener, stop_rest.subscribe())));
    drop(writeln!(std::io::stdout(), "{ready}"));
    let manager = ServiceManager::from_env();
    manager.ready(&ready);
    serve_state(state, listener, shutdown).await;
    manager.stopping();
    // Changes of the last requests are published before the connections close.
    stop_rest.send_replace(true);
    for task in [Some(drainer), admin].into_iter().flatten() {
        if let Err(error) = task.await {
            tracing::error!(error = &error as &dyn std::error::Error, "a task ended badly");
        }
    }
    tracing::info!("the API has stopped");
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ProcessError> {
    let failed = |source| ProcessError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
