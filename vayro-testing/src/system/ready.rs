//! When a process says that it is ready.

use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use crate::process::Process;

/// How long a process may take to say that it is ready; debug builds on small machines are slow.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(60);
/// How often a process that is not ready yet is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits for the line that begins with `ready`, and keeps the pipe drained afterwards. `None` if the process ends
/// before, or stops at a failpoint: whoever armed that has to wake it up.
pub(super) async fn ready_line(process: &mut Process) -> Option<String> {
    let stdout = process.child().stdout.take().expect("stdout is a pipe");
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if line.starts_with("ready") {
                drop(sender.blocking_send(line));
            }
        }
    });
    let started = Instant::now();
    while started.elapsed() < READY_LIMIT {
        match tokio::time::timeout(LOOK_EVERY, receiver.recv()).await {
            Ok(line) => return line,
            Err(_) if process.is_frozen() => return None,
            Err(_) => {}
        }
    }
    None
}
