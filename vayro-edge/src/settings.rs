//! What can be configured about the edge. `config/vayro.toml` has the defaults and the reasons.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use vayro_core::host::Host;
use vayro_core::target::TargetUrl;

/// The settings of one edge, checked.
#[derive(Clone, Debug)]
pub struct EdgeSettings {
    /// Addresses for HTTP.
    pub listen: Vec<SocketAddr>,
    /// Addresses for HTTPS; they need a certificate.
    pub listen_tls: Vec<SocketAddr>,
    /// Address of health, readiness and metrics; `None` if somebody else serves them.
    pub admin_listen: Option<SocketAddr>,
    /// Threads that serve connections; 0 means one per core.
    pub threads: usize,
    /// Certificates; the first one is for clients that name no host or an unknown one.
    pub certificates: Vec<CertificateSettings>,
    /// How often certificate files are looked at again.
    pub certificate_reload: Duration,
    /// Whether HTTP requests for hosts with a certificate are sent to HTTPS.
    pub https_redirect: bool,
    /// The port visitors reach HTTPS on.
    pub https_port: u16,
    /// Hosts of the default domain; matters where unknown hosts are refused.
    pub default_hosts: Vec<Host>,
    /// What happens to requests for a host that nobody registered.
    pub unknown_host: UnknownHost,
    /// Where `/` leads; `None` shows a small page.
    pub root_redirect: Option<TargetUrl>,
    /// Other hosts and the servers behind them.
    pub upstreams: Vec<UpstreamSettings>,
    /// Proxies in front of the edge whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether a trusted proxy on this machine may say when a visit was, for demo data.
    pub demo_import: bool,
    /// How long browsers may keep a permanent redirect.
    pub permanent_max_age: Duration,
    /// Most bytes of links in memory, roughly.
    pub cache_size: u64,
    /// How long a link is served from memory without asking.
    pub cache_fresh: Duration,
    /// How long after that it is served while one look-up refreshes it.
    pub cache_revalidate: Duration,
    /// How old a link may be that is served because nobody can be asked.
    pub cache_stale: Duration,
    /// Most unknown codes remembered.
    pub absent_len: usize,
    /// How long an unknown code is remembered.
    pub absent_for: Duration,
    /// How long one look-up may take.
    pub lookup_timeout: Duration,
    /// Clicks that fit into the ring of one thread.
    pub click_ring_len: usize,
    /// How long one batch of clicks may take to be handed over before it is offered again.
    pub click_timeout: Duration,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// How long a request head may take from its first byte.
    pub head_timeout: Duration,
    /// Most bytes of a request head.
    pub head_size: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long a client may take none of the bytes that wait for it.
    pub write_timeout: Duration,
    /// Requests on one connection before it is closed.
    pub requests_per_connection: u32,
    /// Most connections.
    pub connections: usize,
    /// Most connections from one address (of IPv6, from one /64). Trusted proxies are exempt.
    pub connections_per_address: u32,
    /// Most streams of one HTTP/2 connection at a time.
    pub h2_streams: u32,
    /// How long requests may go on after the edge was told to stop.
    pub grace: Duration,
    /// How long clicks may take to leave the process at its end.
    pub flush_timeout: Duration,
}

/// One certificate.
#[derive(Clone, Debug)]
pub struct CertificateSettings {
    /// PEM file of the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
}

/// A host whose requests go to another server.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// The host.
    pub host: Host,
    /// Host or address and port of the server.
    pub address: String,
    /// Whether to speak TLS with it.
    pub tls: bool,
}

/// What happens to requests for a host that nobody registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownHost {
    /// They are for the default domain.
    Default,
    /// They are refused.
    Reject,
}

impl EdgeSettings {
    /// Returns how many threads serve connections.
    pub(crate) fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            threads => threads,
        }
    }
}
