//! Putting sketches together.

use datasketches::hash::value::raw_bytes;
use datasketches::hll::{HllSketch, HllType, HllUnion};

use super::registers::Registers;
use super::{LG_REGISTERS, Sketch};
use crate::rollup::column::ColumnError;

/// The visitors of one UTC day, or of a part of it.
#[derive(Debug)]
pub struct DayVisitors {
    /// What came one by one or in small sketches.
    few: HllUnion,
    /// What came in sketches that are full arrays of registers.
    many: Option<Registers>,
}

impl Default for DayVisitors {
    fn default() -> Self {
        let few = HllUnion::new(LG_REGISTERS).expect("12 lies within the sketch's 4 to 21");
        Self { few, many: None }
    }
}

impl DayVisitors {
    /// Adds one visitor.
    pub fn add(&mut self, visitor_id: i64) {
        self.few.update_value(raw_bytes::from_slice(&visitor_id.to_le_bytes()));
    }

    /// Adds the visitors of a sketch.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if it is damaged.
    pub fn merge(&mut self, sketch: &Sketch<'_>) -> Result<(), ColumnError> {
        match sketch {
            Sketch::Loaded(sketch) => self.few.update(sketch),
            Sketch::Stored(bytes) => {
                // The library would work out its estimate anew after each of thousands of sketches.
                if let Some(registers) = Registers::of_sketch(bytes) {
                    match &mut self.many {
                        Some(many) => many.merge(&registers),
                        None => self.many = Some(registers),
                    }
                } else {
                    self.few.update(&HllSketch::deserialize(bytes).map_err(|_| ColumnError::Damaged)?);
                }
            }
        }
        Ok(())
    }

    /// Returns how many there are, exactly for some hundred and about so beyond.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] never for sketches of our own.
    #[expect(clippy::cast_possible_truncation, reason = "rounded, and never near the limits")]
    pub fn count(&self) -> Result<i64, ColumnError> {
        let estimate = match &self.many {
            None => self.few.estimate(),
            Some(_) => self.to_union()?.estimate(),
        };
        Ok(estimate.round() as i64)
    }

    /// Returns one sketch of all.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] never for sketches of our own.
    pub(super) fn to_sketch(&self) -> Result<HllSketch, ColumnError> {
        Ok(self.to_union()?.to_sketch(HllType::Hll4))
    }

    fn to_union(&self) -> Result<HllUnion, ColumnError> {
        let mut union = self.few.clone();
        if let Some(many) = &self.many {
            union.update(&many.to_sketch()?);
        }
        Ok(union)
    }
}
