//! What the consumer must know after a restart: what was handed out, and how often.
//!
//! The file is replaced whenever that changes, without waiting for the disk: it survives a crash of the
//! process, which is what counts attempts, and losing it with the power costs only duplicates.

/// Name of the file.
pub(super) const NAME: &str = "progress";
/// First bytes of the file.
const MAGIC: [u8; 8] = *b"VAYROPR2";
/// Bytes of one run.
const RUN_LEN: usize = 20;

/// Entries that follow each other and were handed out equally often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) len: u64,
    pub(super) attempts: u32,
}

/// Content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Entries below were handed out.
    pub(super) handed_out: u64,
    /// Entries that are settled, ever.
    pub(super) settled: u64,
    /// The handed-out entries that are not settled, sorted.
    pub(super) held: Vec<Run>,
}

/// Puts entries with their attempts, sorted, together as runs: whole batches mostly.
pub(super) fn runs(held: impl Iterator<Item = (u64, u32)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (seq, attempts) in held {
        match runs.last_mut() {
            Some(run) if run.first + run.len == seq && run.attempts == attempts => run.len += 1,
            _ => runs.push(Run { first: seq, len: 1, attempts }),
        }
    }
    runs
}

impl Progress {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(28 + self.held.len() * RUN_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.handed_out.to_le_bytes());
        bytes.extend_from_slice(&self.settled.to_le_bytes());
        for run in &self.held {
            bytes.extend_from_slice(&run.first.to_le_bytes());
            bytes.extend_from_slice(&run.len.to_le_bytes());
            bytes.extend_from_slice(&run.attempts.to_le_bytes());
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
            held: Vec::with_capacity(rest.len() / RUN_LEN),
        };
        for run in rest.chunks(RUN_LEN) {
            let (first, run) = run.split_first_chunk::<8>()?;
            let (len, attempts) = run.split_first_chunk::<8>()?;
            progress.held.push(Run {
                first: u64::from_le_bytes(*first),
                len: u64::from_le_bytes(*len),
                attempts: u32::from_le_bytes(attempts.try_into().ok()?),
            });
        }
        Some(progress)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn single((first, attempts): (u64, u32)) -> Run {
        Run { first, len: 1, attempts }
    }

    proptest! {
        #[test]
        fn progress_round_trips(handed_out: u64, settled: u64, held: BTreeMap<u64, u32>) {
            let progress = Progress { handed_out, settled, held: held.into_iter().map(single).collect() };
            prop_assert_eq!(Progress::decode(&progress.encode()), Some(progress));
        }

        #[test]
        fn runs_are_what_they_were_made_of(held in prop::collection::btree_map(0_u64..40, 1_u32..3, 0..40)) {
            let runs = runs(held.iter().map(|(seq, attempts)| (*seq, *attempts)));
            let entries = |run: &Run| (run.first..run.first + run.len).map(|seq| (seq, run.attempts)).collect::<Vec<_>>();
            let back: BTreeMap<u64, u32> = runs.iter().flat_map(entries).collect();
            prop_assert_eq!(back, held);
            for pair in runs.windows(2) {
                prop_assert!(pair[0].first + pair[0].len < pair[1].first || pair[0].attempts != pair[1].attempts);
            }
        }

        #[test]
        fn damage_is_seen(held: BTreeMap<u64, u32>, bit: usize) {
            let mut bytes =
                Progress { handed_out: 7, settled: 3, held: held.into_iter().map(single).collect() }.encode();
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Progress::decode(&bytes), None);
        }
    }
}
