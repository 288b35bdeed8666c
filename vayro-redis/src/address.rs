//! What `redis.url` says: one server, a master that sentinels know, or the nodes of a cluster.

use std::fmt;

use redis::io::tcp::TcpSettings;
use redis::{
    ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, ProtocolVersion, RedisError,
    RedisResult,
};

use crate::slot::keepalive;

/// Most hosts of one address.
const HOSTS_MAX: usize = 64;
/// Where sentinels listen unless the address says otherwise.
const SENTINEL_PORT: u16 = 26379;
/// Where servers listen unless the address says otherwise.
const SERVER_PORT: u16 = 6379;

/// A place to connect to by TCP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Endpoint {
    /// Reads `host:port`, `[v6]:port` or `host` with a port that goes without saying.
    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.starts_with('[') && host.ends_with(']') => {
                (host, port.parse().ok()?)
            }
            _ => (text, default_port),
        };
        let host = host.trim_matches(['[', ']']);
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
    }

    /// Reads the place in an answer of a node, such as `127.0.0.1:7001` or `::1:7001`. A node that does not
    /// know its own host leaves it out; then it is the one that was asked.
    pub(crate) fn told(text: &str, asked: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = if host.is_empty() || host == "?" { asked } else { host };
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }

    /// Returns `like` with this place instead of its own.
    pub(crate) fn reached_like(&self, like: &ConnectionInfo) -> ConnectionInfo {
        let (host, port) = (self.host.clone(), self.port);
        let addr = match like.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        like.clone().set_addr(addr)
    }
}

/// Where Redis is.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    /// One server.
    Single(ConnectionInfo),
    /// Whichever server the sentinels call the master of this name.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// How the master is reached, except for its place.
        like: ConnectionInfo,
    },
    /// A cluster that these nodes belong to.
    Cluster {
        nodes: Vec<Endpoint>,
        /// How each is reached, except for its place.
        like: ConnectionInfo,
    },
}

impl Address {
    /// Reads an address:
    ///
    /// - `redis://[user:password@]host:port[/db]`, `rediss://…` (TLS), `unix:///path`
    /// - `redis+sentinel://[user:password@]host:port,host:port/master[/db]`, `rediss+sentinel://…`; a name and
    ///   password for the sentinels themselves are `?sentinel_username=…&sentinel_password=…`
    /// - `redis+cluster://[user:password@]host:port,host:port`, `rediss+cluster://…`
    pub(crate) fn parse(url: &str) -> RedisResult<Self> {
        let Some((scheme, rest)) = url.split_once("://") else { return Err(invalid("it has no scheme")) };
        let Some((scheme, kind)) = scheme.split_once('+') else {
            return connection(url).map(Self::Single);
        };
        if !matches!(scheme, "redis" | "rediss") {
            return Err(invalid("its scheme is unknown"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), authority),
        };
        match kind {
            "sentinel" => {
                let (master, db) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(invalid("it does not name the master"));
                }
                let like = connection(&format!("{scheme}://{credentials}localhost/{db}"))?;
                let sentinel = sentinel_like(scheme, query)?;
                let sentinels = endpoints(hosts, SENTINEL_PORT)?;
                let sentinels = sentinels.iter().map(|host| host.reached_like(&sentinel)).collect();
                Ok(Self::Sentinel { sentinels, master: master.to_owned(), like })
            }
            "cluster" => {
                if !path.is_empty() {
                    return Err(invalid("a cluster has no numbered databases"));
                }
                let like = connection(&format!("{scheme}://{credentials}localhost/"))?;
                Ok(Self::Cluster { nodes: endpoints(hosts, SERVER_PORT)?, like })
            }
            _ => Err(invalid("its scheme is unknown")),
        }
    }

    /// Tells whether connections are encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.like().addr(), ConnectionAddr::TcpTls { .. })
    }

    /// Returns how a server is reached; its place is right only for one server.
    pub(crate) fn like(&self) -> &ConnectionInfo {
        match self {
            Self::Single(info) => info,
            Self::Sentinel { like, .. } | Self::Cluster { like, .. } => like,
        }
    }
}

/// Reads an address of the driver's kind and adds what all connections have in common.
fn connection(url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    // Without TCP_NODELAY small commands wait for the acknowledgment of the previous one.
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive());
    // Replies are decoded by hand, in the shape every server version speaks.
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    Ok(info.set_tcp_settings(tcp).set_redis_settings(redis))
}

fn sentinel_like(scheme: &str, query: &str) -> RedisResult<ConnectionInfo> {
    let url = format!("{scheme}://localhost/?{query}");
    let parsed = redis::parse_redis_url(&url).ok_or_else(|| invalid("what follows `?` cannot be read"))?;
    let info = connection(&format!("{scheme}://localhost/"))?;
    let mut settings = info.redis_settings().clone();
    for (name, value) in parsed.query_pairs() {
        settings = match &*name {
            "sentinel_username" => settings.set_username(value),
            "sentinel_password" => settings.set_password(value),
            _ => return Err(invalid("what follows `?` is unknown")),
        };
    }
    Ok(info.set_redis_settings(settings))
}

fn endpoints(hosts: &str, default_port: u16) -> RedisResult<Vec<Endpoint>> {
    let endpoints: Option<Vec<_>> =
        hosts.split(',').map(|host| Endpoint::parse(host.trim(), default_port)).collect();
    endpoints
        .filter(|endpoints| endpoints.len() <= HOSTS_MAX)
        .ok_or_else(|| invalid("its hosts must be 1 to 64 `host:port`, separated by commas"))
}

fn invalid(why: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, why).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(infos: &[ConnectionInfo]) -> Vec<String> {
        infos.iter().map(|info| info.addr().to_string()).collect()
    }

    #[test]
    fn one_server_is_the_drivers_address() {
        let Address::Single(info) = Address::parse("redis://ann:pw@cache:7000/3").expect("an address") else {
            panic!("one server");
        };
        assert_eq!(info.addr().to_string(), "cache:7000");
        assert_eq!(info.redis_settings().db(), 3);
        assert!(Address::parse("rediss://cache/").expect("an address").is_tls());
    }

    #[test]
    fn sentinels_are_listed_before_their_master() {
        let url = "redis+sentinel://ann:p%40w@one:1,two,[::1]:3/main/5?sentinel_password=s%26t";
        let Address::Sentinel { sentinels, master, like } = Address::parse(url).expect("an address") else {
            panic!("sentinels");
        };
        assert_eq!(places(&sentinels), ["one:1", "two:26379", "::1:3"]);
        assert_eq!(sentinels[0].redis_settings().password(), Some("s&t"));
        assert_eq!(sentinels[0].redis_settings().username(), None);
        assert_eq!((master.as_str(), like.redis_settings().db()), ("main", 5));
        assert_eq!(like.redis_settings().password(), Some("p@w"));
        assert!(Address::parse("rediss+sentinel://one/main").expect("an address").is_tls());
    }

    #[test]
    fn a_cluster_is_some_of_its_nodes() {
        let Address::Cluster { nodes, like } =
            Address::parse("redis+cluster://:pw@one:1,two").expect("an address")
        else {
            panic!("a cluster");
        };
        assert_eq!(nodes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["one:1", "two:6379"]);
        assert_eq!(like.redis_settings().password(), Some("pw"));
        assert_eq!(nodes[1].reached_like(&like).addr().to_string(), "two:6379");
    }

    #[test]
    fn other_addresses_are_refused() {
        for url in [
            "localhost:6379",
            "http://localhost",
            "http+cluster://localhost",
            "redis+odd://localhost",
            "redis+sentinel://one",
            "redis+sentinel://one:x/main",
            "redis+sentinel://one,/main",
            "redis+sentinel://one/main?odd=1",
            "redis+sentinel://one/main/db",
            "redis+cluster://one/3",
            "redis+cluster://",
        ] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_node_that_does_not_know_its_host_is_where_it_was_asked() {
        let told = |text| Endpoint::told(text, "asked").map(|endpoint| endpoint.to_string());
        assert_eq!(told("127.0.0.1:7001").as_deref(), Some("127.0.0.1:7001"));
        assert_eq!(told("::1:7001").as_deref(), Some("[::1]:7001"));
        assert_eq!(told(":7001").as_deref(), Some("asked:7001"));
        assert_eq!(told("odd"), None);
    }
}
