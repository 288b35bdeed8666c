//! The configuration as it is in force, for `vayro config show`.

use serde::Serialize;
use toml::Value;

use super::error::Source;
use super::{Layers, reference};

/// One setting in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownSetting {
    /// Its dotted key.
    pub key: String,
    /// Its value as TOML writes it; of a secret at most where it points to.
    pub value: String,
    /// Where it comes from.
    pub source: String,
    /// Whether it is the default.
    pub is_default: bool,
}

impl Layers {
    /// Lists every setting with the value in force and its source, sorted by key, secrets redacted.
    pub fn show(&self) -> Vec<ShownSetting> {
        self.settings
            .iter()
            .filter_map(|(key, layers)| {
                let top = layers.last()?;
                Some(ShownSetting {
                    key: key.clone(),
                    value: shown_value(key, &top.value),
                    source: top.source.to_string(),
                    is_default: top.source == Source::Default,
                })
            })
            .collect()
    }
}

/// Returns the value as TOML, redacted if `key` is secret.
pub(super) fn shown_value(key: &str, value: &Value) -> String {
    let is_secret = reference::find(key).is_some_and(|setting| setting.is_secret);
    match value.as_str() {
        Some(text) if is_secret && !text.is_empty() => Value::String(redacted(text)).to_string(),
        _ if is_secret && !value.is_str() => "\"[redacted]\"".to_owned(),
        _ => value.to_string(),
    }
}

/// Keeps scheme, host and path of an address; hides everything of any other secret.
fn redacted(text: &str) -> String {
    let Some(url) = url::Url::parse(text).ok().filter(url::Url::has_host) else {
        return "[redacted]".to_owned();
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let credentials = if url.username().is_empty() && url.password().is_none() { "" } else { "[redacted]@" };
    // An address that was pasted into another one has its credentials there.
    let path = if url.path().contains('@') { "/[redacted]" } else { url.path() };
    format!("{}://{credentials}{}{port}{path}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_place_is_left_of_a_secret() {
        assert_eq!(
            redacted("postgres://vayro:hunter2@db:5433/vayro?sslpassword=x"),
            "postgres://[redacted]@db:5433/vayro"
        );
        assert_eq!(redacted("redis://cache/"), "redis://cache/");
        assert_eq!(redacted("redis://cache://:hunter2@cache/"), "redis://cache/[redacted]");
        assert_eq!(redacted("hunter2"), "[redacted]");
        assert_eq!(redacted("mailto:hunter2"), "[redacted]");
    }
}
