//! PostgreSQL for tests: a database of the shared server, or a server of one's own.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User, chown};
use rand::Rng as _;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::port;
use crate::process::Process;

/// An empty database of the shared server, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    /// Where it is.
    pub url: String,
    maintenance_url: String,
    name: String,
}

/// Makes an empty database on the shared server.
///
/// # Panics
///
/// When `VAYRO_TEST_POSTGRES` is not set or nobody answers there.
pub async fn database() -> TestDatabase {
    let maintenance_url = std::env::var("VAYRO_TEST_POSTGRES")
        .expect("VAYRO_TEST_POSTGRES is not set: run ./scripts/test, or eval \"$(scripts/servers env)\"");
    let name = format!("vayro_test_{:016x}", rand::rng().random::<u64>());
    execute(&maintenance_url, &format!("CREATE DATABASE {name}")).await.expect("a database can be made");
    let (base, _) = maintenance_url.rsplit_once('/').expect("the address names a database");
    TestDatabase { url: format!("{base}/{name}"), maintenance_url, name }
}

async fn execute(url: &str, statement: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await?;
    connection.close().await
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let url = std::mem::take(&mut self.maintenance_url);
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A test's own runtime may be ending; a small one of its own surely runs to the end.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(execute(&url, &statement)).ok()
        });
        drop(dropping.join());
    }
}

/// A PostgreSQL process of one's own, with durable settings.
#[derive(Debug)]
pub struct PostgresServer {
    /// Where its database `postgres` is; the same after a restart.
    pub url: String,
    port: u16,
    cache: &'static str,
    dir: TempDir,
    process: Option<Process>,
}

/// Memory for pages of a server that shares the machine with other tests.
const SMALL_CACHE: &str = "64MB";

/// How long a server may take to come up; after SIGKILL its orphaned children must end first.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Starts a server of one's own, with `fsync` on.
///
/// # Panics
///
/// When PostgreSQL is missing or does not come up.
pub async fn server() -> PostgresServer {
    server_with(SMALL_CACHE).await
}

/// Starts a server of one's own with so much memory for pages, as `shared_buffers` has it.
///
/// # Panics
///
/// When PostgreSQL is missing or does not come up.
pub async fn server_with(cache: &'static str) -> PostgresServer {
    let dir = server_dir();
    let data = dir.path().join("data");
    run(command("initdb")
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-D"])
        .arg(data));
    start(dir, cache).await
}

/// A folder that the server's user owns.
fn server_dir() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    if Uid::effective().is_root() {
        let user = server_user();
        chown(dir.path(), Some(user.uid), Some(user.gid)).expect("root may give a folder away");
    }
    dir
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
}

async fn start(dir: TempDir, cache: &'static str) -> PostgresServer {
    let port = port::free();
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    let mut server = PostgresServer { url, port, cache, dir, process: None };
    server.restart().await;
    server
}

/// PostgreSQL refuses to run as root; its package brings a user for it.
fn server_user() -> User {
    User::from_name("postgres").ok().flatten().expect("the user `postgres` exists, its package makes it")
}

fn command(program: &str) -> Command {
    let mut command = Command::new(bin_dir().join(program));
    command.current_dir("/");
    if Uid::effective().is_root() {
        let user = server_user();
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("VAYRO_PG_BIN") {
        return dir.into();
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|dir: &PathBuf| Path::new(dir).join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL is installed, or VAYRO_PG_BIN names its bin folder")
}

impl PostgresServer {
    /// Returns the process id of the server, whose children serve the sessions.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Starts a streaming replica of this server: it answers questions and refuses changes.
    ///
    /// # Panics
    ///
    /// When it cannot be made or does not come up.
    pub async fn standby(&self) -> Self {
        let dir = server_dir();
        let port = self.port.to_string();
        run(command("pg_basebackup")
            .args([
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "-X",
                "stream",
                "-c",
                "fast",
                "-R",
                "-p",
                &port,
                "-D",
            ])
            .arg(dir.path().join("data")));
        start(dir, self.cache).await
    }

    /// Starts the server again on the same port and data, ending it first if it runs.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub async fn restart(&mut self) {
        self.kill();
        let started = Instant::now();
        let mut process = self.start_process();
        while execute(&self.url, "SELECT 1").await.is_err() {
            assert!(started.elapsed() < START_LIMIT, "PostgreSQL did not come up within {START_LIMIT:?}");
            // It refuses to start while children of a killed one still use its shared memory.
            if process.has_ended() {
                process = self.start_process();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.process = Some(process);
    }

    fn start_process(&self) -> Process {
        let mut command = command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "max_connections=100"])
            .args(["-c", &format!("shared_buffers={}", self.cache)])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Process::start(&mut command)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Ends the server and all its sessions at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An immediate shutdown also ends the children.
            process.stop(Signal::SIGQUIT, Duration::from_secs(20));
        }
    }

    /// Ends the first process of the server with SIGKILL. Its children are orphans then, go on with what
    /// they are at, and end when they notice.
    pub fn kill_first_process(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Stops the server, ending open transactions.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::SIGINT, Duration::from_secs(20));
        }
    }

    /// Copies the server's data while it is stopped, and starts it again.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub async fn back_up(&mut self) -> PostgresBackup {
        self.stop();
        let dir = server_dir();
        copy(&self.data(), &dir.path().join("data"));
        self.restart().await;
        PostgresBackup(dir)
    }

    /// Replaces the server's data by what a backup of it holds, and starts it again.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub async fn restore(&mut self, backup: &PostgresBackup) {
        self.stop();
        std::fs::remove_dir_all(self.data()).expect("the data can be removed");
        copy(&backup.0.path().join("data"), &self.data());
        self.restart().await;
    }
}

/// The data of a [`PostgresServer`] at some instant.
#[derive(Debug)]
pub struct PostgresBackup(TempDir);

/// Copies a folder with its owners and modes.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}
