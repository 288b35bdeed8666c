//! What decides about visits, as this process was told it: edges and workers have settings of their own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use vayro_backends::config::{ConfigErrors, Layers, Span};
use vayro_core::host::Host;
use vayro_core::target::TargetUrl;
use vayro_core::visit::{ClickAddress, ClickPolicy, PrivacySignal, UnknownHost};
use vayro_enrich::{AddressPolicy, EnrichConfig, Network};

/// User agents and places remembered; explanations are asked for by people.
const REMEMBERED_MAX: usize = 256;

/// What of section `[edge]` decides about an answer.
#[derive(Debug, Deserialize)]
struct EdgeSection {
    tls_listen: Vec<SocketAddr>,
    redirect_to_https: bool,
    default_hosts: Vec<Host>,
    unknown_host: UnknownHost,
    #[serde(default, deserialize_with = "target")]
    root_redirect: Option<TargetUrl>,
    upstreams: Vec<UpstreamSection>,
    trusted_proxies: Vec<IpNet>,
    permanent_max_age: Span,
    click_address: ClickAddress,
    global_privacy_control: PrivacySignal,
    do_not_track: PrivacySignal,
}

#[derive(Debug, Deserialize)]
struct UpstreamSection {
    host: Host,
}

/// What of section `[worker]` decides what a click counts as.
#[derive(Debug, Deserialize)]
struct WorkerSection {
    ip: AddressPolicy,
    excluded_addresses: Vec<Network>,
    repeat_window: Span,
    #[serde(default)]
    user_agent_rules: Option<PathBuf>,
    #[serde(default)]
    bot_rules: Option<PathBuf>,
}

/// What of section `[geoip]` is needed to tell where a visitor is.
#[derive(Debug, Deserialize)]
struct GeoIpSection {
    #[serde(default)]
    file: Option<PathBuf>,
}

/// What decides about the answer to a visit and about its click.
#[derive(Clone, Debug)]
pub struct VisitSettings {
    /// Whether edges send HTTP to HTTPS where they have a certificate.
    pub(super) prefers_https: bool,
    pub(super) default_hosts: Vec<Host>,
    pub(super) unknown_host: UnknownHost,
    pub(super) root_redirect: Option<TargetUrl>,
    pub(super) upstreams: Vec<Host>,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) permanent_max_age: Duration,
    pub(super) policy: ClickPolicy,
    pub(super) repeat_window: Duration,
    pub(super) enrich: EnrichConfig,
}

impl VisitSettings {
    /// Reads what it needs of the sections `[edge]`, `[worker]` and `[geoip]`; mistakes go to `errors`.
    pub fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        let edge: Option<EdgeSection> = layers.section("edge", errors);
        let worker: Option<WorkerSection> = layers.section("worker", errors);
        let geoip: Option<GeoIpSection> = layers.section("geoip", errors);
        let (edge, worker, geoip) = (edge?, worker?, geoip?);
        Some(Self {
            prefers_https: edge.redirect_to_https && !edge.tls_listen.is_empty(),
            default_hosts: edge.default_hosts,
            unknown_host: edge.unknown_host,
            root_redirect: edge.root_redirect,
            upstreams: edge.upstreams.into_iter().map(|upstream| upstream.host).collect(),
            trusted_proxies: edge.trusted_proxies,
            permanent_max_age: edge.permanent_max_age.get(),
            policy: ClickPolicy {
                address: edge.click_address,
                global_privacy_control: edge.global_privacy_control,
                do_not_track: edge.do_not_track,
            },
            repeat_window: worker.repeat_window.get(),
            enrich: EnrichConfig {
                ip: worker.ip,
                excluded: worker.excluded_addresses.into_iter().collect(),
                user_agent_rules: worker.user_agent_rules,
                bot_rules: worker.bot_rules,
                user_agents_max: REMEMBERED_MAX,
                geoip_file: geoip.file,
                places_max: REMEMBERED_MAX,
            },
        })
    }
}

impl Default for VisitSettings {
    /// The defaults of `config/vayro.toml`.
    fn default() -> Self {
        Layers::load(None, std::iter::empty(), &[])
            .ok()
            .and_then(|layers| Self::read(&layers, &mut layers.errors()))
            .expect("the defaults are compiled in and tested")
    }
}

fn target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TargetUrl>, D::Error> {
    let text = String::deserialize(deserializer)?;
    TargetUrl::parse(&text, &[]).map(Some).map_err(serde::de::Error::custom)
}
