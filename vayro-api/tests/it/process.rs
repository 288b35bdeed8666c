//! The executable.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use vayro_backends::config::{BackendConfig, Layers};
use vayro_backends::{Backends, Roles};
use vayro_testing::Process;

/// How long the process may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

fn api(dir: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vayro-api"));
    command
        .env("VAYRO_BACKEND__DATA_DIR", dir)
        .env("VAYRO_API__LISTEN", "127.0.0.1:0")
        .env("VAYRO_API__ADMIN", "127.0.0.1:0");
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_bad_configuration_is_refused_with_every_mistake() {
    let output = Command::new(env!("CARGO_BIN_EXE_vayro-api"))
        .env("VAYRO_API__LOGIN_WINDOW", "often")
        .env("VAYRO_INSTANCE__API_URL", "ftp://example.com")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(64));
    let text = stderr(&output);
    for key in ["instance.api_url", "api.login_window"] {
        assert!(text.contains(key), "no {key} in: {text}");
    }
}

#[test]
fn a_database_that_was_not_migrated_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = api(dir.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("vayro migrate"), "{}", stderr(&output));
}

#[tokio::test]
async fn it_says_that_it_is_ready_answers_and_stops_on_sigterm() {
    let dir = tempfile::tempdir().expect("a folder");
    let data_dir = dir.path().display().to_string();
    let layers = Layers::load(None, std::iter::empty(), &[("backend.data_dir", data_dir)]).expect("loads");
    let config = BackendConfig::read(&layers, &mut layers.errors()).expect("valid");
    let backends = Backends::connect(&config, Roles::TOOLS).await.expect("connects");
    backends.migrate().await.expect("migrates");
    backends.close().await;

    let mut process = Process::start(api(dir.path()).stdout(Stdio::piped()));
    let stdout = process.child().stdout.take().expect("a pipe");
    let read = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next());
    let line = tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("read");
    let line = line.expect("a line").expect("text");
    let addresses = line.strip_prefix("ready api=").and_then(|rest| rest.split_once(" admin="));
    let Some((api, admin)) = addresses else { panic!("{line}") };
    for (base, path) in [(api, "/livez"), (admin, "/readyz"), (admin, "/metrics")] {
        let address = base.strip_prefix("http://").expect("an address").parse().expect("an address");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = crate::serve::ask(address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    let ended = tokio::task::spawn_blocking(move || process.stop(Signal::SIGTERM, PATIENCE));
    assert!(ended.await.expect("stops").success());
}
