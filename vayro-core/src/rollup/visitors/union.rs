//! Putting sketches together.

use datasketches::hll::{HllSketch, HllType, HllUnion};

use super::coupons::{self, COUPONS_MAX};
use super::registers::Registers;
use super::{LG_REGISTERS, Sketch, for_each};
use crate::click::ClickClass;
use crate::rollup::column::ColumnError;

/// Coupons looked through for those that came twice.
const COUPONS_LOOKED_AT: usize = 2048;

/// The visitors of one UTC day, or of a part of it.
///
/// The library works out its estimate anew after each sketch that it adds; a year has thousands of them.
#[derive(Clone, Debug, Default)]
pub struct DayVisitors {
    /// A large sketch that came first, as stored; often nothing else comes, and its own estimate is the best.
    first: Option<Vec<u8>>,
    /// What came one by one or in small sketches; some may be there more than once.
    coupons: Vec<u32>,
    /// Everything else.
    registers: Option<Registers>,
}

impl DayVisitors {
    /// Adds one visitor.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if a sketch that was added before is damaged.
    pub fn add(&mut self, visitor_id: i64) -> Result<(), ColumnError> {
        self.merge_first()?;
        coupons::push(visitor_id, &mut self.coupons)?;
        self.shrink();
        Ok(())
    }

    /// Adds the visitors of a sketch.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if it is damaged; that may also show later.
    pub fn merge(&mut self, sketch: &Sketch<'_>) -> Result<(), ColumnError> {
        match sketch {
            Sketch::Stored(bytes) => self.merge_stored(bytes),
            Sketch::Loaded(sketch) => self.merge_stored(&sketch.serialize()),
        }
    }

    /// Adds the visitors of all sketches of a column that are of these classes.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if it is damaged.
    pub(in crate::rollup) fn merge_column(
        &mut self,
        column: &[u8],
        classes: &[ClickClass],
    ) -> Result<(), ColumnError> {
        for_each(
            column,
            |_, class, sketch| {
                if classes.contains(&class) { self.merge_stored(sketch) } else { Ok(()) }
            },
        )
    }

    fn merge_stored(&mut self, bytes: &[u8]) -> Result<(), ColumnError> {
        self.merge_first()?;
        if coupons::read(bytes, &mut self.coupons)? {
            self.shrink();
        } else if self.coupons.is_empty() && self.registers.is_none() {
            self.first = Some(bytes.to_vec());
        } else {
            self.merge_registers(bytes)?;
        }
        Ok(())
    }

    /// Puts the first sketch where others can be added to it.
    fn merge_first(&mut self) -> Result<(), ColumnError> {
        self.first.take().map_or(Ok(()), |bytes| self.merge_registers(&bytes))
    }

    fn merge_registers(&mut self, bytes: &[u8]) -> Result<(), ColumnError> {
        self.registers.get_or_insert_default().merge(bytes).ok_or(ColumnError::Damaged)
    }

    /// Leaves out what is there twice once there is much, and goes over to registers if there still is.
    fn shrink(&mut self) {
        if self.coupons.len() > COUPONS_LOOKED_AT {
            self.settle();
        }
    }

    /// Leaves distinct coupons, few and without registers, or registers alone.
    fn settle(&mut self) {
        self.coupons.sort_unstable();
        self.coupons.dedup();
        if self.registers.is_none() && self.coupons.len() <= COUPONS_MAX {
            return;
        }
        self.registers.get_or_insert_with(Registers::default).add(&self.coupons);
        self.coupons.clear();
    }

    /// Returns how many there are, exactly for some hundred and about so beyond.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if a sketch is damaged.
    #[expect(clippy::cast_possible_truncation, reason = "rounded, and never near the limits")]
    pub fn count(mut self) -> Result<i64, ColumnError> {
        if let Some(only) = &self.first {
            let sketch = HllSketch::deserialize(only).map_err(|_| ColumnError::Damaged)?;
            return Ok(sketch.estimate().round() as i64);
        }
        self.settle();
        Ok(match &self.registers {
            Some(registers) => registers.to_sketch()?.estimate().round() as i64,
            None => i64::try_from(self.coupons.len()).unwrap_or(i64::MAX),
        })
    }

    /// Returns one sketch of all.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if a sketch is damaged.
    pub(super) fn into_sketch(mut self) -> Result<HllSketch, ColumnError> {
        self.merge_first()?;
        self.settle();
        let Some(registers) = &self.registers else { return coupons::to_sketch(&self.coupons) };
        let mut union = HllUnion::new(LG_REGISTERS).expect("12 lies within the sketch's 4 to 21");
        union.update(&registers.to_sketch()?);
        Ok(union.to_sketch(HllType::Hll4))
    }
}

#[cfg(test)]
mod tests {
    use datasketches::hash::value::raw_bytes;
    use proptest::prelude::*;

    use super::super::empty_sketch;
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_union_is_the_librarys(
            parts in proptest::collection::vec((0..3_000_i64, 0..3_000_i64, any::<bool>()), 0..8),
            single in proptest::collection::vec(0..4_000_i64, 0..20),
        ) {
            let mut union = HllUnion::new(LG_REGISTERS).expect("12 is allowed");
            let mut ours = DayVisitors::default();
            for (from, count, is_loaded) in parts {
                let mut sketch = empty_sketch();
                for visitor in from..from + count / 3 {
                    sketch.update(raw_bytes::from_slice(&visitor.to_le_bytes()));
                }
                union.update(&sketch);
                let bytes = sketch.serialize();
                let part = if is_loaded { Sketch::Loaded(sketch) } else { Sketch::Stored(&bytes) };
                ours.merge(&part).expect("sound");
            }
            for visitor in single {
                union.update_value(raw_bytes::from_slice(&visitor.to_le_bytes()));
                ours.add(visitor).expect("sound");
            }
            let counted = f64::from(u32::try_from(ours.count().expect("sound")).expect("few"));
            // Among few both are exact; beyond, the library may follow the order in which visitors came.
            let (expected, exact_max) = (union.estimate(), 384.0);
            let tolerance = if expected > exact_max { expected * 0.07 } else { 1.0 };
            prop_assert!((counted - expected).abs() <= tolerance, "{counted} {expected}");
        }
    }
}
