//! An edge as a process of its own: configuration, back ends, signals, exit status.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use vayro_backends::config::{
    BackendConfig, ConfigErrors, EXIT_BAD_CONFIG, InstanceSettings, Layers, LogSettings,
};
use vayro_backends::service::ServiceManager;
use vayro_backends::{Backends, ConnectError, Roles, SchemaState, logging, signals};
use vayro_core::ports::StoreError;

use crate::edge::{BindError, Edge, EdgeAddresses, EdgeDeps, RunError};
use crate::settings::EdgeSettings;

/// Everything the process reads.
struct Config {
    instance: InstanceSettings,
    backend: BackendConfig,
    log: LogSettings,
    edge: EdgeSettings,
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
    Bind(#[from] BindError),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Runs an edge until SIGTERM or SIGINT and returns the exit status: 64 for a configuration with mistakes,
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
            tracing::error!(error = &error as &dyn std::error::Error, "edge failed");
            ExitCode::FAILURE
        }
    }
}

fn read_config(file: Option<&Path>) -> Result<Config, ConfigErrors> {
    let layers = Layers::load(file, std::env::vars(), &[])?;
    let mut errors = layers.errors();
    let instance = InstanceSettings::read(&layers, &mut errors);
    let backend = BackendConfig::read(&layers, &mut errors);
    let log = layers.section("log", &mut errors);
    let edge = EdgeSettings::read(&layers, &mut errors);
    if let (Some(instance), Some(backend), Some(log), Some(edge)) = (instance, backend, log, edge) {
        errors.finish()?;
        return Ok(Config { instance, backend, log, edge });
    }
    Err(errors)
}

fn serve(config: Config) -> Result<(), ProcessError> {
    // Back ends, clicks and helpers live here; visitors are served by runtimes that Pingora makes.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ProcessError::Runtime)?;
    runtime.block_on(async {
        let manager = ServiceManager::from_env();
        let shutdown = signals::shutdown().map_err(ProcessError::Signals)?;
        let backends = Backends::connect(&config.backend, Roles::EDGE).await?;
        check_schema(&backends).await?;
        let deps = EdgeDeps::from_backends(&backends, config.instance.default_host());
        let edge = Edge::bind(config.edge, deps).await?;
        let ready = ready_line(edge.addresses());
        tracing::info!("{ready}");
        // Whoever closed our stdout does not want to know.
        drop(writeln!(std::io::stdout(), "{ready}"));
        manager.ready(&ready);
        let ended = edge.serve(shutdown).await;
        manager.stopping();
        backends.close().await;
        Ok(ended?)
    })
}

async fn check_schema(backends: &Backends) -> Result<(), ProcessError> {
    match backends.schema_state().await.map_err(ProcessError::Schema)? {
        SchemaState::Current => Ok(()),
        SchemaState::Behind(count) => Err(ProcessError::SchemaBehind(count)),
        SchemaState::Ahead => Err(ProcessError::SchemaAhead),
    }
}

fn ready_line(addresses: &EdgeAddresses) -> String {
    let mut parts = vec!["ready edge".to_owned()];
    parts.extend(addresses.http.iter().map(|address| format!("http://{address}")));
    parts.extend(addresses.https.iter().map(|address| format!("https://{address}")));
    parts.extend(addresses.admin.iter().map(|address| format!("admin http://{address}")));
    parts.join(" ")
}

/// Says what is wrong before there is a log.
fn complain(error: &dyn std::error::Error) {
    // Nobody reads stderr; there is nothing else to say it to.
    drop(writeln!(std::io::stderr(), "error: {error}"));
}
