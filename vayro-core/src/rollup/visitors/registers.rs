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
/// Bytes that hold two of them each.
const PAIRS: usize = REGISTERS / 2;
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

/// One value per register: those of even slots and those of odd ones apart, as a sketch has them in the lower and
/// the upper half of each byte, so that whole sketches are added several registers at a time.
#[derive(Clone, Debug)]
pub(super) struct Registers {
    even: Box<[u8; PAIRS]>,
    odd: Box<[u8; PAIRS]>,
}

impl Default for Registers {
    fn default() -> Self {
        Self { even: Box::new([0; PAIRS]), odd: Box::new([0; PAIRS]) }
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
            self.raise(slot, u8::try_from(value).unwrap_or(u8::MAX));
        }
    }

    fn raise(&mut self, slot: usize, value: u8) {
        let half = if slot.is_multiple_of(2) { &mut self.even } else { &mut self.odd };
        half[slot / 2] = half[slot / 2].max(value);
    }

    /// Adds a serialised sketch, keeping the greater value of each register; `None` if it is not one with four
    /// bits per register, of which a part may have been added.
    pub(super) fn merge(&mut self, bytes: &[u8]) -> Option<()> {
        let (preamble, rest) = bytes.split_at_checked(PREAMBLE_LEN)?;
        if preamble[..4] != HEAD || preamble[7] & 0b1111 != HLL_4 {
            return None;
        }
        let least = preamble[6];
        let exceptions = u32::from_le_bytes(preamble[36..].try_into().ok()?);
        let (packed, rest) = rest.split_first_chunk::<PAIRS>()?;
        // An exception is greater than what its place says.
        for (register, byte) in self.even.iter_mut().zip(packed) {
            *register = (*register).max((byte & 0x0F).saturating_add(least));
        }
        for (register, byte) in self.odd.iter_mut().zip(packed) {
            *register = (*register).max((byte >> 4).saturating_add(least));
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
            self.raise(slot, value);
            left = left.checked_sub(1)?;
        }
        (left == 0).then_some(())
    }

    /// Returns a sketch with these registers.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] never: the form is the one the library reads.
    pub(super) fn to_sketch(&self) -> Result<HllSketch, ColumnError> {
        // Counted first: there are thousands of registers, but few values.
        let mut counts = [0_u32; 1 << u8::BITS];
        for value in self.even.iter().chain(self.odd.iter()) {
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
        bytes.extend(self.even.iter().zip(self.odd.iter()).flat_map(|(even, odd)| [*even, *odd]));
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
            let mut registers = Registers::default();
            for sketch in &sketches {
                union.update(sketch);
                registers.merge(&sketch.serialize()).expect("it is large");
            }
            let ours = registers.to_sketch().expect("our own");
            prop_assert!((ours.composite_estimate() - union.composite_estimate()).abs() < 1e-6 * union.composite_estimate());
        }

        #[test]
        fn rubbish_is_nothing_and_never_a_panic(bytes in any::<Vec<u8>>(), tail in any::<[u8; 16]>()) {
            Registers::default().merge(&bytes);
            let mut damaged = sketch(1, 2_000).serialize();
            damaged.truncate(damaged.len().saturating_sub(usize::from(tail[0])));
            damaged.extend(tail);
            Registers::default().merge(&damaged);
        }
    }

    #[test]
    fn small_sketches_are_left_to_the_library() {
        assert_eq!(Registers::default().merge(&sketch(1, 5).serialize()), None);
        assert_eq!(Registers::default().merge(&sketch(1, 100).serialize()), None);
    }
}
