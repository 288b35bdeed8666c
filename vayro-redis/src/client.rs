//! The way to Redis that everything else shares.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use tokio::runtime::Handle;

use crate::config::RedisConfig;
use crate::dial::{Dialer, Node};
use crate::lane::Lane;
use crate::shards::Shards;

/// Oldest server with every command used here (`GETEX`, `XAUTOCLAIM`).
const VERSION_MIN: (u32, u32) = (6, 2);

/// Connections to Redis: one server, a master that sentinels know, or a cluster; cheap to clone.
///
/// They are made when first used, made anew when they fail, and live on the tokio runtime that made this
/// value, whichever runtime the callers are on.
#[derive(Clone, Debug)]
pub struct RedisClient {
    pub(crate) dialer: Dialer,
    /// For look-ups, which must not wait behind anything slow.
    pub(crate) lookups: Lane,
    /// For everything that neither blocks nor is in a hurry.
    pub(crate) commands: Lane,
    /// The shards of the click stream.
    pub(crate) shards: Arc<Shards>,
    /// Longest time for an answer.
    pub(crate) response_timeout: Duration,
}

/// Why Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is malformed.
    #[error(
        "the Redis address must look like `redis://host:6379/0`, `rediss://…`, `unix:///path`, \
         `redis+sentinel://host,host/master` or `redis+cluster://host,host`"
    )]
    Address(#[source] RedisError),
    /// Nobody answers there, or not in time.
    #[error("Redis cannot be reached")]
    Unreachable(#[source] RedisError),
    /// It is too old.
    #[error("Redis {found} is too old, {}.{} is the oldest that will do", VERSION_MIN.0, VERSION_MIN.1)]
    TooOld {
        /// The version it says it has.
        found: String,
    },
    /// It is a node of Redis Cluster.
    #[error("Redis runs in cluster mode; its address must begin with `redis+cluster://`")]
    Cluster,
    /// It is no node of Redis Cluster although the address says so.
    #[error("Redis does not run in cluster mode; its address must begin with `redis://`")]
    NoCluster,
}

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// Which node of a cluster it is.
    pub place: Option<String>,
    /// What it is, such as `Redis 7.0.15` or `Valkey 9.1.2`.
    pub product: String,
    /// The version of Redis it is or is compatible with, such as `7.0.15`.
    pub version: String,
    /// What it does when memory is full, such as `noeviction`.
    pub maxmemory_policy: String,
    /// Whether it keeps an append-only file.
    pub is_aof_enabled: bool,
    /// Whether it is a node of Redis Cluster.
    pub is_cluster: bool,
}

impl RedisClient {
    /// Prepares connections without making one. Fails only if the address is malformed.
    ///
    /// # Panics
    ///
    /// When called outside a tokio runtime.
    pub fn open(config: &RedisConfig) -> Result<Self, ConnectError> {
        let dialer = Dialer::new(config, Handle::current()).map_err(ConnectError::Address)?;
        let commands = Lane::new(dialer.clone(), config.response_timeout);
        Ok(Self {
            lookups: Lane::new(dialer.clone(), config.lookup_timeout),
            shards: Arc::new(Shards::new(commands.clone(), dialer.is_cluster())),
            commands,
            response_timeout: config.response_timeout,
            dialer,
        })
    }

    /// Prepares connections, makes sure that the server will do, and logs a warning for each setting of
    /// it that puts clicks at risk.
    ///
    /// # Panics
    ///
    /// When called outside a tokio runtime.
    pub async fn connect(config: &RedisConfig) -> Result<Self, ConnectError> {
        let client = Self::open(config)?;
        let all = client.facts().await?;
        for facts in &all {
            if facts.is_cluster && !client.dialer.is_cluster() {
                return Err(ConnectError::Cluster);
            }
            if !facts.is_cluster && client.dialer.is_cluster() {
                return Err(ConnectError::NoCluster);
            }
            if !facts.is_recent() {
                return Err(ConnectError::TooOld { found: facts.version.clone() });
            }
        }
        let warnings: BTreeSet<String> = all.iter().flat_map(ServerFacts::warnings).collect();
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(client)
    }

    /// Asks the server for a sign of life, in a cluster every node that owns slots.
    pub async fn ping(&self) -> Result<(), ConnectError> {
        let ping = redis::cmd("PING");
        for node in self.dialer.nodes().await.map_err(ConnectError::Unreachable)? {
            self.commands.query_at::<()>(&node, &ping).await.map_err(ConnectError::Unreachable)?;
        }
        Ok(())
    }

    /// Asks the server about itself, in a cluster every node that owns slots. Fails if none answers.
    pub async fn facts(&self) -> Result<Vec<ServerFacts>, ConnectError> {
        let (info, mut all, mut failure) = (redis::cmd("INFO"), Vec::new(), None);
        for node in self.dialer.nodes().await.map_err(ConnectError::Unreachable)? {
            let said: String = match self.commands.query_at(&node, &info).await {
                Ok(said) => said,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            let place = match node {
                Node::Main => None,
                Node::At(endpoint) => Some(endpoint.to_string()),
            };
            all.push(ServerFacts { place, ..ServerFacts::parse(&said) });
        }
        match failure {
            Some(error) if all.is_empty() => Err(ConnectError::Unreachable(error)),
            _ => Ok(all),
        }
    }
}

impl ServerFacts {
    /// Reads the answer to `INFO`; what is not there is left empty.
    fn parse(info: &str) -> Self {
        let find = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let version = find("redis_version");
        let product = match find("valkey_version") {
            valkey if valkey.is_empty() => format!("Redis {version}"),
            valkey => format!("Valkey {valkey}"),
        };
        Self {
            place: None,
            product,
            version,
            maxmemory_policy: find("maxmemory_policy"),
            // A server that does not say is not accused.
            is_aof_enabled: find("aof_enabled") != "0",
            is_cluster: find("cluster_enabled") == "1",
        }
    }

    fn is_recent(&self) -> bool {
        let mut parts = self.version.split('.').map(|part| part.parse::<u32>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), Some(minor)) => (major, minor) >= VERSION_MIN,
            // Some proxies and managed services hide the version; the commands will tell.
            _ => true,
        }
    }

    /// Returns a sentence for each setting that puts clicks at risk.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.maxmemory_policy.starts_with("allkeys-") {
            warnings.push(format!(
                "Redis may evict the whole click stream when memory is full: `maxmemory-policy` is `{}`, \
                 set it to `noeviction`",
                self.maxmemory_policy
            ));
        }
        if !self.is_aof_enabled {
            warnings.push(
                "Redis loses waiting clicks when it restarts: `appendonly` is `no`, set it to `yes`"
                    .to_owned(),
            );
        }
        warnings
    }
}

impl fmt::Display for ServerFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aof = if self.is_aof_enabled { "on" } else { "off" };
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}, memory policy {}, append-only file {aof}", self.product, self.maxmemory_policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n\r\n# Memory\r\n\
        maxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\n# Cluster\r\ncluster_enabled:0\r\n";

    #[test]
    fn a_well_set_server_has_no_warnings() {
        let facts = ServerFacts::parse(INFO);
        assert_eq!(facts.to_string(), "Redis 7.0.15, memory policy noeviction, append-only file on");
        assert!(facts.is_recent() && !facts.is_cluster);
        assert!(facts.warnings().is_empty());
    }

    #[test]
    fn other_products_are_called_by_their_names() {
        let info = INFO.replace("redis_mode:", "valkey_version:9.1.2\r\nredis_mode:");
        assert_eq!(
            ServerFacts::parse(&info).to_string(),
            "Valkey 9.1.2, memory policy noeviction, append-only file on"
        );
    }

    #[test]
    fn eviction_and_missing_persistence_are_warned_of() {
        let info = INFO.replace("noeviction", "allkeys-lru").replace("aof_enabled:1", "aof_enabled:0");
        let warnings = ServerFacts::parse(&info).warnings();
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("`allkeys-lru`") && warnings[1].contains("`appendonly`"));
        let info = INFO.replace("noeviction", "volatile-ttl");
        assert!(ServerFacts::parse(&info).warnings().is_empty(), "the stream has no time to live");
    }

    #[test]
    fn old_servers_are_told_from_new_and_secretive_ones() {
        for (version, is_recent) in [("6.0.16", false), ("6.2.0", true), ("10.0", true), ("", true)] {
            assert_eq!(
                ServerFacts::parse(&INFO.replace("7.0.15", version)).is_recent(),
                is_recent,
                "{version}"
            );
        }
    }
}
