//! The frame of a role that runs as a process of its own: configuration, log, back ends, schema, signals,
//! the ready line, exit status.

use std::fmt::{self, Display};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use vayro_core::ports::StoreError;

use crate::causes::causes;
use crate::config::{BackendConfig, ConfigErrors, EXIT_BAD_CONFIG, InstanceSettings, Layers, LogSettings};
use crate::handover::{Inherited, Predecessor};
use crate::service::ServiceManager;
use crate::{Backends, ConnectError, Roles, SchemaState, logging, signals};

/// What one role does inside the frame.
pub trait Role: Sized {
    /// Its name in log lines.
    const NAME: &'static str;
    /// What it needs of the back ends.
    const ROLES: Roles;
    /// Whether one process may take over from another that still runs; only edges can.
    const TAKES_OVER: bool = false;
    /// Why it can fail.
    type Error: std::error::Error + 'static;

    /// Reads and checks its settings; mistakes go to `errors`.
    fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self>;

    /// Binds, calls [`Started::ready`] and works until [`Started::shutdown`] turns true. The back ends are
    /// closed afterwards.
    ///
    /// # Errors
    ///
    /// Whatever ends the process with a failure.
    fn serve(self, started: &Started) -> impl Future<Output = Result<(), Self::Error>>;
}

/// A process whose back ends are connected and whose database has the schema of this program.
#[derive(Debug)]
pub struct Started {
    /// Section `[instance]`.
    pub instance: InstanceSettings,
    /// The process's own directory.
    pub data_dir: PathBuf,
    /// The connected back ends.
    pub backends: Backends,
    /// Turns true when the process is asked to end.
    pub shutdown: watch::Receiver<bool>,
    manager: ServiceManager,
    predecessor: Option<Predecessor>,
    inherited: Mutex<Inherited>,
    has_handed_over: AtomicBool,
}

impl Started {
    /// Says on stdout, in the log, to the service manager and to the process before this one that everything listens.
    pub async fn ready(&self, line: &ReadyLine) {
        tracing::info!("{line}");
        // Whoever closed our stdout does not want to know.
        drop(writeln!(std::io::stdout(), "{line}"));
        self.manager.ready(&line.to_string());
        if let Some(predecessor) = &self.predecessor
            && let Err(error) = predecessor.ready().await
        {
            tracing::warn!(error = %error, "the process that handed over has ended already: {error}");
        }
    }

    /// Returns the sockets of the process before this one, if there is one; only the first time.
    pub fn inherited(&self) -> Inherited {
        std::mem::take(&mut self.inherited.lock())
    }

    /// Says that the process with this id does the work from now on, and that this one's end is not the service's.
    pub fn hand_over(&self, successor: u32) {
        self.has_handed_over.store(true, Ordering::Relaxed);
        self.manager.main_process(successor);
    }
}

/// The one line a process prints when everything listens: `ready edge=http://127.0.0.1:8080 …`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadyLine(Vec<(&'static str, String)>);

impl ReadyLine {
    /// Adds the addresses of `part`, or its name where it has none; nothing if there are no values.
    #[must_use]
    pub fn with<T: Display>(mut self, part: &'static str, values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        if !values.is_empty() {
            self.0.push((part, values.join(",")));
        }
        self
    }
}

impl Display for ReadyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ready")?;
        self.0.iter().try_for_each(|(part, values)| write!(f, " {part}={values}"))
    }
}

/// Why a process ends with a failure.
#[derive(Debug, thiserror::Error)]
enum ProcessError<E: std::error::Error + 'static> {
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
    Role(E),
}

/// Runs a role until SIGTERM or SIGINT and returns the exit status: 64 for a configuration with mistakes,
/// 1 for any other failure.
pub fn run<R: Role>(config: Option<&Path>) -> ExitCode {
    let (predecessor, inherited) = match R::TAKES_OVER.then(Predecessor::from_env).transpose() {
        Ok(taken_over) => taken_over.flatten().unzip(),
        Err(error) => {
            complain(&error);
            return ExitCode::FAILURE;
        }
    };
    // The process before goes on, and tells whoever asked for this one.
    let failed = |why: &str| drop(predecessor.as_ref().map(|predecessor| predecessor.failed(why)));
    let config = match Config::<R>::read(config) {
        Ok(config) => config,
        Err(errors) => {
            complain(&errors);
            failed(&errors.to_string());
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
    };
    if let Err(error) = logging::init(&config.log) {
        complain(&error);
        failed(&error.to_string());
        return ExitCode::FAILURE;
    }
    match serve(config, predecessor.clone(), inherited.unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = causes(&error);
            tracing::error!(error = cause, "the {} ends: {cause}", R::NAME);
            failed(&cause);
            ExitCode::FAILURE
        }
    }
}

/// Everything a process reads.
struct Config<R> {
    instance: InstanceSettings,
    backend: BackendConfig,
    log: LogSettings,
    role: R,
}

impl<R: Role> Config<R> {
    fn read(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        let layers = Layers::load(file, std::env::vars(), &[])?;
        let mut errors = layers.errors();
        let instance = InstanceSettings::read(&layers, &mut errors);
        let backend = BackendConfig::read(&layers, &mut errors);
        let log = layers.section("log", &mut errors);
        let role = R::read(&layers, &mut errors);
        if let (Some(instance), Some(backend), Some(log), Some(role)) = (instance, backend, log, role) {
            errors.finish()?;
            return Ok(Self { instance, backend, log, role });
        }
        Err(errors)
    }
}

fn serve<R: Role>(
    config: Config<R>,
    predecessor: Option<Predecessor>,
    inherited: Inherited,
) -> Result<(), ProcessError<R::Error>> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ProcessError::Runtime)?;
    runtime.block_on(async {
        let shutdown = signals::shutdown().map_err(ProcessError::Signals)?;
        let backends = match predecessor {
            None => Backends::connect(&config.backend, R::ROLES).await?,
            Some(_) => Backends::succeed(&config.backend).await?,
        };
        let started = Started {
            instance: config.instance,
            data_dir: config.backend.data_dir().to_owned(),
            backends,
            shutdown,
            manager: ServiceManager::from_env(),
            predecessor,
            inherited: Mutex::new(inherited),
            has_handed_over: AtomicBool::new(false),
        };
        let ended = match check_schema(&started.backends, R::ROLES).await {
            Ok(()) => config.role.serve(&started).await.map_err(ProcessError::Role),
            Err(error) => Err(error),
        };
        if !started.has_handed_over.load(Ordering::Relaxed) {
            started.manager.stopping();
        }
        started.backends.close().await;
        ended
    })
}

async fn check_schema<E: std::error::Error + 'static>(
    backends: &Backends,
    roles: Roles,
) -> Result<(), ProcessError<E>> {
    match backends.schema_state().await {
        Ok(SchemaState::Current) => Ok(()),
        Ok(SchemaState::Behind(count)) => Err(ProcessError::SchemaBehind(count)),
        Ok(SchemaState::Ahead) => Err(ProcessError::SchemaAhead),
        // An edge alone was let in without a database, and only reads from it.
        Err(StoreError::Unavailable(_)) if roles == Roles::EDGE => Ok(()),
        Err(error) => Err(ProcessError::Schema(error)),
    }
}

/// Says what is wrong before there is a log.
fn complain(error: &dyn std::error::Error) {
    // Nobody reads stderr; there is nothing else to say it to.
    drop(writeln!(std::io::stderr(), "error: {error}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_what_listens() {
        let none: Option<&str> = None;
        let line = ReadyLine::default()
            .with("edge", ["http://127.0.0.1:80", "https://127.0.0.1:443"])
            .with("api", none)
            .with("admin", Some("http://[::1]:8082"));
        assert_eq!(
            line.to_string(),
            "ready edge=http://127.0.0.1:80,https://127.0.0.1:443 admin=http://[::1]:8082"
        );
    }
}
