//! The API as a process of its own; see the library.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::watch;
use vayro_api::{ApiSettings, ApiState, serve_admin, serve_state};
use vayro_backends::config::{
    BackendConfig, ConfigErrors, EXIT_BAD_CONFIG, InstanceSettings, Layers, LogSettings,
};
use vayro_backends::service::ServiceManager;
use vayro_backends::{Backends, Roles, SchemaState, clock, logging, signals};
use vayro_core::ports::BoxError;

/// Serve the API
///
/// Settings come from `--config` and from variables such as `VAYRO_API__LISTEN`.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "VAYRO_CONFIG")]
    config: Option<PathBuf>,
}

struct Config {
    backend: BackendConfig,
    log: LogSettings,
    instance: InstanceSettings,
    api: ApiSettings,
}

impl Config {
    fn read(args: &Args) -> Result<Self, ConfigErrors> {
        const WHY: &str = "what is missing was reported";
        let layers = Layers::load(args.config.as_deref(), std::env::vars(), &[])?;
        let mut errors = layers.errors();
        let backend = BackendConfig::read(&layers, &mut errors);
        let log = layers.section("log", &mut errors);
        let instance = InstanceSettings::read(&layers, &mut errors);
        let api = instance.as_ref().and_then(|instance| ApiSettings::read(instance, &layers, &mut errors));
        errors.finish()?;
        Ok(Self {
            backend: backend.expect(WHY),
            log: log.expect(WHY),
            instance: instance.expect(WHY),
            api: api.expect(WHY),
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
            tracing::error!(error = &*cause as &dyn std::error::Error, "{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), BoxError> {
    let shutdown = signals::shutdown()?;
    let backends = Backends::connect(&config.backend, Roles::API).await?;
    let ended = serve(config, &backends, shutdown).await;
    backends.close().await;
    ended
}

async fn serve(config: Config, backends: &Backends, shutdown: watch::Receiver<bool>) -> Result<(), BoxError> {
    match backends.schema_state().await? {
        SchemaState::Current => {}
        SchemaState::Behind(count) => {
            return Err(format!("the database lacks {count} migrations; run `vayro migrate`").into());
        }
        SchemaState::Ahead => tracing::warn!("the database was migrated by a newer version"),
    }
    backends.domains.ensure_default(&config.instance.default_host(), clock::now()).await?;
    let listener = TcpListener::bind(config.api.listen).await?;
    let address = listener.local_addr()?;
    let admin = match config.api.admin {
        Some(address) => Some(TcpListener::bind(address).await?),
        None => None,
    };
    let state = Arc::new(ApiState::new(backends, config.api));

    let stop_rest = watch::Sender::new(false);
    let drainer = backends.spawn_drainer(stop_rest.subscribe());
    let ready = match &admin {
        Some(admin) => format!("ready api=http://{address} admin=http://{}", admin.local_addr()?),
        None => format!("ready api=http://{address}"),
    };
    let admin =
        admin.map(|listener| tokio::spawn(serve_admin(Arc::clone(&state), listener, stop_rest.subscribe())));
    // Whoever closed our stdout does not want to know.
    drop(writeln!(std::io::stdout(), "{ready}"));
    let manager = ServiceManager::from_env();
    manager.ready(&ready);
    serve_state(state, listener, shutdown).await;
    manager.stopping();
    // Changes of the last requests are published before the connections close.
    stop_rest.send_replace(true);
    drainer.await?;
    if let Some(admin) = admin {
        admin.await?;
    }
    tracing::info!("the API has stopped");
    Ok(())
}
