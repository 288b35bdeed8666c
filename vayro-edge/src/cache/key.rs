//! The key of the in-process link cache.

use std::hash::{Hash, Hasher};

use quick_cache::Equivalent;

use crate::routes::DomainIndex;

/// Codes up to this length live inside the key. Generated ones have 6 to 12 characters, so that nearly no
/// key needs memory of its own.
const INLINE_LEN: usize = 22;

/// What a link is cached under.
#[derive(Clone, Debug)]
pub(crate) struct CacheKey {
    domain: DomainIndex,
    code: Code,
}

#[derive(Clone, Debug)]
enum Code {
    Inline { len: u8, bytes: [u8; INLINE_LEN] },
    Long(Box<[u8]>),
}

/// A key borrowed from the request, so that a look never allocates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRef<'a> {
    /// Which domain.
    pub(crate) domain: DomainIndex,
    /// The short code; must be valid.
    pub(crate) code: &'a [u8],
}

impl KeyRef<'_> {
    /// Makes an owned key.
    pub(crate) fn to_key(self) -> CacheKey {
        let len = self.code.len();
        let code = match u8::try_from(len) {
            Ok(short) if len <= INLINE_LEN => {
                let mut bytes = [0; INLINE_LEN];
                bytes[..len].copy_from_slice(self.code);
                Code::Inline { len: short, bytes }
            }
            _ => Code::Long(self.code.into()),
        };
        CacheKey { domain: self.domain, code }
    }
}

impl CacheKey {
    /// Returns the borrowed form.
    pub(crate) fn as_ref(&self) -> KeyRef<'_> {
        let code = match &self.code {
            Code::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Code::Long(bytes) => bytes,
        };
        KeyRef { domain: self.domain, code }
    }
}

impl PartialEq for KeyRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.domain == other.domain && self.code == other.code
    }
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for CacheKey {}

// Both forms must hash alike, or a borrowed look would never find an owned key.
impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.domain.0);
        state.write(self.code);
    }
}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Equivalent<CacheKey> for KeyRef<'_> {
    fn equivalent(&self, key: &CacheKey) -> bool {
        *self == key.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn borrowed_and_owned_forms_agree(domain: u32, code in "[a-z]{1,50}", other in "[a-z]{1,50}") {
            let borrowed = KeyRef { domain: DomainIndex(domain), code: code.as_bytes() };
            let owned = borrowed.to_key();
            let hashes = RandomState::new();
            prop_assert!(borrowed.equivalent(&owned));
            prop_assert_eq!(hashes.hash_one(borrowed), hashes.hash_one(&owned));
            let different = KeyRef { domain: DomainIndex(domain), code: other.as_bytes() };
            prop_assert_eq!(different.equivalent(&owned), code == other);
        }
    }

    #[test]
    fn a_key_stays_small() {
        assert!(size_of::<CacheKey>() <= 32);
    }
}
