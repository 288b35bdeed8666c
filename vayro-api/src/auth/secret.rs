//! Secrets that we make: API keys, session cookies, first passwords.

use rand::Rng as _;
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha256};
use vayro_core::short_code::ALPHABET;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How every API key begins, so that scanners of leaked secrets find it.
const KEY_START: &str = "vayro_";
const KEY_PREFIX_LEN: usize = 8;
/// 40 characters of 62 are 238 bits.
const KEY_SECRET_LEN: usize = 40;
/// 43 characters of 62 are 256 bits.
const SESSION_SECRET_LEN: usize = 43;
/// 43 characters of 62 are 256 bits.
const SHARE_TOKEN_LEN: usize = 43;
/// What is shown of a token to tell it from others; the rest still has 208 bits.
const SHARE_PREFIX_LEN: usize = 8;
/// 20 characters of 55 are 115 bits.
const PASSWORD_LEN: usize = 20;

/// The text of an API key, shown once.
pub(crate) struct ApiKeySecret {
    /// The whole key.
    pub(crate) text: String,
    /// Its public beginning.
    pub(crate) prefix: String,
}

impl ApiKeySecret {
    /// Makes a key.
    pub(crate) fn generate(rng: &mut StdRng) -> Self {
        let prefix = format!("{KEY_START}{}", random_text(KEY_PREFIX_LEN, BASE62, rng));
        let text = format!("{prefix}_{}", random_text(KEY_SECRET_LEN, BASE62, rng));
        Self { text, prefix }
    }

    /// Tells whether a text could be a key at all, before anybody is asked.
    pub(crate) fn is_plausible(text: &str) -> bool {
        text.len() == KEY_START.len() + KEY_PREFIX_LEN + 1 + KEY_SECRET_LEN && text.starts_with(KEY_START)
    }
}

/// The token of a share, shown once.
pub(crate) struct ShareToken {
    /// The whole token.
    pub(crate) text: String,
    /// Its beginning.
    pub(crate) prefix: String,
}

impl ShareToken {
    /// Makes a token.
    pub(crate) fn generate(rng: &mut StdRng) -> Self {
        let text = random_text(SHARE_TOKEN_LEN, BASE62, rng);
        let prefix = text[..SHARE_PREFIX_LEN].to_owned();
        Self { text, prefix }
    }

    /// Tells whether a text could be a token at all, before anybody is asked.
    pub(crate) fn is_plausible(text: &str) -> bool {
        text.len() == SHARE_TOKEN_LEN && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }
}

/// Makes the secret of a session cookie.
pub(crate) fn session_secret(rng: &mut StdRng) -> String {
    random_text(SESSION_SECRET_LEN, BASE62, rng)
}

/// Makes a password that a person can read aloud: no look-alikes.
pub(crate) fn random_password(rng: &mut StdRng) -> String {
    random_text(PASSWORD_LEN, ALPHABET, rng)
}

/// Returns what is stored instead of a secret. Random secrets of this length need no slow hash, and
/// looking up the hash tells nothing about the secret by its timing.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn random_text(len: usize, alphabet: &[u8], rng: &mut StdRng) -> String {
    (0..len).map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())])).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn keys_have_their_public_beginning_and_differ() {
        let mut rng = StdRng::seed_from_u64(1);
        let key = ApiKeySecret::generate(&mut rng);
        assert!(key.text.starts_with(&format!("{}_", key.prefix)), "{}", key.text);
        assert!(ApiKeySecret::is_plausible(&key.text));
        assert_ne!(ApiKeySecret::generate(&mut rng).text, key.text);
        assert!(!ApiKeySecret::is_plausible("vayro_short"));
    }

    #[test]
    fn tokens_of_shares_can_stand_in_an_address() {
        let mut rng = StdRng::seed_from_u64(1);
        let token = ShareToken::generate(&mut rng);
        assert!(token.text.starts_with(&token.prefix) && token.prefix.len() == 8);
        assert!(ShareToken::is_plausible(&token.text));
        assert_ne!(ShareToken::generate(&mut rng).text, token.text);
        for bad in ["", "short", &token.text.replace(&token.prefix, "../../..")] {
            assert!(!ShareToken::is_plausible(bad), "{bad}");
        }
    }
}
