//! Where the server is and how a connection to it is made: the one place that Sentinel or Cluster changes.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2};
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, ProtocolVersion, RedisResult};
use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;

use crate::config::RedisConfig;

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
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE));
        // Replies are decoded by hand, in the shape every server version speaks.
        let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
        let client = Client::open(info.set_tcp_settings(tcp).set_redis_settings(redis))?;
        Ok(Self { client, connect_timeout: config.connect_timeout, runtime })
    }

    /// Returns the runtime that connections live on.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Makes a connection of its own. Must run on [`Self::runtime`]: the connection ends with the
    /// runtime that made it.
    pub(crate) async fn dial(&self, response_timeout: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(response_timeout))
            .set_pipeline_buffer_size(PIPELINE_LEN_MAX)
            .set_write_backpressure_boundary(WRITE_BUFFER_BYTES_MAX);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}
