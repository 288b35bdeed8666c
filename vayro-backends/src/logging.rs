//! Logging of a process.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::util::TryInitError;

use crate::config::{LogFormat, LogSettings};

/// Sends log lines to stderr from now on.
///
/// # Errors
///
/// When the process logs already.
///
/// # Panics
///
/// Never for settings that came through [`crate::config::Layers`], which checks the filter.
pub fn init(settings: &LogSettings) -> Result<(), TryInitError> {
    let filter: EnvFilter = settings.level.parse().expect("the filter was checked with the configuration");
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
        // Left alone on a terminal, it follows `NO_COLOR`.
        LogFormat::Text if std::io::stderr().is_terminal() => builder.finish().try_init(),
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
    }
}
