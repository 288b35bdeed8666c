//! Idempotency keys: a request that is sent again is not done again.
//!
//! A request claims its key before it runs and leaves its answer with the key at its end. The same
//! request with the same key is then answered from there.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::ids::{ClaimId, UserId};
use crate::timestamp::Timestamp;

/// How long a key stands for its request, from the first try on.
pub const KEY_LIFETIME: Duration = Duration::from_hours(24);
/// Most keys kept for one account; the oldest answered ones make room.
pub const KEYS_MAX: u32 = 10_000;
/// Keys removed to make room by one claim.
pub const TRIM_BATCH: u16 = 10;
const _: () = assert!(TRIM_BATCH > 1, "a claim makes more room than it takes");
/// Largest body of an answer that is kept, in bytes.
pub const ANSWER_SIZE_MAX: usize = 1 << 20;

/// What a client calls one request: 1 to 255 visible ASCII characters, compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

/// The text is no idempotency key.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdempotencyKeyError {
    /// It is empty.
    #[error("idempotency key is empty")]
    Empty,
    /// It is longer than [`IdempotencyKey::LEN_MAX`].
    #[error("idempotency key is {len} bytes long, the longest allowed is {max}", max = IdempotencyKey::LEN_MAX)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It has a space, a control character or something outside ASCII.
    #[error("idempotency key contains something else than visible ASCII characters")]
    BadChar,
}

impl IdempotencyKey {
    /// Longest key in bytes.
    pub const LEN_MAX: usize = 255;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = IdempotencyKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(IdempotencyKeyError::Empty);
        }
        if text.len() > Self::LEN_MAX {
            return Err(IdempotencyKeyError::TooLong { len: text.len() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(IdempotencyKeyError::BadChar);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps a digest that was made for this.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Returns the digest.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }
    };
}

digest_type!(
    /// Where a key's answer is kept: a SHA-256 of account, workspace, operation and key.
    ///
    /// The same text sent by another account, in another workspace or to another operation has another
    /// slot. What clients write into keys is not stored itself.
    KeySlot
);
digest_type!(
    /// What a key was used for: a SHA-256 of the request's body, byte for byte.
    Fingerprint
);

/// One try to run a request that carries a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Tells this try from others of the same key.
    pub id: ClaimId,
    /// The key.
    pub slot: KeySlot,
    /// Whose key it is; counts for [`KEYS_MAX`].
    pub user_id: UserId,
    /// The request.
    pub fingerprint: Fingerprint,
    /// When the try began.
    pub at: Timestamp,
    /// When the try is surely over. If it has left no answer by then its process has died, and another
    /// try may run the request.
    pub held_until: Timestamp,
}

impl Claim {
    /// Returns when the key is forgotten.
    pub fn expires_at(&self) -> Timestamp {
        self.at.plus(KEY_LIFETIME)
    }
}

/// The final answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Its status, 200 to 499.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: Option<String>,
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its `Location`.
    pub location: Option<String>,
    /// Its body; `None` if it was larger than [`ANSWER_SIZE_MAX`] and is lost.
    pub body: Option<Vec<u8>>,
}

/// What became of a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The request may run now; its end is to be reported.
    Held,
    /// The request has run and this was the answer.
    Answered(Box<KeptAnswer>),
    /// Another try of the same request has not ended.
    Running,
    /// The key was used for another request.
    OtherRequest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii_within_the_limit() {
        for good in ["a", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "~!@#", &"x".repeat(255)] {
            assert_eq!(good.parse::<IdempotencyKey>().map(|key| key.to_string()), Ok(good.to_owned()));
        }
        for (bad, error) in [
            ("", IdempotencyKeyError::Empty),
            (&*"x".repeat(256), IdempotencyKeyError::TooLong { len: 256 }),
            ("a b", IdempotencyKeyError::BadChar),
            ("a\n", IdempotencyKeyError::BadChar),
            ("a\u{7f}", IdempotencyKeyError::BadChar),
            ("schlüssel", IdempotencyKeyError::BadChar),
        ] {
            assert_eq!(bad.parse::<IdempotencyKey>(), Err(error), "{bad:?}");
        }
    }
}
