//! The host names that serve short links.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A host name or address, lower case, without port, as it appears in a `Host` header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Box<str>);

/// Why a text is not a host.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HostError {
    /// Nothing there.
    #[error("host is empty")]
    Empty,
    /// Longer than a DNS name can be.
    #[error("host is longer than {max} bytes", max = Host::LEN_MAX)]
    TooLong,
    /// A label of a DNS name is malformed.
    #[error("`{0}` is not a host name such as `go.example.com`")]
    Malformed(String),
}

impl Host {
    /// RFC 1035 §2.3.4.
    pub const LEN_MAX: usize = 253;

    /// Returns the text, lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim_end_matches('.');
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.len() > Self::LEN_MAX {
            return Err(HostError::TooLong);
        }
        let malformed = || HostError::Malformed(text.to_owned());
        // `url` turns international names into their ASCII form and knows addresses.
        let parsed = url::Host::parse(text).map_err(|_| malformed())?;
        if let url::Host::Domain(name) = &parsed {
            let is_label = |label: &str| {
                (1..=63).contains(&label.len())
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            };
            if !name.split('.').all(is_label) {
                return Err(malformed());
            }
        }
        Ok(Self(parsed.to_string().to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_hosts() {
        for (given, kept) in [
            ("Go.Example.com", "go.example.com"),
            ("go.example.com.", "go.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(given.parse::<Host>().expect(given).as_str(), kept);
        }
    }

    #[test]
    fn everything_else_is_not() {
        for given in ["", ".", "a b", "-a.example", "a..b", "host:80", "a/b", "a_b.example"] {
            assert!(given.parse::<Host>().is_err(), "{given}");
        }
    }
}
