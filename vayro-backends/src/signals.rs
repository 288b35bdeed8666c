//! The signals that end a process.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Exit status after a second signal: the process ended without finishing its work.
const EXIT_FORCED: i32 = 130;

/// Starts listening for SIGTERM and SIGINT on the current runtime. The receiver turns true with the first
/// one; a second one ends the process at once.
///
/// # Errors
///
/// When the system does not let us listen.
pub fn shutdown() -> io::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        for is_first in [true, false] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if is_first {
                tracing::info!(signal = name, "ending");
                sender.send_replace(true);
            } else {
                tracing::warn!(signal = name, "ending at once, unfinished");
                std::process::exit(EXIT_FORCED);
            }
        }
    });
    Ok(receiver)
}
