//! The small file that says how far the log is settled.

/// Name of the file.
pub(crate) const NAME: &str = "cursor";
/// First bytes of the file.
const MAGIC: [u8; 8] = *b"VAYROCUR";

/// Returns the content of the file.
pub(crate) fn encode(seq: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// Reads the file; `None` if it is damaged.
pub(crate) fn decode(bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.first_chunk::<20>()?;
    let crc = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
    if bytes[..8] != MAGIC || crc != crc32c::crc32c(&bytes[..16]) {
        return None;
    }
    Some(u64::from_le_bytes(bytes[8..16].try_into().ok()?))
}
