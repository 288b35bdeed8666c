//! Logging of a process.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::util::TryInitError;

use crate::config::{LogFormat, LogSettings};

/// Who says at the level of warnings what visitors do, a line for each time; a client that names an address instead of
/// a host in its handshake is enough.
const TALKATIVE: &str = "rustls";

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
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter(&settings.level)).with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
        // Left alone on a terminal, it follows `NO_COLOR`.
        LogFormat::Text if std::io::stderr().is_terminal() => builder.finish().try_init(),
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
    }
}

/// Reads a filter. Nobody's log grows with what visitors send, unless the filter asks for that by name.
fn filter(level: &str) -> EnvFilter {
    let filter: EnvFilter = level.parse().expect("the filter was checked with the configuration");
    if level.contains(TALKATIVE) {
        return filter;
    }
    let errors_only = format!("{TALKATIVE}=error").parse().expect("a directive");
    filter.add_directive(errors_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_visitors_do_is_not_logged_unless_asked_for() {
        let directives = |level: &str| {
            let text = filter(level).to_string();
            let mut directives: Vec<String> = text.split(',').map(str::to_owned).collect();
            directives.sort();
            directives
        };
        assert_eq!(directives("info"), ["info", "rustls=error"]);
        assert_eq!(directives("warn,vayro_edge=debug"), ["rustls=error", "vayro_edge=debug", "warn"]);
        assert_eq!(directives("info,rustls=debug"), ["info", "rustls=debug"]);
    }
}
