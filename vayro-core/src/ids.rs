//! Identifiers: `UUIDv7` values behind one type per thing, so that they cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::timestamp::Timestamp;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that is known to name this kind of thing.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the UUID.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }

            /// Returns the UUID's bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Makes a `UUIDv7` for the instant `at` from `random`, which must be fresh random bytes.
            pub fn from_parts(at: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid_v7(at, random))
            }

            /// Makes a `UUIDv7` for the instant `at` with randomness from `rng`.
            pub fn generate(at: Timestamp, rng: &mut dyn rand::RngCore) -> Self {
                let mut random = [0; 10];
                rng.fill_bytes(&mut random);
                Self::from_parts(at, random)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id_type!(
    /// A link.
    LinkId
);
id_type!(
    /// An account.
    UserId
);
id_type!(
    /// A workspace, which owns links.
    WorkspaceId
);
id_type!(
    /// A host that serves short links.
    DomainId
);
id_type!(
    /// An API key.
    KeyId
);
id_type!(
    /// A signed-in browser.
    SessionId
);
id_type!(
    /// One entry of the audit log.
    AuditId
);
id_type!(
    /// One accepted click, minted once at the edge; the click's time is derived from it.
    ClickId
);
id_type!(
    /// A removal of clicks that somebody asked for.
    PurgeId
);
id_type!(
    /// A share of statistics.
    ShareId
);
id_type!(
    /// One try to run a request that carries an idempotency key.
    ClaimId
);
id_type!(
    /// One start of a run over stored clicks.
    RunId
);

impl DomainId {
    /// The instance's default domain; its row is made by the first migration.
    pub const DEFAULT: Self = Self(Uuid::from_u128(1));
}

impl ClickId {
    /// Returns the instant the click was accepted, in whole milliseconds, as the id carries it.
    ///
    /// The row's partition key comes from here and from nowhere else: a replay of the same click
    /// then always meets the same primary key. `None` when the id is not a `UUIDv7`.
    pub fn timestamp(&self) -> Option<Timestamp> {
        if self.0.get_version_num() != 7 {
            return None;
        }
        let millis = (self.0.as_u128() >> 80) as i64;
        Timestamp::from_millis(millis)
    }
}

/// RFC 9562 §5.7: 48 bits of Unix milliseconds, version, 12 random bits, variant, 62 random bits.
fn uuid_v7(at: Timestamp, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(at.as_millis().max(0).unsigned_abs(), &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn click_time_survives_the_id() {
        let at = Timestamp::from_millis(1_790_000_000_123).expect("in range");
        let id = ClickId::from_parts(at, [0xAB; 10]);
        assert_eq!(id.timestamp(), Some(at));
        assert_eq!(id.to_string().parse::<ClickId>().ok(), Some(id));
    }

    #[test]
    fn other_uuid_versions_carry_no_time() {
        let id = ClickId::from_uuid(Uuid::from_u128(0x1234_5678_1234_4234_8234_1234_5678_1234));
        assert_eq!(id.timestamp(), None);
    }
}
