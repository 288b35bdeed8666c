//! Commands about the GeoIP database.

pub mod set;
pub mod status;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use vayro_backends::config::BackendConfig;

use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{ConfigArgs, checked};
use crate::server::process::data_dir;
use crate::server::settings::ServerSettings;
use crate::ui::Ui;

/// Name of the file in the data directory, where `vayro up` looks unless `geoip.file` says otherwise.
const FILE_NAME: &str = "geoip.mmdb";

/// Manage the database that tells visitors' countries and cities
///
/// None is shipped: the licenses of the usual ones ask for being kept current. Get one, such as
/// GeoLite2-City.mmdb, and hand it to `vayro geoip set`.
#[derive(Debug, Subcommand)]
pub enum GeoipCommand {
    Set(set::SetArgs),
    Status(status::StatusArgs),
}

impl GeoipCommand {
    /// Runs the command.
    pub fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Set(args) => set::run(ui, context, &args),
            Self::Status(args) => status::run(ui, context, &args),
        }
    }
}

/// Returns where `vayro up` looks for the file if the configuration does not say.
pub fn default_file(backend: &BackendConfig) -> PathBuf {
    data_dir(backend).join(FILE_NAME)
}

/// Returns where the configured worker looks for the file.
fn file(context: &Context, config: &ConfigArgs) -> Result<PathBuf, CommandError> {
    Ok(file_of(&checked(&config.layers(context, &[])?, ServerSettings::read)?))
}

/// Returns where a worker with these settings looks for the file.
pub fn file_of(settings: &ServerSettings) -> PathBuf {
    let configured = settings.worker.enrich.geoip_file.as_deref().map(Path::to_owned);
    configured.unwrap_or_else(|| default_file(&settings.common.backend))
}
