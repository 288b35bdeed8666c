//! Sealing what nobody who reads the database may know.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use vayro_core::certificate::CertificateName;

/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Bytes that tell which key sealed something.
const KEY_ID_LEN: usize = 8;
/// First byte of everything sealed in this way.
const VERSION: u8 = 1;
/// Bytes in front of what is encrypted.
const HEAD_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// Encrypts with AES-256-GCM under one key and random nonces (NIST SP 800-38D §8.2.2: at most 2³² messages per key,
/// which a few per certificate and year never reach).
pub struct Vault {
    key: RandomizedNonceKey,
    key_id: [u8; KEY_ID_LEN],
}

/// Returns the purpose that private keys of the certificates of `name` are sealed for.
pub fn key_purpose(name: &CertificateName) -> String {
    format!("certificate key {name}")
}

/// Returns the purpose that the account at the server with this directory is sealed for.
pub fn account_purpose(directory: &str) -> String {
    format!("acme account {directory}")
}

/// Returns the purpose that the key of session tickets of a period is sealed for.
pub fn ticket_purpose(period: i64) -> String {
    format!("ticket key {period}")
}

/// The text is no key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("must be 32 random bytes in base64 or hexadecimal digits, as `openssl rand -base64 32` prints them")]
pub struct VaultKeyError;

/// Why something sealed cannot be opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    /// It was sealed with another key.
    #[error("it was sealed with another `acme.key`")]
    OtherKey,
    /// It was damaged, or belongs elsewhere.
    #[error("it is damaged, or was sealed for something else")]
    Damaged,
}

impl Vault {
    /// Reads the key.
    ///
    /// # Errors
    ///
    /// [`VaultKeyError`] for anything but 32 bytes in base64 or hexadecimal digits.
    pub fn from_key(text: &str) -> Result<Self, VaultKeyError> {
        Self::from_bytes(&key_bytes(text.trim()).ok_or(VaultKeyError)?)
    }

    /// Takes the 32 bytes of a key.
    ///
    /// # Errors
    ///
    /// [`VaultKeyError`] for another number of bytes.
    pub fn from_bytes(key: &[u8]) -> Result<Self, VaultKeyError> {
        let key: [u8; KEY_LEN] = key.try_into().map_err(|_| VaultKeyError)?;
        let mut key_id = [0; KEY_ID_LEN];
        key_id.copy_from_slice(
            &digest(&SHA256, &[b"vayro vault key ".as_slice(), &key].concat()).as_ref()[..KEY_ID_LEN],
        );
        let key = RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| VaultKeyError)?;
        Ok(Self { key, key_id })
    }

    /// Encrypts `secret`. It opens only under the same `purpose`, such as `certificate go.example.com`, so that nobody who
    /// writes to the database can put one secret in the place of another.
    ///
    /// # Panics
    ///
    /// When the system has no randomness, or for secrets of more than 64 GiB.
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Vec<u8> {
        let mut sealed = secret.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut sealed)
            .expect("secrets are short and the system has randomness");
        let mut whole = Vec::with_capacity(HEAD_LEN + sealed.len());
        whole.push(VERSION);
        whole.extend_from_slice(&self.key_id);
        whole.extend_from_slice(nonce.as_ref());
        whole.append(&mut sealed);
        whole
    }

    /// Decrypts what [`Vault::seal`] made.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (head, body) = sealed.split_at_checked(HEAD_LEN).ok_or(OpenError::Damaged)?;
        let (version, rest) = head.split_first().ok_or(OpenError::Damaged)?;
        let (key_id, nonce) = rest.split_at(KEY_ID_LEN);
        if *version != VERSION {
            return Err(OpenError::Damaged);
        }
        if key_id != self.key_id {
            return Err(OpenError::OtherKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Damaged)?;
        let mut body = body.to_vec();
        let secret = self
            .key
            .open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut body)
            .map_err(|_| OpenError::Damaged)?;
        Ok(secret.to_vec())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

fn key_bytes(text: &str) -> Option<[u8; KEY_LEN]> {
    let bytes = if text.len() == 2 * KEY_LEN && text.is_ascii() {
        let pairs = (0..KEY_LEN).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok());
        pairs.collect::<Option<Vec<u8>>>()?
    } else {
        STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?
    };
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    #[test]
    fn keys_are_read_in_either_form() {
        let vault = Vault::from_key(KEY).expect("base64");
        let hexadecimal: String = b"0123456789abcdef0123456789abcdef".map(|b| format!("{b:02x}")).concat();
        let same = Vault::from_key(&format!("{hexadecimal}\n")).expect("hexadecimal");
        assert_eq!(same.open("a", &vault.seal("a", b"secret")), Ok(b"secret".to_vec()));
        for text in ["", "secret", "MDEyMw==", &hexadecimal[1..], &"zz".repeat(32)] {
            assert!(Vault::from_key(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_same_key_and_purpose_open() {
        let vault = Vault::from_key(KEY).expect("a key");
        let sealed = vault.seal("certificate a.example", b"secret");
        assert_ne!(sealed, vault.seal("certificate a.example", b"secret"), "nonces differ");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(vault.open("certificate b.example", &sealed), Err(OpenError::Damaged));
        let other = Vault::from_key(&"07".repeat(32)).expect("a key");
        assert_eq!(other.open("certificate a.example", &sealed), Err(OpenError::OtherKey));
    }

    proptest! {
        #[test]
        fn damage_is_noticed(secret in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, bit in 0u8..8) {
            let vault = Vault::from_key(KEY).expect("a key");
            let mut sealed = vault.seal("p", &secret);
            prop_assert_eq!(vault.open("p", &sealed), Ok(secret));
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(vault.open("p", &sealed).is_err());
            prop_assert!(vault.open("p", &sealed[..at]).is_err());
        }
    }
}
