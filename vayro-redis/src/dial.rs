//! Where the server is and how a connection to it is made: the one place that Sentinel or Cluster changes.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion, RedisError,
    RedisResult, TlsCertificates,
};
use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;

use crate::backoff::Backoff;
use crate::config::RedisConfig;
use crate::wire::Wire;

/// Commands that wait to be written on one connection; callers beyond wait in line.
const PIPELINE_LEN_MAX: usize = 1024;
/// Bytes encoded ahead of the socket.
const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Silence after which the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Makes connections to the one server of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    client: Client,
    connect_timeout: Duration,
    /// The runtime that connections live on; callers may be on others that end earlier.
    runtime: Handle,
}

impl Dialer {
    /// Checks the address; nothing is sent yet.
    pub(crate) fn new(config: &RedisConfig, runtime: Handle) -> RedisResult<Self> {
        let info = config.url.expose_secret().into_connection_info()?;
        // Without TCP_NODELAY small commands wait for the acknowledgment of the previous one.
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive());
        // Replies are decoded by hand, in the shape every server version speaks.
        let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
        let info = info.set_tcp_settings(tcp).set_redis_settings(redis);
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            // The driver panics if nobody has chosen; an error here means that somebody has.
            let _chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let client = match &config.root_certificates {
            None => Client::open(info)?,
            Some(pem) => Client::build_with_tls(
                info,
                TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) },
            )?,
        };
        Ok(Self { client, connect_timeout: config.connect_timeout, runtime })
    }

    /// Returns the runtime that connections live on.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Makes a connection. Must run on [`Self::runtime`]: it ends with the runtime that made it.
    pub(crate) async fn dial(&self, response_timeout: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(response_timeout))
            .set_pipeline_buffer_size(PIPELINE_LEN_MAX)
            .set_write_backpressure_boundary(WRITE_BUFFER_BYTES_MAX);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Tells whether [`Self::dial_wire`] works for the address.
    pub(crate) fn has_wire(&self) -> bool {
        Wire::can_reach(self.client.get_connection_info())
    }

    /// Makes a bare connection, on whichever runtime this is called.
    pub(crate) async fn dial_wire(&self) -> RedisResult<Wire> {
        let (info, limit) = (self.client.get_connection_info().clone(), self.connect_timeout);
        let dial = self.runtime.spawn(async move {
            match tokio::time::timeout(limit, Wire::dial(&info)).await {
                Ok(result) => Ok(result?),
                Err(elapsed) => Err(RedisError::from(std::io::Error::from(elapsed))),
            }
        });
        dial.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }

    /// Makes a connection for commands that block, on whichever runtime this is called.
    pub(crate) async fn dial_blocking(&self) -> RedisResult<MultiplexedConnection> {
        let dialer = self.clone();
        let dial = self.runtime.spawn(async move { dialer.dial(dialer.connect_timeout).await });
        dial.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }
}

/// The error of a server that nobody is connected to.
pub(crate) fn away(why: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::NotConnected, why).into()
}

/// Keeps dead peers from being waited for.
pub(crate) fn keepalive() -> socket2::TcpKeepalive {
    socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE)
}

/// The place of a connection that one caller uses at a time.
///
/// The connection is taken out while it is used and put back only after a whole answer: if the caller
/// vanishes in between, so does the connection, and the answer cannot reach the next caller.
#[derive(Debug)]
pub(crate) struct Slot<C> {
    connection: Option<C>,
    backoff: Backoff,
}

impl<C> Default for Slot<C> {
    fn default() -> Self {
        Self { connection: None, backoff: Backoff::default() }
    }
}

impl<C> Slot<C> {
    /// Returns how long it takes until a connection may be made, `None` if there is one or one may be made.
    pub(crate) fn pause(&self) -> Option<Duration> {
        if self.connection.is_some() { None } else { self.backoff.wait(Instant::now()) }
    }

    /// Takes the connection, making one if there is none. Fails at once during a pause after a failure.
    pub(crate) async fn take(&mut self, dial: impl Future<Output = RedisResult<C>>) -> RedisResult<C> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        if self.pause().is_some() {
            return Err(away("Redis did not answer a moment ago"));
        }
        let result = dial.await;
        self.backoff.note(result.is_ok(), Instant::now());
        result
    }

    /// Puts the connection back.
    pub(crate) fn put(&mut self, connection: C) {
        self.connection = Some(connection);
    }
}
