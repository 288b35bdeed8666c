//! How a record lies in a segment: magic ‖ length ‖ CRC32C ‖ sequence ‖ time ‖ payload, little endian.
//!
//! The checksum covers everything but the magic and itself. The magic is only there to find the next
//! record quickly after damaged bytes; the checksum alone decides.

use vayro_core::timestamp::Timestamp;

/// Bytes in front of a payload.
pub(crate) const HEADER_LEN: usize = 28;
/// Longest payload. A click with every field at its limit stays well below.
pub(crate) const PAYLOAD_LEN_MAX: usize = 64 * 1024;
/// First bytes of a record.
const MAGIC: [u8; 4] = [0xC1, b'v', b'y', 0x1C];

/// A record read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its position in the log; never used twice.
    pub(crate) seq: u64,
    /// When it was appended.
    pub(crate) at: Timestamp,
    /// What it carries.
    pub(crate) payload: Vec<u8>,
}

/// Appends the encoded record to `buffer`. The payload must not be longer than [`PAYLOAD_LEN_MAX`].
pub(crate) fn encode(buffer: &mut Vec<u8>, seq: u64, at: Timestamp, payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("the caller checked it against PAYLOAD_LEN_MAX");
    let seq = seq.to_le_bytes();
    let at = at.as_micros().to_le_bytes();
    buffer.reserve(HEADER_LEN + payload.len());
    buffer.extend_from_slice(&MAGIC);
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(&checksum(len.to_le_bytes(), seq, at, payload).to_le_bytes());
    buffer.extend_from_slice(&seq);
    buffer.extend_from_slice(&at);
    buffer.extend_from_slice(payload);
}

/// Reads the record that begins at the first byte; `None` if there is no whole sound one. The second
/// value is its length in bytes.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Record, usize)> {
    let header = bytes.first_chunk::<HEADER_LEN>()?;
    let field = |from: usize| -> [u8; 8] {
        header[from..from + 8].try_into().expect("the header is long enough for every field")
    };
    if header[..4] != MAGIC {
        return None;
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3] = field(4);
    let (len, crc) = ([l0, l1, l2, l3], u32::from_le_bytes([c0, c1, c2, c3]));
    let end = HEADER_LEN + payload_len(len)?;
    let payload = bytes.get(HEADER_LEN..end)?;
    let (seq, at) = (field(12), field(20));
    if checksum(len, seq, at, payload) != crc {
        return None;
    }
    let at = Timestamp::from_micros(i64::from_le_bytes(at))?;
    let seq = u64::from_le_bytes(seq);
    // Another one has to follow, so no log gets that far.
    if seq == u64::MAX {
        return None;
    }
    Some((Record { seq, at, payload: payload.to_vec() }, end))
}

/// Tells whether more bytes could still make a record of the ones at the end of a read.
pub(crate) fn is_maybe_cut_off(bytes: &[u8]) -> bool {
    let magic_len = bytes.len().min(MAGIC.len());
    if bytes[..magic_len] != MAGIC[..magic_len] {
        return false;
    }
    match bytes.get(4..8).and_then(|len| len.try_into().ok()) {
        Some(len) => payload_len(len).is_some_and(|len| HEADER_LEN + len > bytes.len()),
        None => true,
    }
}

/// Returns how many bytes to skip from the start of `bytes` to where a record might begin; all of them
/// if none might.
pub(crate) fn next_candidate(bytes: &[u8]) -> usize {
    (1..bytes.len())
        .find(|&at| {
            let rest = &bytes[at..];
            let len = rest.len().min(MAGIC.len());
            rest[..len] == MAGIC[..len]
        })
        .unwrap_or(bytes.len())
}

fn payload_len(len: [u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(len)).ok().filter(|len| *len <= PAYLOAD_LEN_MAX)
}

fn checksum(len: [u8; 4], seq: [u8; 8], at: [u8; 8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&len);
    let crc = crc32c::crc32c_append(crc, &seq);
    let crc = crc32c::crc32c_append(crc, &at);
    crc32c::crc32c_append(crc, payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_round_trip(seq: u64, micros in 0_i64..4_000_000_000_000_000, payload: Vec<u8>, rest: Vec<u8>) {
            let at = Timestamp::from_micros(micros).expect("in range");
            let mut bytes = Vec::new();
            encode(&mut bytes, seq, at, &payload);
            let len = bytes.len();
            bytes.extend(rest);
            let expected = (seq < u64::MAX).then_some((Record { seq, at, payload }, len));
            prop_assert_eq!(decode(&bytes), expected);
        }

        #[test]
        fn one_flipped_bit_is_always_seen(payload in prop::collection::vec(any::<u8>(), 0..64), bit in 0_usize..224) {
            let mut bytes = Vec::new();
            encode(&mut bytes, 7, Timestamp::EPOCH, &payload);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn rubbish_never_panics(bytes: Vec<u8>) {
            drop(decode(&bytes));
            let _ = is_maybe_cut_off(&bytes);
            prop_assert!(next_candidate(&bytes) <= bytes.len());
        }
    }

    #[test]
    fn the_next_record_is_found_behind_damage() {
        let mut bytes = vec![0xC1, b'v', b'x', 0];
        let damage = bytes.len();
        encode(&mut bytes, 1, Timestamp::EPOCH, b"here");
        assert_eq!(decode(&bytes), None);
        assert_eq!(next_candidate(&bytes), damage);
    }
}
