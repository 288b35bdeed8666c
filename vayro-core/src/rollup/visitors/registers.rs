//! The registers inside a large sketch, put together without going through the library for each.
//!
//! The form of a serialised sketch is that of Apache `DataSketches`, "HLL sketch, preamble of 10 ints": byte 0
//! the preamble's length in words, 1 the version, 2 the family, 3 the logarithm of the number of registers,
//! 5 flags, 6 the least register value, 7 mode and type; figures of the estimator up to byte 32; the number
//! of registers at the least value and of exceptions, four bytes each; then the registers, and behind them
//! the exceptions of four bytes: slot in the lower 26 bits, value above.

use datasketches::hll::HllSketch;

use super::LG_REGISTERS;
use super::coupons::SLOT_BITS;
use crate::rollup::column::ColumnError;

/// How many registers there are.
const REGISTERS: usize = 1 << LG_REGISTERS;
/// Bytes in front of the registers.
const PREAMBLE_LEN: usize = 40;
/// The first four bytes of every such sketch.
const HEAD: [u8; 4] = [10, 1, 7, LG_REGISTERS];
/// Mode "registers", type "four bits each".
const HLL_4: u8 = 0b0010;
/// Mode "registers", type "eight bits each".
const HLL_8: u8 = 0b1010;
/// Flags of a sketch of which the order of visitors is not known.
const OUT_OF_ORDER: u8 = 0b1_0000;
/// A register whose value is among the exceptions.
const EXCEPTION: u8 = 15;
/// Register values from this on are summed up apart.
const LARGE: u8 = 32;

/// One value per register.
#[derive(Clone, Debug)]
pub(super) struct Registers(Box<[u8; REGISTERS]>);

impl Default for Registers {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

/// Returns slot and value of a coupon.
const fn taken_apart(coupon: u32) -> (usize, u32) {
    ((coupon & ((1 << SLOT_BITS) - 1)) as usize % REGISTERS, coupon >> SLOT_BITS)
}

impl Registers {
    /// Adds visitors by their coupons.
    pub(super) fn add(&mut self, coupons: &[u32]) {
        for (slot, value) in coupons.iter().copied().map(taken_apart) {
            // Six bits.
            self.0[slot] = self.0[slot].max(u8::try_from(value).unwrap_or(u8::MAX));
        }
    }

    /// Reads a serialised sketch; `None` if it is not one with four bits per register.
    pub(super) fn of_sketch(bytes: &[u8]) -> Option<Self> {
        let (preamble, rest) = bytes.split_at_checked(PREAMBLE_LEN)?;
        if preamble[..4] != HEAD || preamble[7] & 0b1111 != HLL_4 {
            return None;
        }
        let least = preamble[6];
        let exceptions = u32::from_le_bytes(preamble[36..].try_into().ok()?);
        let (packed, rest) = rest.split_at_checked(REGISTERS / 2)?;
        let mut values = Box::new([0; REGISTERS]);
        for (pair, byte) in values.chunks_exact_mut(2).zip(packed) {
            pair[0] = (byte & 0x0F).saturating_add(least);
            pair[1] = (byte >> 4).saturating_add(least);
        }
        let is_exception = |slot: usize| (packed[slot / 2] >> (slot % 2 * 4)) & 0x0F == EXCEPTION;
        let mut left = exceptions;
        for exception in rest.chunks_exact(4).map(|bytes| [bytes[0], bytes[1], bytes[2], bytes[3]]) {
            let (slot, value) = taken_apart(u32::from_le_bytes(exception));
            let value = u8::try_from(value).ok()?;
            // Empty places of a table that is not compact.
            if value == 0 {
                continue;
            }
            if !is_exception(slot) {
                return None;
            }
            values[slot] = value;
            left = left.checked_sub(1)?;
        }
        (left == 0).then_some(Self(values))
    }

    /// Keeps the greater value of each register.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0.iter()) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// Returns a sketch with these registers.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] never: the form is the one the library reads.
    pub(super) fn to_sketch(&self) -> Result<HllSketch, ColumnError> {
        // Counted first: there are thousands of registers, but few values.
        let mut counts = [0_u32; 1 << u8::BITS];
        for value in self.0.iter() {
            counts[usize::from(*value)] += 1;
        }
        let (mut small, mut large) = (0.0, 0.0);
        for (value, count) in (0_u8..=u8::MAX).zip(counts) {
            let share = f64::from(count) * (-f64::from(value)).exp2();
            if value < LARGE {
                small += share;
            } else if count > 0 {
                large += share;
            }
        }
        let zeros = counts[0];
        let mut bytes = Vec::with_capacity(PREAMBLE_LEN + REGISTERS);
        bytes.extend_from_slice(&HEAD);
        bytes.extend_from_slice(&[0, OUT_OF_ORDER, 0, HLL_8]);
        for figure in [0.0, small, large] {
            bytes.extend_from_slice(&f64::to_le_bytes(figure));
        }
        bytes.extend_from_slice(&zeros.to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        bytes.extend_from_slice(self.0.as_slice());
        HllSketch::deserialize(&bytes).map_err(|_| ColumnError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use datasketches::hash::value::raw_bytes;
    use datasketches::hll::{HllType, HllUnion};
    use proptest::prelude::*;

    use super::*;

    fn sketch(seed: u64, visitors: u64) -> HllSketch {
        let mut sketch = HllSketch::new(LG_REGISTERS, HllType::Hll4).expect("12 is allowed");
        for visitor in 0..visitors {
            let mixed = (seed << 32 | visitor).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            sketch.update(raw_bytes::from_slice(&mixed.to_le_bytes()));
        }
        sketch
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_union_is_the_librarys(sizes in proptest::collection::vec(600_u64..60_000, 1..5)) {
            let sketches: Vec<HllSketch> = (0..).zip(&sizes).map(|(seed, size)| sketch(seed, *size)).collect();
            let mut union = HllUnion::new(LG_REGISTERS).expect("12 is allowed");
            let mut registers: Option<Registers> = None;
            for sketch in &sketches {
                union.update(sketch);
                let read = Registers::of_sketch(&sketch.serialize()).expect("it is large");
                match &mut registers {
                    Some(registers) => registers.merge(&read),
                    None => registers = Some(read),
                }
            }
            let ours = registers.expect("there is one").to_sketch().expect("our own");
            prop_assert!((ours.composite_estimate() - union.composite_estimate()).abs() < 1e-6 * union.composite_estimate());
        }

        #[test]
        fn rubbish_is_nothing_and_never_a_panic(bytes in any::<Vec<u8>>(), tail in any::<[u8; 16]>()) {
            drop(Registers::of_sketch(&bytes));
            let mut damaged = sketch(1, 2_000).serialize();
            damaged.truncate(damaged.len().saturating_sub(usize::from(tail[0])));
            damaged.extend(tail);
            drop(Registers::of_sketch(&damaged));
        }
    }

    #[test]
    fn small_sketches_are_left_to_the_library() {
        assert!(Registers::of_sketch(&sketch(1, 5).serialize()).is_none());
        assert!(Registers::of_sketch(&sketch(1, 100).serialize()).is_none());
    }
}
