//! Clicks per quarter of an hour.
//!
//! Column: (quarter within the span, class, clicks)*, sorted by quarter and class.

use super::column::{ColumnError, Reader, Writer, class_number};
use crate::click::ClickClass;

/// A quarter of an hour in microseconds.
pub const QUARTER_MICROS: i64 = 15 * 60 * 1_000_000;

/// Clicks per quarter of an hour and class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarters(Vec<(u16, ClickClass, u64)>);

impl Quarters {
    /// Reads a column.
    ///
    /// # Errors
    ///
    /// [`ColumnError`].
    pub fn read(column: &[u8]) -> Result<Self, ColumnError> {
        let mut quarters = Self::default();
        for_each(column, |quarter, class, clicks| {
            let place = (quarter, class_number(class));
            // As written by us: sorted.
            if quarters.0.last().is_none_or(|(quarter, class, _)| (*quarter, class_number(*class)) < place) {
                quarters.0.push((quarter, class, clicks));
            } else {
                quarters.add(quarter, class, clicks);
            }
        })?;
        Ok(quarters)
    }

    /// Reads a column no further than the clicks of each class, by [`class_number`].
    ///
    /// # Errors
    ///
    /// [`ColumnError`].
    pub(crate) fn read_totals(column: &[u8]) -> Result<[u64; ClickClass::ALL.len()], ColumnError> {
        let mut totals = [0_u64; ClickClass::ALL.len()];
        for_each(column, |_, class, clicks| {
            let total = &mut totals[usize::from(class_number(class))];
            *total = total.saturating_add(clicks);
        })?;
        Ok(totals)
    }

    /// Counts `clicks` more in a quarter.
    pub fn add(&mut self, quarter: u16, class: ClickClass, clicks: u64) {
        let wanted = (quarter, class_number(class));
        match self.0.binary_search_by_key(&wanted, |(quarter, class, _)| (*quarter, class_number(*class))) {
            Ok(place) => self.0[place].2 = self.0[place].2.saturating_add(clicks),
            Err(place) => self.0.insert(place, (quarter, class, clicks)),
        }
    }

    /// Counts everything of `other` too.
    pub fn merge(&mut self, other: &Self) {
        self.merge_later(other, 0);
    }

    /// Counts everything of `other`, which begins `offset` quarters later, too.
    pub(super) fn merge_later(&mut self, other: &Self, offset: u16) {
        for (quarter, class, clicks) in other.iter() {
            self.add(quarter.saturating_add(offset), class, clicks);
        }
    }

    /// Returns all clicks of a class.
    pub fn total(&self, class: ClickClass) -> u64 {
        let of_class = self.iter().filter(|(_, other, _)| *other == class);
        of_class.fold(0, |total, (.., clicks)| total.saturating_add(clicks))
    }

    /// Returns quarter, class and clicks, sorted by quarter.
    pub fn iter(&self) -> impl Iterator<Item = (u16, ClickClass, u64)> {
        self.0.iter().copied()
    }

    /// Writes the column.
    pub fn write(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.0.len() * 4);
        for (quarter, class, clicks) in self.iter() {
            writer.number(u64::from(quarter));
            writer.class(class);
            writer.number(clicks);
        }
        writer.finish()
    }
}

fn for_each(column: &[u8], mut take: impl FnMut(u16, ClickClass, u64)) -> Result<(), ColumnError> {
    let mut reader = Reader::new(column)?;
    while !reader.is_empty() {
        let quarter = u16::try_from(reader.number()?).map_err(|_| ColumnError::Damaged)?;
        let class = reader.class()?;
        take(quarter, class, reader.number()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_survive_the_column() {
        let mut quarters = Quarters::default();
        quarters.add(671, ClickClass::Head, 5);
        quarters.add(95, ClickClass::Counted, 300);
        quarters.add(0, ClickClass::Bot, 1);
        quarters.add(95, ClickClass::Counted, 1);
        let totals = Quarters::read_totals(&quarters.write()).expect("our own");
        assert_eq!(totals, ClickClass::ALL.map(|class| quarters.total(class)));
        let mut read = Quarters::read(&quarters.write()).expect("our own");
        assert_eq!(read, quarters);
        read.merge(&quarters);
        let counts: Vec<_> = read.iter().collect();
        assert_eq!(
            counts,
            [(0, ClickClass::Bot, 2), (95, ClickClass::Counted, 602), (671, ClickClass::Head, 10)]
        );
        assert_eq!(Quarters::read(&[]), Ok(Quarters::default()));
    }
}
