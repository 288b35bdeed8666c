//! One file of the log: its name and its head.

use vayro_core::timestamp::Timestamp;

/// Bytes in front of the first record.
pub(crate) const HEAD_LEN: u64 = 16;
/// First bytes of every segment.
const MAGIC: [u8; 8] = *b"VAYROLOG";
/// Version of the layout of records.
const VERSION: u32 = 1;
/// End of the names of segments.
const SUFFIX: &str = ".seg";

/// A segment as the log knows it.
pub(crate) struct Segment {
    /// Counts segments; the order of the files.
    pub(crate) number: u64,
    /// No record with a lower sequence belongs to it. What an earlier segment holds from here on is
    /// stale: it was written again here after the disk failed.
    pub(crate) first_seq: u64,
    /// Bytes of it that count; the file may hold more after a failed write.
    pub(crate) len: u64,
    /// When its oldest record was appended, if it is being written to.
    pub(crate) first_at: Option<Timestamp>,
    /// When its newest record was appended, if known.
    pub(crate) last_at: Option<Timestamp>,
    /// Its content, if the disk did not take it: accepted records that wait to be written again.
    pub(crate) memory: Option<Vec<u8>>,
}

impl Segment {
    /// Returns the file's name; names sort by number.
    pub(crate) fn name(&self) -> String {
        format!("{:010}-{:020}{SUFFIX}", self.number, self.first_seq)
    }
}

/// Reads number and first sequence from a file's name; `None` if it is no segment.
pub(crate) fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (number, first_seq) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let (number, first_seq) = (number.parse::<u64>().ok()?, first_seq.parse::<u64>().ok()?);
    // Others have to follow, so no log gets that far.
    (number < u64::MAX && first_seq < u64::MAX).then_some((number, first_seq))
}

/// Returns the head of a segment.
pub(crate) fn head() -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
    head
}

/// What the head of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Ours.
    Sound,
    /// Torn or damaged; its records may still be sound.
    Damaged,
    /// Written by a newer program.
    Foreign(u32),
}

/// Judges the first bytes of a segment.
pub(crate) fn judge_head(bytes: &[u8]) -> Head {
    let Some(bytes) = bytes.first_chunk::<16>() else { return Head::Damaged };
    let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if bytes[..8] != MAGIC || number(12) != crc32c::crc32c(&bytes[..12]) {
        return Head::Damaged;
    }
    match number(8) {
        VERSION => Head::Sound,
        other => Head::Foreign(other),
    }
}
