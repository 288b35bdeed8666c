//! One rollup as stored.

use super::column::ColumnError;
use super::gain::Gain;
use super::quarters::Quarters;
use super::values::{self, ValueCounts};
use super::visitors::VisitorSketches;
use crate::analytics::Dimension;

/// Bytes of hourly sketches from which on the whole day's are kept ready too: putting together the hours of a
/// year takes longer than anybody waits.
const DAY_VISITORS_FROM: usize = 4096;

/// The columns of one rollup; an empty one holds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// See [`Quarters`].
    pub quarters: Vec<u8>,
    /// See [`VisitorSketches`].
    pub visitors: Vec<u8>,
    /// The same of all hours together, once `visitors` is long; else empty.
    pub day_visitors: Vec<u8>,
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
            let sum = visitors.write();
            let day = if self.day_visitors.is_empty() {
                of_day(&visitors, sum.len())?
            } else {
                let mut day = VisitorSketches::read(&self.day_visitors)?;
                for (_, class, visitor_id) in &gain.visitors {
                    day.add(0, *class, *visitor_id)?;
                }
                day.write()
            };
            (self.visitors, self.day_visitors) = (sum, day);
        }
        for gained in gain.values.chunk_by(|a, b| a.dimension == b.dimension) {
            if let Some(column) = self.values.get_mut(usize::from(gained[0].dimension)) {
                *column = values::add(column, gained)?;
            }
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
        let sum = visitors.write();
        let day = of_day(&visitors, sum.len())?;
        (self.visitors, self.day_visitors) = (sum, day);
        for (column, other) in self.values.iter_mut().zip(&other.values) {
            let mut counts = ValueCounts::read(column)?;
            counts.merge(&ValueCounts::read(other)?);
            let sum = counts.write();
            *column = sum;
        }
        Ok(())
    }
}

/// Puts the hours together if they are long, with `len` bytes.
fn of_day(visitors: &VisitorSketches<'_>, len: usize) -> Result<Vec<u8>, ColumnError> {
    if len < DAY_VISITORS_FROM || visitors.len() < 2 {
        return Ok(Vec::new());
    }
    Ok(visitors.of_day()?.write())
}
