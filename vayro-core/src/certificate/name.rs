//! The names certificates are for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::host::Host;

/// What a certificate is for: a DNS name of at least two labels, or `*.` and such a name. Lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateName(Box<str>);

/// Why a text is not a name that certificates are issued for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is neither a name such as `go.example.com` nor one such as `*.example.com`")]
pub struct CertificateNameError(String);

/// Beginning of a wildcard.
const WILDCARD: &str = "*.";

impl CertificateName {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of a host; `None` for addresses and for names of one label, which no public server issues
    /// certificates for.
    pub fn of_host(host: &Host) -> Option<Self> {
        let text = host.as_str();
        let is_address = text.starts_with('[') || text.parse::<IpAddr>().is_ok();
        (!is_address && text.contains('.')).then(|| Self(text.into()))
    }

    /// Returns the wildcard that covers a host; `None` if no useful one can.
    pub fn wildcard_of(host: &Host) -> Option<Self> {
        let name = Self::of_host(host)?;
        let (_, parent) = name.0.split_once('.')?;
        parent.contains('.').then(|| Self(format!("{WILDCARD}{parent}").into()))
    }

    /// Tells whether it is for every name one label below.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(WILDCARD)
    }

    /// Returns the DNS name, of a wildcard the one it is below.
    pub fn base(&self) -> &str {
        self.0.strip_prefix(WILDCARD).unwrap_or(&self.0)
    }

    /// Tells whether a certificate for this name is good for `host`. A wildcard stands for exactly one label
    /// (RFC 6125 §6.4.3).
    pub fn covers(&self, host: &Host) -> bool {
        match self.0.strip_prefix(WILDCARD) {
            None => &*self.0 == host.as_str(),
            Some(parent) => host.as_str().split_once('.').is_some_and(|(_, rest)| rest == parent),
        }
    }
}

impl FromStr for CertificateName {
    type Err = CertificateNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || CertificateNameError(text.chars().take(80).collect());
        let (prefix, rest) = text.strip_prefix(WILDCARD).map_or(("", text), |rest| (WILDCARD, rest));
        let host: Host = rest.parse().map_err(|_| error())?;
        let name = Self::of_host(&host).ok_or_else(error)?;
        Ok(Self(format!("{prefix}{name}").into()))
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for CertificateName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CertificateName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().expect("valid")
    }

    #[test]
    fn names_and_wildcards_are_read() {
        for (given, kept) in [("Go.Example.com", "go.example.com"), ("*.Example.com", "*.example.com")] {
            assert_eq!(given.parse::<CertificateName>().expect(given).as_str(), kept);
        }
        for given in ["", "localhost", "127.0.0.1", "[::1]", "*", "*.com", "*.*.example.com", "a.*.example"] {
            assert!(given.parse::<CertificateName>().is_err(), "{given}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let wildcard: CertificateName = "*.example.com".parse().expect("valid");
        assert!(wildcard.covers(&host("go.example.com")));
        for other in ["example.com", "a.go.example.com", "goexample.com"] {
            assert!(!wildcard.covers(&host(other)), "{other}");
        }
        assert_eq!(CertificateName::wildcard_of(&host("go.example.com")), Some(wildcard));
        assert_eq!(CertificateName::wildcard_of(&host("example.com")), None);
        assert_eq!(CertificateName::wildcard_of(&host("192.0.2.1")), None);
    }
}
