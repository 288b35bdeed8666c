//! The path part of a short link.

use std::fmt;
use std::str::FromStr;

use rand::Rng as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The path part of a short link, such as `launch` in `vay.ro/launch`.
///
/// Compared byte for byte: `Launch` and `launch` are different codes on every back end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortCode(Box<str>);

/// Why a text is not a short code.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShortCodeError {
    /// Nothing there.
    #[error("short code is empty")]
    Empty,
    /// Longer than the column.
    #[error("short code is {len} bytes long, the longest allowed is {max}", max = ShortCode::LEN_MAX)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A character that no short code has.
    #[error("short code contains `{0}`, allowed are letters, digits, `-` and `_`")]
    BadChar(char),
}

/// Letters and digits without the look-alikes `0 O o 1 l I i`.
pub const ALPHABET: &[u8; 55] = b"23456789abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";

/// Codes nobody may take: they are, or may become, addresses of the product itself.
///
/// Compared without regard to case.
pub const RESERVED: &[&str] = &[
    "_next",
    "about",
    "abuse",
    "account",
    "admin",
    "analytics",
    "api",
    "app",
    "assets",
    "auth",
    "billing",
    "blog",
    "contact",
    "dashboard",
    "docs",
    "domains",
    "events",
    "favicon",
    "forgot",
    "health",
    "healthz",
    "help",
    "home",
    "imprint",
    "index",
    "invite",
    "legal",
    "link",
    "links",
    "live",
    "livez",
    "login",
    "logout",
    "metrics",
    "null",
    "onboarding",
    "openapi",
    "ops",
    "pricing",
    "privacy",
    "public",
    "qr",
    "readyz",
    "report",
    "reset",
    "robots",
    "security",
    "settings",
    "share",
    "sign-in",
    "sign-up",
    "signin",
    "signup",
    "sitemap",
    "static",
    "stats",
    "status",
    "support",
    "terms",
    "undefined",
    "v1",
    "v2",
    "vayro",
    "well-known",
    "www",
];

impl ShortCode {
    /// The specification's `VARCHAR(50)`.
    pub const LEN_MAX: usize = 50;
    /// Length of the first generated codes: 55⁶ ≈ 2.8 × 10¹⁰ possibilities.
    pub const GENERATED_LEN_MIN: usize = 6;
    /// Generated codes stop growing here.
    pub const GENERATED_LEN_MAX: usize = 12;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns how many codes of `len` characters could be generated. Chosen codes may have others, and are words.
    pub fn possibilities(len: u16) -> u128 {
        (ALPHABET.len() as u128).saturating_pow(u32::from(len))
    }

    /// Tells whether `bytes` could be a code at all, without allocating; the edge asks this before any look-up.
    pub fn is_valid(bytes: &[u8]) -> bool {
        (1..=Self::LEN_MAX).contains(&bytes.len()) && bytes.iter().all(|b| is_code_byte(*b))
    }

    /// Tells whether the product keeps this code for itself.
    pub fn is_reserved(&self) -> bool {
        RESERVED.iter().any(|word| word.eq_ignore_ascii_case(&self.0))
    }

    /// Makes a random code of `len` characters, clamped to the generated lengths, free of look-alikes.
    pub fn generate(len: usize, rng: &mut dyn rand::RngCore) -> Self {
        let len = len.clamp(Self::GENERATED_LEN_MIN, Self::GENERATED_LEN_MAX);
        let text: String =
            (0..len).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
        Self(text.into())
    }
}

const fn is_code_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl FromStr for ShortCode {
    type Err = ShortCodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ShortCodeError::Empty);
        }
        if let Some(bad) = text.chars().find(|c| !u8::try_from(*c).is_ok_and(is_code_byte)) {
            return Err(ShortCodeError::BadChar(bad));
        }
        if text.len() > Self::LEN_MAX {
            return Err(ShortCodeError::TooLong { len: text.len() });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ShortCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ShortCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn generated_codes_have_no_look_alikes() {
        let mut rng = rand::rng();
        for len in [0, 6, 9, 99] {
            let code = ShortCode::generate(len, &mut rng);
            assert!((6..=12).contains(&code.as_str().len()));
            assert!(!code.as_str().contains(['0', 'O', 'o', '1', 'l', 'I', 'i']));
        }
    }

    #[test]
    fn reserved_words_are_known_in_any_case() {
        assert!("Login".parse::<ShortCode>().expect("valid").is_reserved());
        assert!(!"launch".parse::<ShortCode>().expect("valid").is_reserved());
    }

    #[test]
    fn bad_codes_say_what_is_wrong() {
        assert_eq!("".parse::<ShortCode>(), Err(ShortCodeError::Empty));
        assert_eq!("a b".parse::<ShortCode>(), Err(ShortCodeError::BadChar(' ')));
        assert_eq!("é".parse::<ShortCode>(), Err(ShortCodeError::BadChar('é')));
        assert_eq!("a".repeat(51).parse::<ShortCode>(), Err(ShortCodeError::TooLong { len: 51 }));
    }

    proptest! {
        #[test]
        fn both_validators_agree(text in ".{0,60}") {
            prop_assert_eq!(text.parse::<ShortCode>().is_ok(), ShortCode::is_valid(text.as_bytes()));
        }
    }
}
