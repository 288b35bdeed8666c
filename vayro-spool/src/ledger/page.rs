//! One of the two places of the figures in a file.

use vayro_core::day::Day;
use vayro_core::ledger::{DayCounts, EDGE_LEN_MAX, EdgeLedger};
use vayro_core::timestamp::Timestamp;

/// Length of a place: one page of memory, so that a write is never seen in half by another start.
pub(super) const PAGE_LEN: usize = 4096;
/// Days that fit; the oldest beyond are left out. Days leave once the database has them.
pub(super) const DAYS_MAX: usize = 80;
/// First bytes; the last one is the version.
const MAGIC: [u8; 8] = *b"VAYROLG1";
/// Magic, checksum, length of what follows.
const HEAD_LEN: usize = 16;
/// Number, instant, flag, length of the name.
const FIXED_LEN: usize = 8 + 8 + 1 + 1;
/// A day and five figures.
const DAY_LEN: usize = 4 + 5 * 8;

const _: () = assert!(HEAD_LEN + FIXED_LEN + EDGE_LEN_MAX + DAYS_MAX * DAY_LEN <= PAGE_LEN, "it must fit");
const _: () = assert!(EDGE_LEN_MAX <= u8::MAX as usize, "the length of a name is one byte");

/// What a place holds.
pub(super) struct Page {
    /// How many changes there were; the greater one is the newer.
    pub(super) number: u64,
    pub(super) ledger: EdgeLedger,
}

/// Returns the bytes of a place, no more than are used.
pub(super) fn encode(number: u64, ledger: &EdgeLedger) -> Vec<u8> {
    let mut body = Vec::with_capacity(512);
    body.extend_from_slice(&number.to_le_bytes());
    body.extend_from_slice(&ledger.at.as_micros().to_le_bytes());
    body.push(u8::from(ledger.is_over));
    let edge = &ledger.edge[..ledger.edge.floor_char_boundary(EDGE_LEN_MAX)];
    body.push(u8::try_from(edge.len()).unwrap_or(u8::MAX));
    body.extend_from_slice(edge.as_bytes());
    let left_out = ledger.days.len().saturating_sub(DAYS_MAX);
    for (day, counts) in &ledger.days[left_out..] {
        body.extend_from_slice(&day.number().to_le_bytes());
        for figure in [counts.accepted, counts.shipped, counts.ring_full, counts.shutdown, counts.disk] {
            body.extend_from_slice(&figure.to_le_bytes());
        }
    }
    let len = u32::try_from(body.len()).expect("a page is shorter than four gigabytes");
    let mut bytes = Vec::with_capacity(HEAD_LEN + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

impl Page {
    /// Reads a place; `None` if it was never written or not written whole.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD_LEN)?;
        let (magic, numbers) = head.split_at(MAGIC.len());
        let mut numbers = Reader(numbers);
        let (crc, len) = (numbers.u32()?, numbers.u32()?);
        let body = rest.get(..usize::try_from(len).ok()?)?;
        if magic != MAGIC || crc32c::crc32c(body) != crc {
            return None;
        }
        let mut body = Reader(body);
        let number = body.u64()?;
        let at = Timestamp::from_micros(body.u64()?.cast_signed())?;
        let is_over = body.take(1)?[0] != 0;
        let edge_len = usize::from(body.take(1)?[0]);
        let edge = std::str::from_utf8(body.take(edge_len)?).ok()?.to_owned();
        let mut days = Vec::new();
        while !body.0.is_empty() {
            let day = Day::from_number(body.u32()?.cast_signed())?;
            let counts = DayCounts {
                accepted: body.u64()?,
                shipped: body.u64()?,
                ring_full: body.u64()?,
                shutdown: body.u64()?,
                disk: body.u64()?,
            };
            days.push((day, counts));
        }
        Some(Self { number, ledger: EdgeLedger { edge, is_over, at, days } })
    }
}

/// Takes numbers off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_and_rubbish_is_not(
            number: u64, figures in prop::collection::vec(any::<u64>(), 0..200), edge in "[a-z:0-9-]{0,140}",
            flip in 0_usize..64,
        ) {
            let day = |n: usize| Day::from_number(20_000 + i32::try_from(n).expect("few")).expect("a day");
            let counts = |&accepted: &u64| DayCounts { accepted, ..DayCounts::default() };
            let days = figures.iter().enumerate().map(|(n, figure)| (day(n), counts(figure))).collect();
            let ledger = EdgeLedger { edge, is_over: true, at: Timestamp::EPOCH, days };
            let mut bytes = encode(number, &ledger);
            prop_assert!(bytes.len() <= PAGE_LEN);
            let page = Page::decode(&bytes).expect("whole");
            prop_assert_eq!(page.number, number);
            let kept = ledger.days.len().min(DAYS_MAX);
            prop_assert_eq!(&page.ledger.days[..], &ledger.days[ledger.days.len() - kept..]);
            let at = flip % bytes.len();
            bytes[at] ^= 1;
            prop_assert!(Page::decode(&bytes).is_none());
        }
    }
}
