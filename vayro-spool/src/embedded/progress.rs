//! What the consumer must know after a restart: what was handed out, and how often.
//!
//! The file is replaced whenever that changes, without waiting for the disk: it survives a crash of the
//! process, which is what counts attempts, and losing it with the power costs only duplicates.

use std::collections::BTreeMap;

/// Name of the file.
pub(super) const NAME: &str = "progress";
/// First bytes of the file.
const MAGIC: [u8; 8] = *b"VAYROPRG";
/// Bytes of one held entry.
const ENTRY_LEN: usize = 12;

/// Content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Entries below were handed out.
    pub(super) handed_out: u64,
    /// Entries that are settled, ever.
    pub(super) settled: u64,
    /// The handed-out entries that are not settled, with how often each was handed out.
    pub(super) held: BTreeMap<u64, u32>,
}

impl Progress {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(28 + self.held.len() * ENTRY_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.handed_out.to_le_bytes());
        bytes.extend_from_slice(&self.settled.to_le_bytes());
        for (seq, attempts) in &self.held {
            bytes.extend_from_slice(&seq.to_le_bytes());
            bytes.extend_from_slice(&attempts.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads the file; `None` if it is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (rest, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(rest) != u32::from_le_bytes(*crc) {
            return None;
        }
        let rest = rest.strip_prefix(&MAGIC)?;
        let (handed_out, rest) = rest.split_first_chunk::<8>()?;
        let (settled, rest) = rest.split_first_chunk::<8>()?;
        let mut progress = Self {
            handed_out: u64::from_le_bytes(*handed_out),
            settled: u64::from_le_bytes(*settled),
            held: BTreeMap::new(),
        };
        for entry in rest.chunks(ENTRY_LEN) {
            let (seq, attempts) = entry.split_first_chunk::<8>()?;
            progress.held.insert(u64::from_le_bytes(*seq), u32::from_le_bytes(attempts.try_into().ok()?));
        }
        Some(progress)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn progress_round_trips(handed_out: u64, settled: u64, held: BTreeMap<u64, u32>) {
            let progress = Progress { handed_out, settled, held };
            prop_assert_eq!(Progress::decode(&progress.encode()), Some(progress));
        }

        #[test]
        fn damage_is_seen(held: BTreeMap<u64, u32>, bit: usize) {
            let mut bytes = Progress { handed_out: 7, settled: 3, held }.encode();
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Progress::decode(&bytes), None);
        }
    }
}
