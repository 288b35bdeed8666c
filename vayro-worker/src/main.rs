//! The worker as a process of its own; see the library.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tracing::{error, info, warn};
use vayro_backends::config::{BackendConfig, ConfigErrors, EXIT_BAD_CONFIG, Layers, LogSettings};
use vayro_backends::service::ServiceManager;
use vayro_backends::{Backends, Roles, SchemaState, logging, signals};
use vayro_core::ports::BoxError;
use vayro_worker::{Worker, WorkerDeps, WorkerSettings};

/// Take clicks out of the stream into the database
///
/// Settings come from `--config` and from variables such as `VAYRO_WORKER__BATCH_MAX`.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "VAYRO_CONFIG")]
    config: Option<PathBuf>,
}

/// Why nothing is missing once there were no mistakes.
const REPORTED: &str = "whatever is missing was reported as a mistake";

struct Config {
    backend: BackendConfig,
    log: LogSettings,
    worker: WorkerSettings,
}

impl Config {
    fn read(args: &Args) -> Result<Self, ConfigErrors> {
        let layers = Layers::load(args.config.as_deref(), std::env::vars(), &[])?;
        let mut errors = layers.errors();
        let backend = BackendConfig::read(&layers, &mut errors);
        let log = layers.section("log", &mut errors);
        let worker = WorkerSettings::read(&layers, &mut errors);
        errors.finish()?;
        Ok(Self {
            backend: backend.expect(REPORTED),
            log: log.expect(REPORTED),
            worker: worker.expect(REPORTED),
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::read(&Args::parse()) {
        Ok(config) => config,
        Err(errors) => {
            drop(writeln!(std::io::stderr(), "error: {errors}"));
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
    };
    if let Err(error) = logging::init(&config.log) {
        drop(writeln!(std::io::stderr(), "error: {error}"));
        return ExitCode::FAILURE;
    }
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            error!(error = &*cause as &dyn std::error::Error, "{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), BoxError> {
    let shutdown = signals::shutdown()?;
    let backends = Backends::connect(&config.backend, Roles::WORKER).await?;
    let ended = serve(config.worker, &backends, shutdown).await;
    backends.close().await;
    ended
}

async fn serve(
    settings: WorkerSettings,
    backends: &Backends,
    shutdown: tokio::sync::watch::Receiver<bool>,
) -> Result<(), BoxError> {
    match backends.schema_state().await? {
        SchemaState::Current => {}
        SchemaState::Behind(count) => {
            return Err(format!("the database lacks {count} migrations; run `vayro migrate`").into());
        }
        SchemaState::Ahead => warn!("the database was migrated by a newer version"),
    }
    let worker = Worker::new(settings, WorkerDeps::new(backends)).await?;
    let ready = match worker.admin_address() {
        Some(admin) => format!("ready worker={} admin=http://{admin}", backends.name),
        None => format!("ready worker={}", backends.name),
    };
    // Whoever closed our stdout does not want to know.
    drop(writeln!(std::io::stdout(), "{ready}"));
    let manager = ServiceManager::from_env();
    manager.ready(&ready);
    worker.run(shutdown).await;
    manager.stopping();
    info!("the worker has stopped");
    Ok(())
}
