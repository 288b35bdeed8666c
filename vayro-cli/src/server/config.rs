//! The configuration of servers: where it comes from, and how its mistakes are told.

use std::path::PathBuf;

use clap::Args;
use vayro_backends::config::{BackendConfig, ConfigErrors, InstanceSettings, Layers, LogSettings};
use vayro_backends::{Backends, ConnectError, Roles, SchemaState};

use crate::context::Context;
use crate::error::CommandError;

/// Options of every command that reads the configuration of servers.
///
/// Weaker than these options are `VAYRO_…` variables, then the file, then the defaults.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Configuration options")]
pub struct ConfigArgs {
    /// Configuration file; `vayro config show` lists what can be in it
    #[arg(long, value_name = "FILE", env = "VAYRO_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// Directory of the data [default: ./vayro-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Keep everything in this PostgreSQL database and in Redis instead of files
    #[arg(long, value_name = "URL", requires = "redis")]
    pub postgres: Option<String>,

    /// Redis to use with `--postgres`
    #[arg(long, value_name = "URL", requires = "postgres")]
    pub redis: Option<String>,
}

impl ConfigArgs {
    /// Reads every source; `flags` are further options as dotted keys with their text.
    ///
    /// # Errors
    ///
    /// A configuration error when the file cannot be read.
    pub fn layers(&self, context: &Context, flags: &[(&str, String)]) -> Result<Layers, CommandError> {
        let mut all = flags.to_vec();
        if let Some(dir) = &self.data_dir {
            all.push(("backend.data_dir", dir.display().to_string()));
        }
        if let (Some(postgres), Some(redis)) = (&self.postgres, &self.redis) {
            all.push(("backend.set", "clustered".to_owned()));
            all.push(("postgres.url", postgres.clone()));
            all.push(("redis.url", redis.clone()));
        }
        Layers::load(self.config.as_deref(), context.environment.iter(), &all)
            .map_err(|errors| refused(&errors))
    }
}

/// Settings that every role needs.
#[derive(Debug)]
pub struct CommonSettings {
    /// What the instance is called from outside.
    pub instance: InstanceSettings,
    /// Where everything is kept.
    pub backend: BackendConfig,
    /// What is said on stderr.
    pub log: LogSettings,
}

impl CommonSettings {
    /// Reads the sections; mistakes go to `errors`, and then the result is `None`.
    pub fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        let instance = InstanceSettings::read(layers, errors);
        Self::with_instance(instance, layers, errors)
    }

    /// Reads the sections beside `[instance]`, also if that one is missing, so that every mistake is found.
    pub fn with_instance(
        instance: Option<InstanceSettings>,
        layers: &Layers,
        errors: &mut ConfigErrors,
    ) -> Option<Self> {
        let backend = BackendConfig::read(layers, errors);
        let log = layers.section("log", errors);
        Some(Self { instance: instance?, backend: backend?, log: log? })
    }
}

/// Reads settings with `read`, reporting every mistake at once.
///
/// # Errors
///
/// A configuration error with a line per mistake.
pub fn checked<T>(
    layers: &Layers,
    read: impl FnOnce(&Layers, &mut ConfigErrors) -> Option<T>,
) -> Result<T, CommandError> {
    let mut errors = layers.errors();
    let settings = read(layers, &mut errors);
    match (errors.finish(), settings) {
        (Ok(()), Some(settings)) => Ok(settings),
        (Err(errors), _) => Err(refused(&errors)),
        (Ok(()), None) => Err(CommandError::config("the configuration cannot be read")),
    }
}

fn refused(errors: &ConfigErrors) -> CommandError {
    let count = errors.mistakes().len();
    let plural = if count == 1 { "" } else { "s" };
    let error = CommandError::config(format!("the configuration has {count} mistake{plural}"));
    let error = errors.mistakes().iter().fold(error, |error, mistake| error.detail(mistake.to_string()));
    error.hint("`vayro config show` lists every setting with its value and where it comes from")
}

/// Connects the back ends.
///
/// # Errors
///
/// A failure that names the part that is away and the setting that leads to it.
pub async fn connect(backend: &BackendConfig, roles: Roles) -> Result<Backends, CommandError> {
    Backends::connect(backend, roles).await.map_err(|error| {
        let (ConnectError::Refused { part, .. } | ConnectError::TimedOut { part, .. }) = &error;
        let hint = match *part {
            "PostgreSQL" => "is it running, and is `postgres.url` right? `vayro doctor` looks closer",
            "Redis" => "is it running, and is `redis.url` right? `vayro doctor` looks closer",
            _ => "is `backend.data_dir` the right directory, and may this user write there?",
        };
        CommandError::failed(error.to_string()).caused_by(error).hint(hint)
    })
}

/// Makes sure that the database has the schema of this release.
///
/// # Errors
///
/// A failure that says what to do if it has not, or does not answer.
pub async fn require_current_schema(backends: &Backends) -> Result<(), CommandError> {
    let state = backends.schema_state().await;
    match state.map_err(|error| CommandError::failed("the database does not answer").caused_by(error))? {
        SchemaState::Current => Ok(()),
        _ => Err(CommandError::failed("the database has not the schema of this release")
            .hint("run `vayro migrate`, or use the release that the database belongs to")),
    }
}
