//! A Redis Cluster of one's own: three masters, and a replica of each where a test needs one.

use std::time::{Duration, Instant};

use crate::redis::{RedisServer, ask, server_with};
use crate::{port, wait};

/// Masters of a cluster.
const MASTERS: usize = 3;
/// Slots of a cluster.
const SLOTS: usize = 16384;
/// Silence after which nodes give another one up, in milliseconds.
const NODE_TIMEOUT_MS: &str = "2000";
/// How long nodes may take to meet before they are introduced again: on a busy machine a greeting runs out.
const MEET_AGAIN: Duration = Duration::from_secs(3);
/// Longest wait for the nodes to agree, and for a failover.
const LIMIT: Duration = Duration::from_secs(60);

/// A cluster whose nodes a test may stop, pause and kill.
#[derive(Debug)]
pub struct RedisCluster {
    /// Where it is: `redis+cluster://…` with all nodes.
    pub url: String,
    /// The masters of the beginning, then a replica of each in the same order if there are any.
    pub servers: Vec<RedisServer>,
}

/// Starts three masters and a replica of each: six nodes.
///
/// # Panics
///
/// When they do not come up or do not agree.
pub async fn six_nodes() -> RedisCluster {
    start(1).await
}

/// Starts three masters without replicas.
///
/// # Panics
///
/// When they do not come up or do not agree.
pub async fn three_nodes() -> RedisCluster {
    start(0).await
}

async fn start(replicas: usize) -> RedisCluster {
    let mut servers = Vec::new();
    let mut buses = Vec::new();
    for _ in 0..MASTERS * (1 + replicas) {
        let bus = port::free().to_string();
        let arguments = [
            ["--cluster-enabled", "yes"],
            ["--cluster-port", &bus],
            ["--cluster-node-timeout", NODE_TIMEOUT_MS],
            // A replica of the dead master may take over however long it was without it.
            ["--cluster-replica-validity-factor", "0"],
            ["--cluster-allow-replica-migration", "no"],
        ];
        servers.push(server_with(arguments.as_flattened()).await);
        buses.push(bus);
    }
    let hosts: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    let cluster = RedisCluster { url: format!("redis+cluster://{}", hosts.join(",")), servers };
    cluster.give_slots().await;
    cluster.introduce(&buses).await;
    for replica in MASTERS..cluster.servers.len() {
        let id: String = cluster.tell(replica % MASTERS, &["CLUSTER", "MYID"]).await;
        cluster.tell::<()>(replica, &["CLUSTER", "REPLICATE", &id]).await;
    }
    cluster.all_say("cluster_state:ok").await;
    cluster.all_follow(replicas).await;
    cluster
}

impl RedisCluster {
    /// Makes every node known to all others.
    async fn introduce(&self, buses: &[String]) {
        let known = format!("cluster_known_nodes:{}", self.servers.len());
        let mut introduced: Option<Instant> = None;
        wait::until(&known, LIMIT, async || {
            if introduced.is_none_or(|at| at.elapsed() > MEET_AGAIN) {
                for (server, bus) in self.servers.iter().zip(buses).skip(1) {
                    let port = server.port().to_string();
                    self.tell::<()>(0, &["CLUSTER", "MEET", "127.0.0.1", &port, bus]).await;
                }
                introduced = Some(Instant::now());
            }
            for server in &self.servers {
                let info: String = ask(&server.url, &["CLUSTER", "INFO"]).await?;
                info.contains(&known).then_some(())?;
            }
            Some(())
        })
        .await;
    }

    async fn give_slots(&self) {
        for master in 0..MASTERS {
            let (first, end) = (master * SLOTS / MASTERS, (master + 1) * SLOTS / MASTERS);
            let (first, last) = (first.to_string(), (end - 1).to_string());
            self.tell::<()>(master, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
        }
        for node in 0..self.servers.len() {
            let epoch = (node + 1).to_string();
            self.tell::<()>(node, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
        }
    }

    /// Waits until every node says this about the cluster.
    async fn all_say(&self, line: &str) {
        for server in &self.servers {
            wait::until(line, LIMIT, async || {
                let info: String = ask(&server.url, &["CLUSTER", "INFO"]).await?;
                info.contains(line).then_some(())
            })
            .await;
        }
    }

    /// Waits until every node knows the replicas of every master, and these have caught up.
    async fn all_follow(&self, replicas: usize) {
        for (node, server) in self.servers.iter().enumerate() {
            wait::until("the replicas", LIMIT, async || {
                let slots: Vec<Vec<::redis::Value>> = ask(&server.url, &["CLUSTER", "SLOTS"]).await?;
                let info: String = ask(&server.url, &["INFO", "replication"]).await?;
                let is_following = node < MASTERS || info.contains("master_link_status:up");
                let is_known =
                    slots.len() == MASTERS && slots.iter().all(|range| range.len() == 3 + replicas);
                (is_following && is_known).then_some(())
            })
            .await;
        }
    }

    /// Sends a command to one node until it obeys.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn tell<T: ::redis::FromRedisValue>(&self, node: usize, words: &[&str]) -> T {
        let server = &self.servers[node];
        wait::until(&words.join(" "), LIMIT, async || ask(&server.url, words).await).await
    }

    /// Returns the node that owns the slot of `key`, as another node than `except` sees it.
    ///
    /// # Panics
    ///
    /// When the nodes do not know.
    pub async fn owner(&self, key: &str, except: Option<usize>) -> usize {
        let asked = usize::from(except == Some(0));
        let slot: i64 = self.tell(asked, &["CLUSTER", "KEYSLOT", key]).await;
        wait::until("the owner of a slot", LIMIT, async || {
            let slots: Vec<Vec<::redis::Value>> =
                ask(&self.servers[asked].url, &["CLUSTER", "SLOTS"]).await?;
            let range = slots.into_iter().find(|range| match range[..] {
                [::redis::Value::Int(first), ::redis::Value::Int(last), ..] => (first..=last).contains(&slot),
                _ => false,
            })?;
            let node: Vec<::redis::Value> = ::redis::from_redis_value(range.into_iter().nth(2)?).ok()?;
            let port: u16 = ::redis::from_redis_value(node.into_iter().nth(1)?).ok()?;
            self.servers.iter().position(|server| server.port() == port)
        })
        .await
    }

    /// Waits until a replica has taken the place of the dead node `master` and the cluster is whole again.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn promoted(&self, master: usize) {
        let replica = &self.servers[master + MASTERS];
        wait::until("the failover", LIMIT, async || {
            let info: String = ask(&replica.url, &["INFO", "replication"]).await?;
            let state: String = ask(&replica.url, &["CLUSTER", "INFO"]).await?;
            (info.contains("role:master") && state.contains("cluster_state:ok")).then_some(())
        })
        .await;
    }

    /// Removes every key.
    pub async fn flush(&self) {
        for node in 0..MASTERS {
            self.tell::<()>(node, &["FLUSHALL"]).await;
        }
    }

    /// Moves a slot with all its keys to another node.
    ///
    /// # Panics
    ///
    /// When a node refuses.
    pub async fn move_slot(&self, key: &str, to: usize) {
        let from = self.owner(key, None).await;
        self.begin_move(key, to).await;
        let slot = self.tell::<i64>(from, &["CLUSTER", "KEYSLOT", key]).await.to_string();
        let id: String = self.tell(to, &["CLUSTER", "MYID"]).await;
        for node in [to, from].into_iter().chain((0..MASTERS).filter(|&node| node != from && node != to)) {
            self.tell::<()>(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &id]).await;
        }
    }

    /// Moves the keys of a slot to another node without telling the others: the old one answers `ASK`.
    ///
    /// # Panics
    ///
    /// When a node refuses.
    pub async fn begin_move(&self, key: &str, to: usize) {
        let from = self.owner(key, None).await;
        let slot = self.tell::<i64>(from, &["CLUSTER", "KEYSLOT", key]).await.to_string();
        let (source, target): (String, String) =
            (self.tell(from, &["CLUSTER", "MYID"]).await, self.tell(to, &["CLUSTER", "MYID"]).await);
        self.tell::<()>(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]).await;
        self.tell::<()>(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]).await;
        let keys: Vec<String> = self.tell(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]).await;
        let port = self.servers[to].port().to_string();
        for key in keys {
            self.tell::<()>(from, &["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]).await;
        }
    }
}
