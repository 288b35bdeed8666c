//! What the API can be told.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use url::Url;
use vayro_backends::config::{ConfigErrors, InstanceSettings, Layers, Size, Span};
use vayro_core::host::Host;

/// Section `[api]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    listen: SocketAddr,
    admin: Option<SocketAddr>,
    trusted_proxies: Vec<IpNet>,
    body_size_max: Size,
    request_time_max: Span,
    head_time_max: Span,
    connections_max: usize,
    drain_time_max: Span,
    session_idle_max: Span,
    session_age_max: Span,
    login_tries_per_address: u32,
    login_tries_per_account: u32,
    login_window: Span,
    password_hash_concurrency: usize,
}

/// Settings of the API, complete and valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where a process that is the API alone answers `/livez`, `/readyz` and `/metrics`.
    pub admin: Option<SocketAddr>,
    /// Address of short links as visitors type it, without a path; its host is the default domain.
    pub short_url: Url,
    /// Address of the API as clients reach it; session cookies are `Secure` when it is `https`.
    pub api_url: Url,
    /// Further hosts whose pages may use a session cookie for changes, besides that of `api_url`.
    pub trusted_hosts: Vec<Host>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Largest body in bytes.
    pub body_size_max: usize,
    /// Longest time a request may take.
    pub request_time_max: Duration,
    /// Longest time a client may take for its request's head, and may stay idle between requests.
    pub head_time_max: Duration,
    /// Most connections at one time; further ones wait in the system's queue.
    pub connections_max: usize,
    /// How long requests may still run once the process was told to stop.
    pub drain_time_max: Duration,
    /// How long a session lives after its last use.
    pub session_idle_max: Duration,
    /// How long a session lives at most.
    pub session_age_max: Duration,
    /// Sign-ins one address may try per `login_window`.
    pub login_tries_per_address: u32,
    /// Sign-ins one address may try for one account per `login_window`.
    pub login_tries_per_account: u32,
    /// Window of the two limits.
    pub login_window: Duration,
    /// Passwords hashed at one time; each takes 19 MiB and a processor.
    pub password_hash_concurrency: usize,
}

const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// Largest value of `body_size_max`: a body is held in memory.
const BODY_SIZE_MAX: u64 = 64 << 20;

impl Section {
    /// Reads and checks the section `[api]`; mistakes go to `errors`.
    pub(crate) fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        let section: Self = layers.section("api", errors)?;
        let rules = [
            (
                "body_size_max",
                (1024..=BODY_SIZE_MAX).contains(&section.body_size_max.bytes()),
                "must be 1KiB to 64MiB",
            ),
            ("request_time_max", !section.request_time_max.get().is_zero(), "must be more than 0s"),
            ("head_time_max", !section.head_time_max.get().is_zero(), "must be more than 0s"),
            ("connections_max", section.connections_max > 0, "must be at least 1"),
            ("session_idle_max", !section.session_idle_max.get().is_zero(), "must be more than 0s"),
            (
                "session_age_max",
                section.session_age_max >= section.session_idle_max,
                "must not be less than `session_idle_max`",
            ),
            ("login_tries_per_address", section.login_tries_per_address > 0, "must be at least 1"),
            ("login_tries_per_account", section.login_tries_per_account > 0, "must be at least 1"),
            ("login_window", !section.login_window.get().is_zero(), "must be more than 0s"),
            (
                "password_hash_concurrency",
                (1..=64).contains(&section.password_hash_concurrency),
                "must be 1 to 64",
            ),
        ];
        let mut is_sound = true;
        for (key, is_kept, message) in rules {
            if !is_kept {
                layers.reject(&format!("api.{key}"), message, errors);
                is_sound = false;
            }
        }
        is_sound.then_some(section)
    }

    /// Returns the settings of the API of this instance.
    pub(crate) fn within(self, instance: &InstanceSettings) -> ApiSettings {
        ApiSettings {
            listen: self.listen,
            admin: self.admin,
            short_url: instance.short_url.clone(),
            api_url: instance.api_url.clone(),
            trusted_hosts: instance.trusted_hosts.clone(),
            trusted_proxies: self.trusted_proxies,
            body_size_max: usize::try_from(self.body_size_max.bytes()).unwrap_or(usize::MAX),
            request_time_max: self.request_time_max.get(),
            head_time_max: self.head_time_max.get(),
            connections_max: self.connections_max,
            drain_time_max: self.drain_time_max.get(),
            session_idle_max: self.session_idle_max.get(),
            session_age_max: self.session_age_max.get(),
            login_tries_per_address: self.login_tries_per_address,
            login_tries_per_account: self.login_tries_per_account,
            login_window: self.login_window.get(),
            password_hash_concurrency: self.password_hash_concurrency,
        }
    }
}

impl ApiSettings {
    /// Reads and checks the section `[api]`; mistakes go to `errors`.
    pub fn read(instance: &InstanceSettings, layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        Section::read(layers, errors).map(|section| section.within(instance))
    }

    /// Settings with the defaults of `config/vayro.toml` and these two addresses.
    ///
    /// # Panics
    ///
    /// Never: the constants are valid.
    pub fn new(short_url: Url, api_url: Url) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 8084))),
            short_url,
            api_url,
            trusted_hosts: Vec::new(),
            trusted_proxies: LOOPBACK.iter().map(|text| text.parse().expect("two valid networks")).collect(),
            body_size_max: 1 << 20,
            request_time_max: Duration::from_secs(30),
            head_time_max: Duration::from_secs(15),
            connections_max: 1024,
            drain_time_max: Duration::from_secs(10),
            session_idle_max: Duration::from_secs(14 * 86_400),
            session_age_max: Duration::from_secs(90 * 86_400),
            login_tries_per_address: 30,
            login_tries_per_account: 5,
            login_window: Duration::from_secs(15 * 60),
            password_hash_concurrency: 2,
        }
    }

    /// Tells whether session cookies may only travel encrypted.
    pub fn is_cookie_secure(&self) -> bool {
        self.api_url.scheme() == "https"
    }

    /// Returns the host of the default domain.
    pub fn short_host(&self) -> Option<Host> {
        self.short_url.host_str()?.parse().ok()
    }

    /// Returns the address of the short link `short_code` on `domain`, `None` for the default domain.
    ///
    /// Other domains are served by the same edges, so scheme and port are those of `short_url`.
    pub fn link_address(&self, domain: Option<&Host>, short_code: &str) -> String {
        let scheme = self.short_url.scheme();
        let default_host = self.short_url.host_str().unwrap_or_default();
        let host = domain.map_or(default_host, Host::as_str);
        match self.short_url.port() {
            Some(port) => format!("{scheme}://{host}:{port}/{short_code}"),
            None => format!("{scheme}://{host}/{short_code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[(&str, String)]) -> Result<ApiSettings, ConfigErrors> {
        let layers = Layers::load(None, std::iter::empty(), flags)?;
        let mut errors = layers.errors();
        let instance = InstanceSettings::read(&layers, &mut errors).expect("defaults are valid");
        let settings = ApiSettings::read(&instance, &layers, &mut errors);
        errors.finish()?;
        Ok(settings.expect("no mistakes"))
    }

    #[test]
    fn the_defaults_in_code_are_those_of_the_file() {
        let read = read(&[]).expect("defaults are valid");
        let made = ApiSettings::new(read.short_url.clone(), read.api_url.clone());
        assert_eq!(read, made);
    }

    #[test]
    fn every_mistake_is_reported() {
        let flags = [
            ("api.body_size_max", "1B".to_owned()),
            ("api.connections_max", "0".to_owned()),
            ("api.session_age_max", "1h".to_owned()),
        ];
        let errors = read(&flags).expect_err("three mistakes");
        let keys: Vec<_> = errors.mistakes().iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys, ["api.body_size_max", "api.connections_max", "api.session_age_max"]);
    }

    #[test]
    fn links_keep_scheme_and_port_of_the_instance() {
        let short_url = "http://vay.test:8080".parse().expect("valid");
        let settings = ApiSettings::new(short_url, "https://api.vay.test".parse().expect("valid"));
        let host = "go.example.com".parse().expect("valid");
        assert_eq!(settings.link_address(None, "x"), "http://vay.test:8080/x");
        assert_eq!(settings.link_address(Some(&host), "x"), "http://go.example.com:8080/x");
        assert!(settings.is_cookie_secure());
    }
}
