//! Where servers are and how a connection to one is made: the one place that knows Sentinel and Cluster.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, RedisError, RedisResult, TlsCertificates};
use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;

use crate::address::{Address, Endpoint};
use crate::cluster::Cluster;
use crate::config::RedisConfig;
use crate::sentinel::Sentinels;
use crate::slot::away;
use crate::wire::Wire;

/// Commands that wait to be written on one connection; callers beyond wait in line.
const PIPELINE_LEN_MAX: usize = 1024;
/// Bytes encoded ahead of the socket.
const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// The server that a key is on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Node {
    /// The only one, or the master of the moment.
    Main,
    /// This node of a cluster.
    At(Endpoint),
}

/// What a failure says about where to ask instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// The key is on another node.
    Moved,
    /// The key is on its way to this node and may be there already.
    Ask(Node),
    /// Some keys of the command have moved already; soon all will have.
    Wait,
}

/// Certificates to check servers with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls(Option<Arc<[u8]>>);

impl Tls {
    /// Returns a client of one server.
    pub(crate) fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        match &self.0 {
            None => Client::open(info),
            Some(pem) => Client::build_with_tls(
                info,
                TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) },
            ),
        }
    }
}

/// Makes connections to the servers of the configuration; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    servers: Servers,
    tls: Tls,
    has_wire: bool,
    connect_timeout: Duration,
    /// The runtime that connections live on; callers may be on others that end earlier.
    runtime: Handle,
}

#[derive(Clone, Debug)]
enum Servers {
    Single(Arc<ConnectionInfo>),
    Sentinel(Arc<Sentinels>),
    Cluster(Arc<Cluster>),
}

impl Dialer {
    /// Checks the address; nothing is sent yet.
    pub(crate) fn new(config: &RedisConfig, runtime: Handle) -> RedisResult<Self> {
        let address = Address::parse(config.url.expose_secret())?;
        if address.is_tls() {
            // The driver panics if nobody has chosen; an error here means that somebody has.
            let _chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let tls = Tls(config.root_certificates.as_deref().map(Arc::from));
        // What is wrong with the certificates is found here, not at the first connection.
        tls.client(address.like().clone())?;
        let has_wire = Wire::can_reach(address.like());
        let servers = match address {
            Address::Single(info) => Servers::Single(Arc::new(info)),
            Address::Sentinel { sentinels, master, like } => Servers::Sentinel(Arc::new(Sentinels {
                places: sentinels,
                master: master.into(),
                like,
                tls: tls.clone(),
            })),
            Address::Cluster { nodes, like } => {
                Servers::Cluster(Arc::new(Cluster::new(nodes, like, tls.clone())))
            }
        };
        Ok(Self { servers, tls, has_wire, connect_timeout: config.connect_timeout, runtime })
    }

    /// Returns the runtime that connections live on.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Tells whether keys are spread over nodes.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.servers, Servers::Cluster(_))
    }

    /// Tells whether sentinels say where the server is.
    pub(crate) fn is_sentinel(&self) -> bool {
        matches!(self.servers, Servers::Sentinel(_))
    }

    /// Returns the server that `key` is on. Waits only for the first map of a cluster.
    pub(crate) async fn node_of(&self, key: &str) -> RedisResult<Node> {
        let Servers::Cluster(cluster) = &self.servers else { return Ok(Node::Main) };
        let (owner, is_due) = cluster.owner(key);
        if let Some(owner) = owner {
            if is_due {
                // Whoever needs the answer comes again; nobody has to wait for it.
                let cluster = Arc::clone(cluster);
                self.runtime.spawn(async move { cluster.ask().await });
            }
            return Ok(Node::At(owner));
        }
        self.ask(cluster).await?;
        let (owner, _) = cluster.owner(key);
        owner.map(Node::At).ok_or_else(|| away("no node of the cluster owns the key's slot"))
    }

    /// Returns every server that keys are on.
    pub(crate) async fn nodes(&self) -> RedisResult<Vec<Node>> {
        let Servers::Cluster(cluster) = &self.servers else { return Ok(vec![Node::Main]) };
        self.ask(cluster).await?;
        Ok(cluster.masters().into_iter().map(Node::At).collect())
    }

    async fn ask(&self, cluster: &Arc<Cluster>) -> RedisResult<()> {
        let cluster = Arc::clone(cluster);
        self.here(async move { cluster.ask().await }).await
    }

    /// Learns from a failure where things are, and tells what to do instead of giving up.
    pub(crate) fn learn(&self, error: &RedisError, node: &Node) -> Option<Redirect> {
        let Servers::Cluster(cluster) = &self.servers else { return None };
        let target = || {
            let mut words = error.detail()?.split_ascii_whitespace();
            let slot: u16 = words.next()?.parse().ok()?;
            let asked = match node {
                Node::At(endpoint) => endpoint.host.as_str(),
                Node::Main => "",
            };
            Some((slot, Endpoint::told(words.next()?, asked)?))
        };
        match error.code() {
            Some("MOVED") => {
                let (slot, owner) = target()?;
                cluster.correct(slot, owner);
                Some(Redirect::Moved)
            }
            Some("ASK") => target().map(|(_, owner)| Redirect::Ask(Node::At(owner))),
            Some("TRYAGAIN") => Some(Redirect::Wait),
            // The answer of a node that does its part.
            Some(code) if !matches!(code, "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY") => None,
            _ => {
                cluster.doubt();
                None
            }
        }
    }

    /// Makes a connection. Must run on [`Self::runtime`]: it ends with the runtime that made it.
    pub(crate) async fn dial(
        &self,
        node: &Node,
        response_timeout: Duration,
    ) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(response_timeout))
            .set_pipeline_buffer_size(PIPELINE_LEN_MAX)
            .set_write_backpressure_boundary(WRITE_BUFFER_BYTES_MAX);
        let connect = async {
            let client = self.tls.client(self.find(node).await?)?;
            client.get_multiplexed_async_connection_with_config(&config).await
        };
        let connected = connect.await;
        if let Err(error) = &connected {
            self.learn(error, node);
        }
        connected
    }

    /// Returns how to reach the server now.
    async fn find(&self, node: &Node) -> RedisResult<ConnectionInfo> {
        match (&self.servers, node) {
            (Servers::Single(info), _) => Ok((**info).clone()),
            (Servers::Sentinel(sentinels), _) => sentinels.find_master().await,
            (Servers::Cluster(cluster), Node::At(endpoint)) => Ok(endpoint.reached_like(&cluster.like)),
            (Servers::Cluster(_), Node::Main) => Err(away("a cluster has no main node")),
        }
    }

    /// Tells whether [`Self::dial_wire`] works for the address.
    pub(crate) fn has_wire(&self) -> bool {
        self.has_wire
    }

    /// Makes a bare connection, on whichever runtime this is called.
    pub(crate) async fn dial_wire(&self, node: &Node) -> RedisResult<Wire> {
        let (dialer, node) = (self.clone(), node.clone());
        self.here(async move {
            let connect = async {
                let info = dialer.find(&node).await?;
                Ok::<_, RedisError>(Wire::dial(&info).await?)
            };
            let connected = match tokio::time::timeout(dialer.connect_timeout, connect).await {
                Ok(connected) => connected,
                Err(elapsed) => Err(std::io::Error::from(elapsed).into()),
            };
            if let Err(error) = &connected {
                dialer.learn(error, &node);
            }
            connected
        })
        .await
    }

    /// Makes a connection for commands that block, on whichever runtime this is called.
    pub(crate) async fn dial_blocking(&self, node: &Node) -> RedisResult<MultiplexedConnection> {
        let (dialer, node) = (self.clone(), node.clone());
        self.here(async move { dialer.dial(&node, dialer.connect_timeout).await }).await
    }

    /// Runs on [`Self::runtime`].
    async fn here<T: Send + 'static>(
        &self,
        what: impl Future<Output = RedisResult<T>> + Send + 'static,
    ) -> RedisResult<T> {
        let task = self.runtime.spawn(what);
        task.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }
}
