//! What can be configured about the edge. `config/vayro.toml` has the defaults and the reasons.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use vayro_backends::config::{Acme, AcmeConfig, ConfigErrors, Layers, Size, Span};
use vayro_core::host::Host;
use vayro_core::target::TargetUrl;
use vayro_core::visit::{ClickAddress, ClickPolicy, PrivacySignal, UnknownHost};

/// Smallest and largest limit of a request head; Pingora itself takes no more than a mebibyte.
const HEAD_SIZES: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 19;

/// Section `[edge]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeSettings {
    /// Addresses for HTTP.
    pub listen: Vec<SocketAddr>,
    /// Addresses for HTTPS; they need a certificate.
    pub tls_listen: Vec<SocketAddr>,
    /// Address of health, readiness and metrics; `None` if somebody else serves them.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
    /// Threads that serve connections; 0 means one per core.
    pub threads: usize,
    /// How certificates are issued, if they are: section `[acme]`.
    #[serde(skip)]
    pub acme: Option<Arc<AcmeConfig>>,
    /// Certificates; the first one is for clients that name no host or an unknown one.
    pub certificates: Vec<CertificateSettings>,
    /// How often certificate files are looked at again.
    #[serde(deserialize_with = "span")]
    pub certificate_reload: Duration,
    /// Whether HTTP requests for hosts with a certificate are sent to HTTPS.
    pub redirect_to_https: bool,
    /// How long browsers are to come by HTTPS only; zero says nothing to them.
    #[serde(deserialize_with = "span")]
    pub hsts: Duration,
    /// The port visitors reach HTTPS on.
    pub https_port: u16,
    /// Hosts of the default domain besides [`EdgeDeps::default_host`](crate::EdgeDeps::default_host).
    pub default_hosts: Vec<Host>,
    /// What happens to requests for a host that nobody registered.
    pub unknown_host: UnknownHost,
    /// Where `/` leads; `None` shows a small page.
    #[serde(default, deserialize_with = "target")]
    pub root_redirect: Option<TargetUrl>,
    /// Other hosts and the servers behind them.
    pub upstreams: Vec<UpstreamSettings>,
    /// Proxies in front of the edge whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Balancers in front of the edge whose connections begin with a PROXY header, of version 1 or 2.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Whether a trusted proxy on this machine may say when a visit was, for demo data.
    pub demo_import: bool,
    /// How long browsers may keep a permanent redirect.
    #[serde(deserialize_with = "span")]
    pub permanent_max_age: Duration,
    /// Most bytes of links in memory, roughly.
    #[serde(deserialize_with = "size")]
    pub cache_size: u64,
    /// How long a link is served from memory without asking.
    #[serde(deserialize_with = "span")]
    pub cache_fresh: Duration,
    /// How long after that it is served while one look-up refreshes it.
    #[serde(deserialize_with = "span")]
    pub cache_revalidate: Duration,
    /// How old a link may be that is served because nobody can be asked.
    #[serde(deserialize_with = "span")]
    pub cache_stale: Duration,
    /// How often links in memory are saved to disk; never if zero.
    #[serde(deserialize_with = "span")]
    pub snapshot_every: Duration,
    /// Whether plain visits are answered before Pingora does anything about them.
    pub fast_lane: bool,
    /// Most unknown codes remembered.
    pub absent_max: usize,
    /// How long an unknown code is remembered.
    #[serde(deserialize_with = "span")]
    pub absent_for: Duration,
    /// Unknown codes that a network (IPv4 /24, IPv6 /48) may ask for within a minute; zero sets no limit.
    pub misses_per_minute: u32,
    /// How long every answer about an unknown code takes at least.
    #[serde(deserialize_with = "span")]
    pub not_found_after: Duration,
    /// How long one look-up may take.
    #[serde(deserialize_with = "span")]
    pub lookup_timeout: Duration,
    /// What of a visitor's address leaves the edge with a click.
    pub click_address: ClickAddress,
    /// What `Sec-GPC: 1` does.
    pub global_privacy_control: PrivacySignal,
    /// What `DNT: 1` does.
    pub do_not_track: PrivacySignal,
    /// Clicks that fit into the ring of one thread.
    pub click_ring_len: usize,
    /// How long one batch of clicks may take to be handed over before it is offered again.
    #[serde(deserialize_with = "span")]
    pub click_timeout: Duration,
    /// How long an idle connection is kept.
    #[serde(deserialize_with = "span")]
    pub idle_timeout: Duration,
    /// How long a request head may take from its first byte, and a PROXY header from the start of its connection.
    #[serde(deserialize_with = "span")]
    pub head_timeout: Duration,
    /// Most bytes of a request head.
    #[serde(deserialize_with = "size")]
    pub head_size: usize,
    /// How long a TLS handshake may take.
    #[serde(deserialize_with = "span")]
    pub handshake_timeout: Duration,
    /// How long a client may take none of the bytes that wait for it.
    #[serde(deserialize_with = "span")]
    pub write_timeout: Duration,
    /// Requests on one connection before it is closed.
    pub requests_per_connection: u32,
    /// Most connections.
    pub connections_max: usize,
    /// Most connections from one address (of IPv6, from one /64). Trusted proxies and balancers are exempt.
    pub connections_per_address_max: u32,
    /// Most streams of one HTTP/2 connection at a time.
    pub h2_streams_max: u32,
    /// How long requests may go on after the edge was told to stop.
    #[serde(deserialize_with = "span")]
    pub grace: Duration,
    /// How long clicks may take to leave the process at its end.
    #[serde(deserialize_with = "span")]
    pub flush_timeout: Duration,
}

/// One certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSettings {
    /// PEM file of the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
}

/// A host whose requests go to another server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// The host.
    pub host: Host,
    /// Host or address and port of the server.
    #[serde(deserialize_with = "host_and_port")]
    pub address: String,
    /// Whether to speak TLS with it.
    #[serde(default)]
    pub tls: bool,
}

impl EdgeSettings {
    /// Reads and checks the sections `[edge]` and `[acme]`; mistakes go to `errors`.
    pub fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        // Both are read before giving up, so that the mistakes of both are found.
        let acme = Acme::read(layers, errors);
        let mut section: Self = layers.section("edge", errors)?;
        section.acme = acme?.on().cloned();
        let mistakes = section.mistakes();
        for (key, message) in &mistakes {
            layers.reject(key, *message, errors);
        }
        mistakes.is_empty().then_some(section)
    }

    /// Returns the rules that the settings break, each with the setting to change.
    fn mistakes(&self) -> Vec<(&'static str, &'static str)> {
        let mut mistakes = Vec::new();
        let mut rule = |holds: bool, key, message| {
            if !holds {
                mistakes.push((key, message));
            }
        };
        let has_certificates = !self.certificates.is_empty() || self.acme.is_some();
        rule(
            self.tls_listen.is_empty() || has_certificates,
            "edge.tls_listen",
            "needs at least one entry in `edge.certificates`, or `acme.enabled`",
        );
        rule(
            !self.listen.is_empty() || !self.tls_listen.is_empty(),
            "edge.listen",
            "is empty, and so is `edge.tls_listen`",
        );
        rule(HEAD_SIZES.contains(&self.head_size), "edge.head_size", "must be between 1KiB and 512KiB");
        let positive = [
            (self.requests_per_connection > 0, "edge.requests_per_connection"),
            (self.connections_max > 0, "edge.connections_max"),
            (self.connections_per_address_max > 0, "edge.connections_per_address_max"),
            (self.h2_streams_max > 0, "edge.h2_streams_max"),
            (self.click_ring_len > 0, "edge.click_ring_len"),
            (self.cache_size > 0, "edge.cache_size"),
            (self.absent_max > 0, "edge.absent_max"),
            (!self.idle_timeout.is_zero(), "edge.idle_timeout"),
            (!self.head_timeout.is_zero(), "edge.head_timeout"),
            (!self.handshake_timeout.is_zero(), "edge.handshake_timeout"),
            (!self.write_timeout.is_zero(), "edge.write_timeout"),
            (!self.lookup_timeout.is_zero(), "edge.lookup_timeout"),
            (!self.click_timeout.is_zero(), "edge.click_timeout"),
            (!self.certificate_reload.is_zero(), "edge.certificate_reload"),
        ];
        for (holds, key) in positive {
            rule(holds, key, "must be more than nothing");
        }
        mistakes
    }

    /// Returns what of a visitor leaves the edge with a click.
    pub(crate) fn click_policy(&self) -> ClickPolicy {
        ClickPolicy {
            address: self.click_address,
            global_privacy_control: self.global_privacy_control,
            do_not_track: self.do_not_track,
        }
    }

    /// Returns how many threads serve connections.
    pub(crate) fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            threads => threads,
        }
    }
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Span::deserialize(deserializer).map(Span::get)
}

fn size<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    let size = Size::deserialize(deserializer)?;
    T::try_from(size.bytes()).map_err(|_| serde::de::Error::custom("is too large for this machine"))
}

fn target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TargetUrl>, D::Error> {
    let text = String::deserialize(deserializer)?;
    TargetUrl::parse(&text, &[]).map(Some).map_err(serde::de::Error::custom)
}

fn host_and_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text),
        _ => Err(serde::de::Error::custom("is not an address such as `api.internal:8081`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[(&str, &str)]) -> Result<EdgeSettings, Vec<String>> {
        let flags: Vec<_> = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let layers = Layers::load(None, std::iter::empty(), &flags).expect("loads");
        let mut errors = layers.errors();
        let settings = EdgeSettings::read(&layers, &mut errors);
        let mistakes = errors.mistakes().iter().map(ToString::to_string).collect();
        settings.ok_or(mistakes)
    }

    #[test]
    fn defaults_are_sound() {
        let settings = read(&[]).expect("sound");
        assert_eq!(settings.listen, ["127.0.0.1:8080".parse().expect("valid")]);
        assert_eq!(settings.root_redirect, None);
        assert!(!settings.demo_import && settings.trusted_proxies.is_empty());
        assert!(settings.proxy_protocol_from.is_empty());
        assert_eq!(settings.click_address, ClickAddress::Full);
        assert_eq!(settings.global_privacy_control, PrivacySignal::Respect);
        assert_eq!(settings.do_not_track, PrivacySignal::Ignore);
        assert!(settings.grace + settings.flush_timeout < Duration::from_secs(30));
    }

    #[test]
    fn tables_are_read_from_one_text() {
        let settings = read(&[
            ("edge.upstreams", r#"[{ host = "API.example.com", address = "127.0.0.1:8081" }]"#),
            ("edge.certificates", r#"[{ certificate = "go.pem", key = "go.key" }]"#),
            ("edge.tls_listen", "127.0.0.1:8443"),
            ("edge.trusted_proxies", "127.0.0.1/32, ::1/128"),
            ("edge.proxy_protocol_from", "10.0.0.0/8, 2001:db8::/32"),
            ("edge.unknown_host", "reject"),
        ])
        .expect("sound");
        assert_eq!(settings.upstreams[0].host.as_str(), "api.example.com");
        assert!(!settings.upstreams[0].tls);
        assert_eq!(settings.trusted_proxies.len(), 2);
        assert_eq!(settings.proxy_protocol_from.len(), 2);
        assert_eq!(settings.unknown_host, UnknownHost::Reject);
    }

    #[test]
    fn mistakes_are_named_all_at_once() {
        let mistakes = read(&[
            ("edge.tls_listen", "127.0.0.1:8443"),
            ("edge.head_size", "10B"),
            ("edge.connections_max", "0"),
        ])
        .expect_err("three mistakes");
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        let mistakes = read(&[
            ("edge.upstreams", r#"[{ host = "api.example.com", address = "nowhere" }]"#),
            ("edge.root_redirect", "javascript:alert(1)"),
            ("edge.trusted_proxies", "everybody"),
            ("edge.proxy_protocol_from", "10.0.0.1"),
        ])
        .expect_err("four mistakes");
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
    }
}
