//! A master with a replica and three sentinels that watch them.

use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Process;
use crate::redis::{RedisServer, ask, server, server_with};
use crate::{port, wait};

/// The name the sentinels know the master by.
pub const MASTER: &str = "main";
/// Silence after which a sentinel gives the master up, in milliseconds.
const DOWN_AFTER_MS: &str = "800";
/// Longest wait for the servers to know each other, and for a failover.
const LIMIT: Duration = Duration::from_secs(60);

/// Two servers and three sentinels.
#[derive(Debug)]
pub struct SentinelTrio {
    /// Where they are: `redis+sentinel://…/main`.
    pub url: String,
    /// The master of the beginning, then its replica.
    pub servers: [RedisServer; 2],
    sentinels: Vec<Sentinel>,
}

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
    let sentinels: Vec<_> = (0..3).map(|_| sentinel(&port)).collect();
    let hosts: Vec<_> = sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
    let trio = SentinelTrio {
        url: format!("redis+sentinel://{}/{MASTER}", hosts.join(",")),
        servers: [master, replica],
        sentinels,
    };
    for sentinel in &trio.sentinels {
        wait::until("a sentinel that knows the others", LIMIT, async || {
            let said: Vec<String> = ask(&sentinel.url, &["SENTINEL", "MASTER", MASTER]).await?;
            let value =
                |name: &str| said.iter().position(|word| word == name).map(|at| said[at + 1].as_str());
            (value("num-other-sentinels") == Some("2") && value("num-slaves") == Some("1")).then_some(())
        })
        .await;
    }
    trio
}

fn sentinel(master_port: &str) -> Sentinel {
    let (port, dir) = (port::free(), tempfile::tempdir().expect("a temporary folder can be made"));
    let file = dir.path().join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {master_port} 2\n\
         sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\nsentinel failover-timeout {MASTER} 5000\n",
        dir.path().display()
    );
    std::fs::write(&file, text).expect("the configuration can be written");
    let mut command = Command::new("redis-server");
    command.arg(&file).arg("--sentinel").stdout(Stdio::null());
    let process = Process::start(&mut command);
    Sentinel { url: format!("redis://127.0.0.1:{port}/"), port, process, _dir: dir }
}

impl SentinelTrio {
    /// Returns which of the servers the sentinels call the master now.
    ///
    /// # Panics
    ///
    /// When no sentinel answers.
    pub async fn master(&self) -> usize {
        wait::until("a sentinel's answer", LIMIT, async || {
            let port = self.named().await?;
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
        wait::until("the failover", LIMIT, async || {
            let is_named = self.named().await? == self.servers[server].port();
            let info: String = ask(&self.servers[server].url, &["INFO", "replication"]).await?;
            (is_named && info.contains("role:master")).then_some(())
        })
        .await;
    }

    /// Ends one of the sentinels at once.
    ///
    /// # Panics
    ///
    /// When there is none left.
    pub fn kill_sentinel(&mut self) {
        self.sentinels.pop().expect("a sentinel is left").process.kill();
    }

    async fn named(&self) -> Option<u16> {
        for sentinel in &self.sentinels {
            let told: Option<(String, u16)> =
                ask(&sentinel.url, &["SENTINEL", "get-master-addr-by-name", MASTER]).await;
            if let Some((_, port)) = told {
                return Some(port);
            }
        }
        None
    }
}
