//! Port of idempotency keys.

use async_trait::async_trait;

use super::StoreError;
use crate::idempotency::{Claim, ClaimOutcome, KeptAnswer};
use crate::timestamp::Timestamp;

/// Remembers which requests ran under which key, and what they were answered.
///
/// A key is held by one claim at a time. It becomes free by [`Self::release`], at the end of its
/// lifetime, and, for the same request only, when its holder has not ended by `held_until`.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Takes the key if it is free at `claim.at`, and says otherwise what it stands for. Of claims made
    /// at the same time one is held.
    ///
    /// A claim that is held removes a few answered keys of its account that have expired or are older
    /// than its newest `keys_max`, which counts this one.
    async fn claim(&self, claim: &Claim, keys_max: u32) -> Result<ClaimOutcome, StoreError>;

    /// Leaves the answer with the key; `false`, and nothing is stored, if the claim does not hold the key
    /// any more.
    async fn complete(&self, claim: &Claim, answer: &KeptAnswer) -> Result<bool, StoreError>;

    /// Makes the key free, as if it was never used; `false` if the claim does not hold it.
    async fn release(&self, claim: &Claim) -> Result<bool, StoreError>;

    /// Removes up to `max` keys whose lifetime was over at `now` and returns how many.
    async fn purge(&self, now: Timestamp, max: u16) -> Result<u64, StoreError>;
}
