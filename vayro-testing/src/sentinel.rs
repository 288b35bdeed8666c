//! A master with a replica and three sentinels that watch them.

use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Process;
use crate::redis::{RedisServer, ask, server, server_with};
use crate::{port, wait};

/// The name the sentinels know the master by.
pub const MASTER: &str = "main";
/// Silence after which the sentinels of a trio give the master up.
const DOWN_AFTER: Duration = Duration::from_millis(800);
/// Longest wait for the servers to know each other, and for a failover.
const LIMIT: Duration = Duration::from_secs(60);

/// Two servers and three sentinels.
#[derive(Debug)]
pub struct SentinelTrio {
    /// Where they are: `redis+sentinel://…/main`.
    pub url: String,
    /// The master of the beginning, then its replica.
    pub servers: [RedisServer; 2],
    sentinels: Sentinels,
}

/// Three sentinels that watch one master and its replica.
#[derive(Debug)]
pub struct Sentinels(Vec<Sentinel>);

#[derive(Debug)]
struct Sentinel {
    url: String,
    port: u16,
    process: Process,
    /// Holds its configuration, which it writes itself.
    _dir: TempDir,
}

/// Starts a master, a replica that has caught up, and three sentinels that know all of them.
///
/// # Panics
///
/// When they do not come up.
pub async fn trio() -> SentinelTrio {
    let master = server().await;
    let port = master.port().to_string();
    let replica = server_with(&["--replicaof", "127.0.0.1", &port]).await;
    wait::until("the replica", LIMIT, async || {
        let info: String = ask(&replica.url, &["INFO", "replication"]).await?;
        info.contains("master_link_status:up").then_some(())
    })
    .await;
    let sentinels = watch(&master, DOWN_AFTER).await;
    SentinelTrio { url: sentinels.url(), servers: [master, replica], sentinels }
}

/// Starts three sentinels that give this master up after `down_after` of silence, and waits until they know
/// each other and its replica.
///
/// # Panics
///
/// When they do not come up.
pub async fn watch(master: &RedisServer, down_after: Duration) -> Sentinels {
    let sentinels = Sentinels((0..3).map(|_| sentinel(master.port(), down_after)).collect());
    for sentinel in &sentinels.0 {
        wait::until("a sentinel that knows the others", LIMIT, async || {
            let said: Vec<String> = ask(&sentinel.url, &["SENTINEL", "MASTER", MASTER]).await?;
            let value =
                |name: &str| said.iter().position(|word| word == name).map(|at| said[at + 1].as_str());
            (value("num-other-sentinels") == Some("2") && value("num-slaves") == Some("1")).then_some(())
        })
        .await;
    }
    sentinels
}

fn sentinel(master_port: u16, down_after: Duration) -> Sentinel {
    let (port, dir) = (port::free(), tempfile::tempdir().expect("a temporary folder can be made"));
    let file = dir.path().join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {master_port} 2\n\
         sentinel down-after-milliseconds {MASTER} {}\nsentinel failover-timeout {MASTER} 5000\n",
        dir.path().display(),
        down_after.as_millis()
    );
    std::fs::write(&file, text).expect("the configuration can be written");
    let mut command = Command::new("redis-server");
    command.arg(&file).arg("--sentinel").stdout(Stdio::null());
    let process = Process::start(&mut command);
    Sentinel { url: format!("redis://127.0.0.1:{port}/"), port, process, _dir: dir }
}

impl Sentinels {
    /// Returns where they are, as the product takes it.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.0.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{}/{MASTER}", hosts.join(","))
    }

    /// Changes the silence after which the master is given up.
    ///
    /// # Panics
    ///
    /// When a sentinel does not answer.
    pub async fn set_down_after(&self, down_after: Duration) {
        let millis = down_after.as_millis().to_string();
        for sentinel in &self.0 {
            let words = ["SENTINEL", "SET", MASTER, "down-after-milliseconds", &millis];
            ask::<String>(&sentinel.url, &words).await.expect("a sentinel answers");
        }
    }

    /// Waits until all of them call this server the master and it is one.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn promoted(&self, server: &RedisServer) {
        wait::until("the failover", LIMIT, async || {
            for sentinel in &self.0 {
                (sentinel.named().await? == server.port()).then_some(())?;
            }
            let info: String = ask(&server.url, &["INFO", "replication"]).await?;
            info.contains("role:master").then_some(())
        })
        .await;
    }
}

impl Sentinel {
    /// Returns the port of the server it calls the master.
    async fn named(&self) -> Option<u16> {
        let told: Option<(String, u16)> =
            ask(&self.url, &["SENTINEL", "get-master-addr-by-name", MASTER]).await;
        told.map(|(_, port)| port)
    }
}

impl SentinelTrio {
    /// Returns which of the servers the sentinels call the master now.
    ///
    /// # Panics
    ///
    /// When no sentinel answers.
    pub async fn master(&self) -> usize {
        wait::until("a sentinel's answer", LIMIT, async || {
            let port = self.sentinels.0.first()?.named().await?;
            self.servers.iter().position(|server| server.port() == port)
        })
        .await
    }

    /// Waits until the sentinels call this server the master and it is one.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn promoted(&self, server: usize) {
        self.sentinels.promoted(&self.servers[server]).await;
    }

    /// Ends one of the sentinels at once.
    ///
    /// # Panics
    ///
    /// When there is none left.
    pub fn kill_sentinel(&mut self) {
        self.sentinels.0.pop().expect("a sentinel is left").process.kill();
    }
}
