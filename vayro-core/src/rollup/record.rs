//! One rollup as stored.

use super::column::ColumnError;
use super::gain::Gain;
use super::quarters::Quarters;
use super::values::ValueCounts;
use super::visitors::VisitorSketches;
use crate::analytics::Dimension;

/// The columns of one rollup; an empty one holds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// See [`Quarters`].
    pub quarters: Vec<u8>,
    /// See [`VisitorSketches`].
    pub visitors: Vec<u8>,
    /// See [`ValueCounts`]; one per dimension, in the order of [`Dimension::ALL`].
    pub values: [Vec<u8>; Dimension::ALL.len()],
}

impl Rollup {
    /// Adds what a link or workspace gained.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if what is stored cannot be read; some columns may have changed then.
    pub fn add(&mut self, gain: &Gain<'_>) -> Result<(), ColumnError> {
        let mut quarters = Quarters::read(&self.quarters)?;
        quarters.merge(&gain.quarters);
        self.quarters = quarters.write();
        if !gain.visitors.is_empty() {
            let mut visitors = VisitorSketches::read(&self.visitors)?;
            for (hour, class, visitor_id) in &gain.visitors {
                visitors.add(*hour, *class, *visitor_id)?;
            }
            self.visitors = visitors.write();
        }
        for (column, gained) in self.values.iter_mut().zip(&gain.values) {
            if gained.is_empty() {
                continue;
            }
            let mut counts = ValueCounts::read(column)?;
            counts.merge(gained);
            let sum = counts.write();
            *column = sum;
        }
        Ok(())
    }

    /// Adds another rollup of the same span.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if one of them cannot be read; some columns may have changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), ColumnError> {
        let mut quarters = Quarters::read(&self.quarters)?;
        quarters.merge(&Quarters::read(&other.quarters)?);
        self.quarters = quarters.write();
        let mut visitors = VisitorSketches::read(&self.visitors)?;
        visitors.merge(&VisitorSketches::read(&other.visitors)?)?;
        self.visitors = visitors.write();
        for (column, other) in self.values.iter_mut().zip(&other.values) {
            let mut counts = ValueCounts::read(column)?;
            counts.merge(&ValueCounts::read(other)?);
            let sum = counts.write();
            *column = sum;
        }
        Ok(())
    }
}
