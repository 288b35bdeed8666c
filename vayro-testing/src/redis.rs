//! Redis for tests: a numbered database of the shared server, or a server of one's own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::process::Process;
use crate::{port, wait};

/// Databases of the shared server, as `scripts/servers` starts it.
const DATABASES: u32 = 4096;

/// An empty database of the shared server.
#[derive(Debug)]
pub struct TestRedis {
    /// Where it is, such as `redis://127.0.0.1:6379/17`.
    pub url: String,
}

/// Returns an empty database of the shared server; processes and tests get different ones.
///
/// # Panics
///
/// When `VAYRO_TEST_REDIS` is not set or nobody answers there.
pub async fn database() -> TestRedis {
    let base = std::env::var("VAYRO_TEST_REDIS")
        .expect("VAYRO_TEST_REDIS is not set: run ./scripts/test, or eval \"$(scripts/servers env)\"");
    let base = base.trim_end_matches('/');
    let client = ::redis::Client::open(base).expect("VAYRO_TEST_REDIS is a Redis address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the shared Redis answers");
    // A counter in database 0 keeps parallel test processes apart.
    let number: u32 = ::redis::cmd("INCR")
        .arg("vayro-testing:next")
        .query_async(&mut connection)
        .await
        .expect("the shared Redis counts");
    let url = format!("{base}/{}", 1 + number % (DATABASES - 1));
    let client = ::redis::Client::open(url.as_str()).expect("a numbered address is an address");
    let mut fresh = client.get_multiplexed_async_connection().await.expect("the shared Redis answers");
    let _: () = ::redis::cmd("FLUSHDB").query_async(&mut fresh).await.expect("a database can be emptied");
    TestRedis { url }
}

/// Connects to a server.
///
/// # Panics
///
/// When nobody answers there.
pub async fn connection(url: &str) -> ::redis::aio::MultiplexedConnection {
    let client = ::redis::Client::open(url).expect("the address is one of Redis");
    client.get_multiplexed_async_connection().await.expect("Redis answers")
}

/// Returns how many bytes the server holds.
///
/// # Panics
///
/// When it does not say.
pub async fn memory(url: &str) -> f64 {
    let info: String = ::redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut connection(url).await)
        .await
        .expect("Redis tells about its memory");
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).expect("a number of bytes")
}

/// A Redis process of one's own, with an append-only file that survives a restart.
#[derive(Debug)]
pub struct RedisServer {
    /// Where it is; the same after a restart.
    pub url: String,
    port: u16,
    program: PathBuf,
    dir: TempDir,
    arguments: Vec<String>,
    process: Option<Process>,
}

/// Starts a server of one's own: AOF with `everysec`, `noeviction`.
///
/// # Panics
///
/// When `redis-server` is missing or does not come up.
pub async fn server() -> RedisServer {
    server_with(&[]).await
}

/// Starts a server of one's own with further command-line `arguments`.
///
/// # Panics
///
/// When `redis-server` is missing or does not come up.
pub async fn server_with(arguments: &[&str]) -> RedisServer {
    server_of("redis-server".into(), arguments).await
}

/// Starts a server of one's own from this executable, with further command-line `arguments`.
pub(crate) async fn server_of(program: PathBuf, arguments: &[&str]) -> RedisServer {
    let port = port::free();
    let mut server = RedisServer {
        url: format!("redis://127.0.0.1:{port}/"),
        port,
        program,
        dir: tempfile::tempdir().expect("a temporary folder can be made"),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        process: None,
    };
    server.restart().await;
    server
}

impl RedisServer {
    /// Starts the server again on the same port and data, killing it first if it runs.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub async fn restart(&mut self) {
        self.process = None;
        let mut command = Command::new(&self.program);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"])
            .args(&self.arguments)
            .arg("--dir")
            .arg(self.dir.path())
            .stdout(Stdio::null());
        self.process = Some(Process::start(&mut command));
        let client = ::redis::Client::open(self.url.as_str()).expect("our own address is an address");
        wait::until("Redis", Duration::from_secs(20), async || {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            ::redis::cmd("PING").query_async::<String>(&mut connection).await.ok()
        })
        .await;
    }

    /// Returns the port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its process id.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Ends the server at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends the server in an orderly way.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::SIGTERM, Duration::from_secs(20));
        }
    }

    /// Freezes the server: connections stay, nothing is answered.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn pause(&self) {
        self.process.as_ref().expect("the server runs").pause();
    }

    /// Lets a frozen server go on.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn resume(&self) {
        self.process.as_ref().expect("the server runs").resume();
    }
}

/// Sends one command; `None` if nobody answers or it is refused.
pub(crate) async fn ask<T: ::redis::FromRedisValue>(url: &str, words: &[&str]) -> Option<T> {
    let client = ::redis::Client::open(url).ok()?;
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    let mut command = ::redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await.ok()
}
