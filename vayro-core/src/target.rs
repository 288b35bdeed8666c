//! Where a link leads.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::host::Host;

/// The address a link leads to: absolute, normalised, safe to put into a `Location` header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetUrl(Box<str>);

/// Why a text cannot be a target.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetUrlError {
    /// Nothing there.
    #[error("target URL is empty")]
    Empty,
    /// Longer than we keep.
    #[error("target URL is {len} bytes long, the longest allowed is {max}", max = TargetUrl::LEN_MAX)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// CR, LF, NUL or another control character: never part of an address, often part of an attack.
    #[error("target URL contains a control character")]
    ControlChar,
    /// Not an absolute URL.
    #[error("target URL is not an absolute URL such as `https://example.com/page`")]
    Malformed,
    /// A scheme that is not on the list.
    #[error("target URL has scheme `{0}`, allowed are `https` and `http`")]
    BadScheme(String),
    /// A user name or password in the address.
    #[error("target URL contains a user name or password")]
    Credentials,
    /// The link would lead back to the short domain.
    #[error("target URL leads to the short domain `{0}` itself")]
    Loop(String),
}

impl TargetUrl {
    /// Longest address kept; browsers and proxies commonly refuse longer ones.
    pub const LEN_MAX: usize = 2048;
    /// Schemes a target may have.
    pub const SCHEMES: &[&str] = &["https", "http"];

    /// Parses and normalises `text`; `short_hosts` are the hosts a target must not lead to.
    ///
    /// # Errors
    ///
    /// [`TargetUrlError`] says what is wrong with it.
    pub fn parse(text: &str, short_hosts: &[Host]) -> Result<Self, TargetUrlError> {
        let text = text.trim_matches(' ');
        if text.is_empty() {
            return Err(TargetUrlError::Empty);
        }
        if text.len() > Self::LEN_MAX {
            return Err(TargetUrlError::TooLong { len: text.len() });
        }
        // The URL standard drops tabs and newlines silently; here they are a mistake or an attack.
        if text.chars().any(char::is_control) {
            return Err(TargetUrlError::ControlChar);
        }
        let url = Url::parse(text).map_err(|_| TargetUrlError::Malformed)?;
        if !Self::SCHEMES.contains(&url.scheme()) {
            return Err(TargetUrlError::BadScheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetUrlError::Credentials);
        }
        let host = url.host_str().ok_or(TargetUrlError::Malformed)?;
        let bare = host.trim_end_matches('.');
        if short_hosts.iter().any(|short| short.as_str().eq_ignore_ascii_case(bare)) {
            return Err(TargetUrlError::Loop(bare.to_owned()));
        }
        let normal = url.as_str();
        if normal.len() > Self::LEN_MAX {
            return Err(TargetUrlError::TooLong { len: normal.len() });
        }
        Ok(Self(normal.into()))
    }

    /// Wraps a text that a store returned, checking only what a header value needs.
    ///
    /// # Errors
    ///
    /// [`TargetUrlError::ControlChar`] if it could break out of a header, [`TargetUrlError::Empty`] if empty.
    pub fn from_stored(text: String) -> Result<Self, TargetUrlError> {
        if text.is_empty() {
            return Err(TargetUrlError::Empty);
        }
        if !text.bytes().all(|b| (0x21..=0x7E).contains(&b)) {
            return Err(TargetUrlError::ControlChar);
        }
        Ok(Self(text.into()))
    }

    /// Returns the address; visible ASCII only.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TargetUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TargetUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_stored(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<TargetUrl, TargetUrlError> {
        TargetUrl::parse(text, &["vay.ro".parse().expect("valid")])
    }

    #[test]
    fn targets_are_normalised() {
        assert_eq!(parse("HTTPS://Example.COM").expect("valid").as_str(), "https://example.com/");
        assert_eq!(
            parse("https://bücher.de/ü?q=ä b").expect("valid").as_str(),
            "https://xn--bcher-kva.de/%C3%BC?q=%C3%A4%20b"
        );
    }

    #[test]
    fn bad_targets_say_why() {
        assert_eq!(parse(""), Err(TargetUrlError::Empty));
        assert_eq!(parse("example.com"), Err(TargetUrlError::Malformed));
        assert_eq!(parse("https://a.example/\r\nSet-Cookie: x"), Err(TargetUrlError::ControlChar));
        assert_eq!(parse("javascript:alert(1)"), Err(TargetUrlError::BadScheme("javascript".into())));
        assert_eq!(parse("https://u:p@a.example"), Err(TargetUrlError::Credentials));
        assert_eq!(parse("https://VAY.ro./x"), Err(TargetUrlError::Loop("vay.ro".into())));
        let long = format!("https://a.example/{}", "x".repeat(3000));
        assert!(matches!(parse(&long), Err(TargetUrlError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn whatever_parses_fits_a_header(text in "https?://[a-z]{1,8}\\.example/.{0,40}") {
            if let Ok(target) = parse(&text) {
                prop_assert!(target.as_str().bytes().all(|b| (0x21..=0x7E).contains(&b)));
                prop_assert_eq!(TargetUrl::from_stored(target.as_str().to_owned()), Ok(target));
            }
        }
    }
}
