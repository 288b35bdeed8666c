//! Passes: what a right password is exchanged for, so that it travels once.
//!
//! A pass is its end and an HMAC of share and end. The key is made of the hashes of token and password, which
//! only the database knows: any process can check a pass, and none has to be stored.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use vayro_core::ids::ShareId;
use vayro_core::timestamp::Timestamp;

/// How long a pass is good for.
pub(crate) const PASS_AGE_MAX: Duration = Duration::from_hours(1);
/// Bytes of the end in front of the HMAC.
const END_LEN: usize = 8;

/// Makes and checks the passes of one share.
pub(crate) struct Passes<'a> {
    pub(crate) id: ShareId,
    /// SHA-256 of the token.
    pub(crate) token_hash: [u8; 32],
    /// Argon2id hash of the password.
    pub(crate) password_hash: &'a str,
}

impl Passes<'_> {
    /// Makes a pass; returns it with its end.
    pub(crate) fn issue(&self, now: Timestamp) -> (String, Timestamp) {
        let end = now.plus(PASS_AGE_MAX);
        let mut bytes = end.as_micros().to_be_bytes().to_vec();
        bytes.extend(self.mac(end).finalize().into_bytes());
        (URL_SAFE_NO_PAD.encode(bytes), end)
    }

    /// Tells whether a pass is one of this share and still good. Takes as long for every wrong one.
    pub(crate) fn is_good(&self, pass: &str, now: Timestamp) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(pass) else { return false };
        let Some((end, mac)) = bytes.split_first_chunk::<END_LEN>() else { return false };
        let Some(end) = Timestamp::from_micros(i64::from_be_bytes(*end)) else { return false };
        self.mac(end).verify_slice(mac).is_ok() && now < end
    }

    fn mac(&self, end: Timestamp) -> Hmac<Sha256> {
        let mut key = self.token_hash.to_vec();
        key.extend(self.password_hash.as_bytes());
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        mac.update(b"vayro share pass 1");
        mac.update(self.id.as_bytes());
        mac.update(&end.as_micros().to_be_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_of_one_share_one_password_and_some_time() {
        let now = Timestamp::from_micros(1_778_414_400_000_000).expect("in range");
        let passes = |id: u128, token: u8, password_hash| Passes {
            id: ShareId::from_uuid(uuid::Uuid::from_u128(id)),
            token_hash: [token; 32],
            password_hash,
        };
        let ours = passes(1, 1, "$argon2id$a");
        let (pass, end) = ours.issue(now);
        assert_eq!(end.since(now), PASS_AGE_MAX);
        assert!(ours.is_good(&pass, now));
        assert!(!ours.is_good(&pass, end));
        for other in [passes(2, 1, "$argon2id$a"), passes(1, 2, "$argon2id$a"), passes(1, 1, "$argon2id$b")] {
            assert!(!other.is_good(&pass, now));
        }
        let mut longer = URL_SAFE_NO_PAD.decode(&pass).expect("ours");
        longer[7] ^= 1;
        assert!(!ours.is_good(&URL_SAFE_NO_PAD.encode(&longer), now), "its end cannot be moved");
        for bad in ["", "x", "AAAA", &pass[1..], &format!("{pass}AA")] {
            assert!(!ours.is_good(bad, now), "{bad}");
        }
    }
}
