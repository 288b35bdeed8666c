//! `vayro geoip status`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use vayro_worker::enrich::{GeoIp, GeoIpInfo};

use super::file;
use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::ConfigArgs;
use crate::ui::Ui;
use crate::ui::table::{Table, Tone, Value};

/// Show which GeoIP database is in use
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// How the database is doing.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    /// There is none; places stay unknown.
    Missing {
        /// Where it is looked for.
        file: PathBuf,
    },
    /// The file yields nothing.
    Broken {
        /// The file.
        file: PathBuf,
        /// Why.
        error: String,
    },
    /// It is there.
    Loaded {
        /// The file.
        file: PathBuf,
        /// What it is.
        info: GeoIpInfo,
    },
}

impl Status {
    /// Looks at the file.
    pub fn of(file: PathBuf) -> Self {
        if !file.exists() {
            return Self::Missing { file };
        }
        match GeoIp::inspect(&file) {
            Ok(info) => Self::Loaded { file, info },
            Err(error) => Self::Broken { file, error: error.to_string() },
        }
    }
}

/// Runs the command.
pub fn run(ui: &mut Ui, context: &Context, args: &StatusArgs) -> Result<(), CommandError> {
    let status = Status::of(file(context, &args.config)?);
    ui.show(&status, table)?;
    match status {
        Status::Loaded { .. } => Ok(()),
        Status::Missing { .. } => {
            ui.suggest("vayro geoip set GeoLite2-City.mmdb");
            Ok(())
        }
        Status::Broken { .. } => {
            Err(CommandError::failed("the file cannot be used").hint("replace it with `vayro geoip set`"))
        }
    }
}

/// Returns the status as a list.
pub fn table(status: &Status) -> Table {
    match status {
        Status::Missing { file } => Table::properties([
            ("state", Value::Toned("missing, places stay unknown".to_owned(), Tone::Warn)),
            ("file", Value::text(file.display().to_string())),
        ]),
        Status::Broken { file, error } => Table::properties([
            ("state", Value::Toned("broken".to_owned(), Tone::Bad)),
            ("file", Value::text(file.display().to_string())),
            ("error", Value::text(error)),
        ]),
        Status::Loaded { file, info } => Table::properties([
            ("state", Value::Toned("in use".to_owned(), Tone::Good)),
            ("file", Value::text(file.display().to_string())),
            ("database", Value::text(&info.database_type)),
            ("built_at", Value::Time(info.built_at)),
            ("cities", Value::text(if info.has_cities { "yes" } else { "no" })),
            ("ipv6", Value::text(if info.has_ipv6 { "yes" } else { "no" })),
            ("bytes", Value::count(info.bytes)),
        ]),
    }
}
