//! The sections that every process reads.

use serde::Deserialize;
use url::Url;
use vayro_core::host::Host;

use super::{ConfigErrors, Layers};

/// Section `[instance]`: what the instance is called from outside.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSettings {
    /// Address of short links as visitors type it.
    pub short_url: Url,
    /// Address of the API as clients reach it.
    pub api_url: Url,
    /// Further host names under which the API may be asked.
    pub trusted_hosts: Vec<Host>,
}

impl InstanceSettings {
    /// Reads and checks the section; mistakes go to `errors`.
    pub fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        let section: Self = layers.section("instance", errors)?;
        let mut is_sound = true;
        for (key, url) in [("instance.short_url", &section.short_url), ("instance.api_url", &section.api_url)]
        {
            if let Some(message) = web_address_mistake(url) {
                layers.reject(key, message, errors);
                is_sound = false;
            }
        }
        is_sound.then_some(section)
    }

    /// Returns the host of short links: the default domain.
    ///
    /// # Panics
    ///
    /// Never for a value made by [`InstanceSettings::read`], which checks the host.
    pub fn default_host(&self) -> Host {
        host_of(&self.short_url).expect("the host was checked when the section was read")
    }

    /// Tells whether cookies may be marked `Secure`.
    pub fn is_api_https(&self) -> bool {
        self.api_url.scheme() == "https"
    }
}

fn host_of(url: &Url) -> Option<Host> {
    url.host_str()?.parse().ok()
}

fn web_address_mistake(url: &Url) -> Option<&'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        Some("must begin with `http://` or `https://`")
    } else if host_of(url).is_none() {
        Some("must name a host")
    } else if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        Some("must end after the host and port")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("must not hold credentials")
    } else {
        None
    }
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Section `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Form of the lines.
    pub format: LogFormat,
    /// A level or filter directives.
    #[serde(deserialize_with = "directives")]
    pub level: String,
}

fn directives<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse::<tracing_subscriber::filter::EnvFilter>()
        .map(|_| text)
        .map_err(|error| serde::de::Error::custom(format!("is no log filter: {error}")))
}
