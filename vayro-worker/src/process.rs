//! A worker as a process of its own: configuration, back ends, signals, exit status.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use tokio::sync::watch;
use vayro_backends::config::{BackendConfig, ConfigErrors, EXIT_BAD_CONFIG, Layers, LogSettings};
use vayro_backends::service::ServiceManager;
use vayro_backends::{Backends, ConnectError, Roles, SchemaState, logging, signals};
use vayro_core::ports::StoreError;

use crate::deps::WorkerDeps;
use crate::health::causes;
use crate::settings::WorkerSettings;
use crate::worker::{Worker, WorkerError};

/// Everything the process reads.
struct Config {
    backend: BackendConfig,
    log: LogSettings,
    worker: WorkerSettings,
}

/// Why the process ends with a failure.
#[derive(Debug, thiserror::Error)]
enum ProcessError {
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot read the schema of the database")]
    Schema(#[source] StoreError),
    #[error("the database is {0} migrations behind, run `vayro migrate`")]
    SchemaBehind(u32),
    #[error("the database was migrated by a newer version")]
    SchemaAhead,
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// Runs a worker until SIGTERM or SIGINT and returns the exit status: 64 for a configuration with mistakes,
/// 1 for any other failure.
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
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = causes(&error);
            tracing::error!(error = cause, "the worker failed: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn read_config(file: Option<&Path>) -> Result<Config, ConfigErrors> {
    let layers = Layers::load(file, std::env::vars(), &[])?;
    let mut errors = layers.errors();
    let backend = BackendConfig::read(&layers, &mut errors);
    let log = layers.section("log", &mut errors);
    let worker = WorkerSettings::read(&layers, &mut errors);
    if let (Some(backend), Some(log), Some(worker)) = (backend, log, worker) {
        errors.finish()?;
        return Ok(Config { backend, log, worker });
    }
    Err(errors)
}

fn serve(config: Config) -> Result<(), ProcessError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ProcessError::Runtime)?;
    runtime.block_on(async {
        let shutdown = signals::shutdown().map_err(ProcessError::Signals)?;
        let backends = Backends::connect(&config.backend, Roles::WORKER).await?;
        let ended = work(config.worker, &backends, shutdown).await;
        backends.close().await;
        ended
    })
}

async fn work(
    settings: WorkerSettings,
    backends: &Backends,
    shutdown: watch::Receiver<bool>,
) -> Result<(), ProcessError> {
    match backends.schema_state().await.map_err(ProcessError::Schema)? {
        SchemaState::Current => {}
        SchemaState::Behind(count) => return Err(ProcessError::SchemaBehind(count)),
        SchemaState::Ahead => return Err(ProcessError::SchemaAhead),
    }
    let worker = Worker::new(settings, WorkerDeps::new(backends)).await?;
    let ready = match worker.admin_address() {
        Some(admin) => format!("ready worker {} admin http://{admin}", backends.name),
        None => format!("ready worker {}", backends.name),
    };
    tracing::info!("{ready}");
    // Whoever closed our stdout does not want to know.
    drop(writeln!(std::io::stdout(), "{ready}"));
    let manager = ServiceManager::from_env();
    manager.ready(&ready);
    worker.run(shutdown).await;
    manager.stopping();
    Ok(())
}

/// Says what is wrong before there is a log.
fn complain(error: &dyn std::error::Error) {
    drop(writeln!(std::io::stderr(), "error: {error}"));
}
