//! What a small sketch holds: one coupon per visitor, put together without going through the library for each.
//!
//! The form of a serialised sketch is that of Apache `DataSketches`, "HLL sketch, list and set": byte 0 the
//! preamble's length in words, 1 the version, 2 the family, 3 the logarithm of the number of registers, 4 that
//! of the table's size, 5 flags, 6 the length of a list, 7 mode and type; of a set the number of coupons in four
//! bytes; then the coupons of four bytes: slot in the lower 26 bits, register value above.

use datasketches::hash::value::raw_bytes;
use datasketches::hll::HllSketch;

use super::{LG_REGISTERS, empty_sketch};
use crate::rollup::column::ColumnError;

/// Most coupons of a small sketch; with more the library goes over to registers.
pub(super) const COUPONS_MAX: usize = (1 << LG_REGISTERS) / 8 * 3 / 4;

/// Bits of a coupon's slot.
pub(super) const SLOT_BITS: u32 = 26;

const MODE_MASK: u8 = 0b11;
const LIST: u8 = 0;
const SET: u8 = 1;
/// Type "four bits each", which such a sketch will have when it has registers.
const HLL_4: u8 = 0;
const LIST_PREAMBLE_LEN: usize = 8;
const SET_PREAMBLE_LEN: usize = 12;
/// A list has fewer coupons than this.
const LIST_LEN: usize = 8;
const LG_LIST_LEN: u8 = 3;
/// Logarithm of the size of the smallest table of a set.
const LG_SET_MIN: u8 = 5;
/// Flag: no empty places.
const COMPACT: u8 = 0b1000;
/// Flag: no coupon.
const EMPTY: u8 = 0b100;

/// Appends the coupons of a serialised sketch; tells whether it is a small one.
///
/// # Errors
///
/// [`ColumnError`] if it says something else than it holds.
pub(super) fn read(bytes: &[u8], coupons: &mut Vec<u32>) -> Result<bool, ColumnError> {
    let [_, version, family, lg_registers, _, _, len, mode, ..] = *bytes else {
        return Err(ColumnError::Damaged);
    };
    if (version, family, lg_registers) != (1, 7, LG_REGISTERS) {
        return Err(ColumnError::Damaged);
    }
    let (len, rest) = match mode & MODE_MASK {
        LIST => (usize::from(len), bytes.get(LIST_PREAMBLE_LEN..)),
        SET => {
            let len = bytes.get(LIST_PREAMBLE_LEN..SET_PREAMBLE_LEN).and_then(|len| len.try_into().ok());
            let len = u32::from_le_bytes(len.ok_or(ColumnError::Damaged)?);
            (len as usize, bytes.get(SET_PREAMBLE_LEN..))
        }
        _ => return Ok(false),
    };
    let all = rest.unwrap_or_default().chunks_exact(4);
    let all = all.map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let before = coupons.len();
    // Zeros are the empty places of a table that is not compact.
    coupons.extend(all.filter(|coupon| *coupon != 0));
    if len > COUPONS_MAX || coupons.len() - before != len {
        return Err(ColumnError::Damaged);
    }
    Ok(true)
}

/// Returns a sketch of distinct coupons, at most [`COUPONS_MAX`].
///
/// # Errors
///
/// [`ColumnError`] never: the form is the one the library reads.
pub(super) fn to_sketch(coupons: &[u32]) -> Result<HllSketch, ColumnError> {
    let len = u32::try_from(coupons.len()).map_err(|_| ColumnError::Damaged)?;
    let mut bytes = Vec::with_capacity(SET_PREAMBLE_LEN + 4 * coupons.len());
    if coupons.len() < LIST_LEN {
        let flags = if coupons.is_empty() { COMPACT | EMPTY } else { COMPACT };
        let len = u8::try_from(len).map_err(|_| ColumnError::Damaged)?;
        bytes.extend_from_slice(&[2, 1, 7, LG_REGISTERS, LG_LIST_LEN, flags, len, LIST | HLL_4 << 2]);
    } else {
        let mut lg_size = LG_SET_MIN;
        while 4 * coupons.len() > 3 << lg_size {
            lg_size += 1;
        }
        bytes.extend_from_slice(&[3, 1, 7, LG_REGISTERS, lg_size, COMPACT, 0, SET | HLL_4 << 2]);
        bytes.extend_from_slice(&len.to_le_bytes());
    }
    bytes.extend(coupons.iter().flat_map(|coupon| coupon.to_le_bytes()));
    HllSketch::deserialize(&bytes).map_err(|_| ColumnError::Damaged)
}

/// Appends the coupon of a visitor.
///
/// # Errors
///
/// [`ColumnError`] never: a sketch of one visitor is a list.
pub(super) fn push(visitor_id: i64, coupons: &mut Vec<u32>) -> Result<(), ColumnError> {
    let mut sketch = empty_sketch();
    sketch.update(raw_bytes::from_slice(&visitor_id.to_le_bytes()));
    read(&sketch.serialize(), coupons).map(drop)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn coupons_survive_the_sketch(visitors in proptest::collection::btree_set(any::<i64>(), 0..=COUPONS_MAX)) {
            let mut library = empty_sketch();
            let mut coupons = Vec::new();
            for visitor in &visitors {
                library.update(raw_bytes::from_slice(&visitor.to_le_bytes()));
                push(*visitor, &mut coupons).expect("a list");
            }
            coupons.sort_unstable();
            coupons.dedup();
            let ours = to_sketch(&coupons).expect("our own");
            prop_assert_eq!(ours.estimate().to_bits(), library.estimate().to_bits());
            let mut read_back = Vec::new();
            prop_assert!(read(&library.serialize(), &mut read_back).expect("the library's own"));
            read_back.sort_unstable();
            prop_assert_eq!(&read_back, &coupons);
        }

        #[test]
        fn rubbish_is_an_error_and_never_a_panic(bytes in any::<Vec<u8>>(), mode in any::<u8>()) {
            drop(read(&bytes, &mut Vec::new()));
            let mut framed = vec![2, 1, 7, LG_REGISTERS, 3, 8, 1, mode];
            framed.extend(bytes);
            drop(read(&framed, &mut Vec::new()));
        }
    }
}
