//! `vayro geoip set`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use vayro_worker::enrich::GeoIp;

use super::file;
use super::status::{Status, table};
use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::ConfigArgs;
use crate::ui::Ui;

/// Use a GeoIP database from now on
///
/// Checks the file and copies it to where the worker looks for it. A running worker takes it into use
/// within seconds; clicks stored before keep what was known then.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// MaxMind database, such as GeoLite2-City.mmdb
    file: PathBuf,

    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub fn run(ui: &mut Ui, context: &Context, args: &SetArgs) -> Result<(), CommandError> {
    let info = GeoIp::inspect(&args.file).map_err(|error| {
        CommandError::failed(format!("`{}` cannot be used", args.file.display())).caused_by(error)
    })?;
    let target = file(context, &args.config)?;
    copy(&args.file, &target).map_err(|error| {
        CommandError::failed(format!("cannot write `{}`", target.display())).caused_by(error)
    })?;
    ui.note(&format!("Using {} of {}", info.database_type, info.built_at));
    ui.show(&Status::Loaded { file: target, info }, table)
}

/// Copies beside the old file and renames, so that nobody ever reads half a database.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.as_file().sync_all()?;
    file.persist(to)?;
    Ok(())
}
