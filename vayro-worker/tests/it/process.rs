//! The executable.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use vayro_testing::{Process, postgres, redis};

use super::backends::Bench;

/// How long the process may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

fn worker(postgres: &str, redis: &str, dir: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vayro-worker"));
    command
        .env("VAYRO_BACKEND__SET", "clustered")
        .env("VAYRO_BACKEND__DATA_DIR", dir)
        .env("VAYRO_POSTGRES__URL", postgres)
        .env("VAYRO_REDIS__URL", redis)
        .env("VAYRO_WORKER__ADMIN", "127.0.0.1:0");
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_bad_configuration_is_refused_with_every_mistake() {
    let output = Command::new(env!("CARGO_BIN_EXE_vayro-worker"))
        .env("VAYRO_WORKER__BATCH_MAX", "0")
        .env("VAYRO_WORKER__IP", "everything")
        .env("VAYRO_GEOIP__POLL", "often")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(64));
    let text = stderr(&output);
    for key in ["worker.batch_max", "worker.ip", "geoip.poll"] {
        assert!(text.contains(key), "no {key} in: {text}");
    }
}

#[tokio::test]
async fn a_database_that_was_not_migrated_is_refused() {
    let (postgres, redis) = (postgres::database().await, redis::database().await);
    let dir = tempfile::tempdir().expect("a folder");
    let output = worker(&postgres.url, &redis.url, dir.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("vayro migrate"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_useless_geoip_file_is_refused() {
    let (postgres, redis) = (postgres::database().await, redis::database().await);
    let bench = Bench::clustered(&postgres.url, &redis.url).await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("city.mmdb");
    std::fs::write(&file, b"not a database").expect("written");
    let mut command = worker(&postgres.url, &redis.url, dir.path());
    let output = command.env("VAYRO_GEOIP__FILE", &file).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("GeoIP database is damaged"), "{}", stderr(&output));
    bench.backends.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_that_it_is_ready_counts_and_stops_on_sigterm() {
    let (postgres, redis) = (postgres::database().await, redis::database().await);
    let bench = Bench::clustered(&postgres.url, &redis.url).await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = worker(&postgres.url, &redis.url, dir.path());
    let mut process = Process::start(command.stdout(Stdio::piped()));
    let stdout = process.child().stdout.take().expect("a pipe");
    let read = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next());
    let line = tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("read");
    let line = line.expect("a line").expect("text");
    assert!(line.starts_with("ready worker="), "{line}");
    assert!(line.contains(" admin=http://127.0.0.1:"), "{line}");

    bench.append(&bench.clicks(0..1_234)).await;
    bench.until_stored(1_234).await;
    bench.until_settled().await;
    let stopped =
        tokio::task::spawn_blocking(move || process.stop(nix::sys::signal::Signal::SIGTERM, PATIENCE));
    assert!(stopped.await.expect("waited for").success());
    let consumers = bench.stats().await.expect("the stream answers").consumers;
    assert_eq!(consumers, [], "it left the stream");
    bench.backends.close().await;
}
