//! Sketches of the visitors of each hour, and of whole days where there are many.
//!
//! Column: (hour within the span, class, sketch)*, sorted by hour and class. A sketch is an [`HllSketch`] of
//! 2^12 registers in its compact form: exact to some hundred visitors, a standard error of 1.6 % beyond,
//! 2 KiB at most. Adding the same visitor again changes nothing.

mod coupons;
mod registers;
mod union;

use std::collections::BTreeMap;

use datasketches::hash::value::raw_bytes;
use datasketches::hll::{HllSketch, HllType};

pub use union::DayVisitors;

use super::column::{ColumnError, Reader, Writer, class_number};
use crate::click::ClickClass;

/// Logarithm of the number of registers.
const LG_REGISTERS: u8 = 12;

/// A sketch of visitors, read only when it changes or is asked for.
#[derive(Clone, Debug)]
pub enum Sketch<'a> {
    /// As stored.
    Stored(&'a [u8]),
    /// Ready to change.
    Loaded(HllSketch),
}

impl Sketch<'_> {
    fn load(&mut self) -> Result<&mut HllSketch, ColumnError> {
        if let Self::Stored(bytes) = self {
            *self = Self::Loaded(HllSketch::deserialize(bytes).map_err(|_| ColumnError::Damaged)?);
        }
        match self {
            Self::Loaded(sketch) => Ok(sketch),
            Self::Stored(_) => Err(ColumnError::Damaged),
        }
    }
}

/// The visitors of each hour and class.
#[derive(Clone, Debug, Default)]
pub struct VisitorSketches<'a>(BTreeMap<(u8, u8), (ClickClass, Sketch<'a>)>);

impl<'a> VisitorSketches<'a> {
    /// Reads a column.
    ///
    /// # Errors
    ///
    /// [`ColumnError`]; a damaged sketch shows when it is used.
    pub fn read(column: &'a [u8]) -> Result<Self, ColumnError> {
        let mut sketches = Self::default();
        for_each(column, |hour, class, sketch| {
            sketches.0.insert((hour, class_number(class)), (class, Sketch::Stored(sketch)));
            Ok(())
        })?;
        Ok(sketches)
    }

    /// Adds a visitor to an hour.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if what is stored is damaged.
    pub fn add(&mut self, hour: u8, class: ClickClass, visitor_id: i64) -> Result<(), ColumnError> {
        let (_, sketch) = self
            .0
            .entry((hour, class_number(class)))
            .or_insert_with(|| (class, Sketch::Loaded(empty_sketch())));
        insert(sketch.load()?, visitor_id);
        Ok(())
    }

    /// Adds the visitors of `other`.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if a sketch of either is damaged.
    pub fn merge(&mut self, other: &Self) -> Result<(), ColumnError> {
        for ((hour, number), (class, sketch)) in &other.0 {
            let mut union = DayVisitors::default();
            union.merge(sketch)?;
            if let Some((_, mine)) = self.0.get(&(*hour, *number)) {
                union.merge(mine)?;
            }
            self.0.insert((*hour, *number), (*class, Sketch::Loaded(union.into_sketch()?)));
        }
        Ok(())
    }

    /// Returns the visitors of all hours together, by class, as those of hour 0.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if a sketch is damaged.
    pub fn of_day(&self) -> Result<VisitorSketches<'static>, ColumnError> {
        let mut unions: BTreeMap<u8, (ClickClass, DayVisitors)> = BTreeMap::new();
        for ((_, number), (class, sketch)) in &self.0 {
            let (_, union) = unions.entry(*number).or_insert_with(|| (*class, DayVisitors::default()));
            union.merge(sketch)?;
        }
        let sketches = unions
            .into_iter()
            .map(|(number, (class, union))| Ok(((0, number), (class, Sketch::Loaded(union.into_sketch()?)))));
        Ok(VisitorSketches(sketches.collect::<Result<_, ColumnError>>()?))
    }

    /// Returns how many sketches there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns hour, class and sketch, sorted by hour.
    pub fn iter(&self) -> impl Iterator<Item = (u8, ClickClass, &Sketch<'a>)> {
        self.0.iter().map(|((hour, _), (class, sketch))| (*hour, *class, sketch))
    }

    /// Writes the column.
    pub fn write(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.0.len() * 24);
        for ((hour, _), (class, sketch)) in &self.0 {
            writer.byte(*hour);
            writer.class(*class);
            match sketch {
                Sketch::Stored(bytes) => writer.bytes(bytes),
                Sketch::Loaded(sketch) => writer.bytes(&sketch.serialize()),
            }
        }
        writer.finish()
    }
}

/// Hands hour, class and sketch of a column to `take`, in their order.
fn for_each<'a>(
    column: &'a [u8],
    mut take: impl FnMut(u8, ClickClass, &'a [u8]) -> Result<(), ColumnError>,
) -> Result<(), ColumnError> {
    let mut reader = Reader::new(column)?;
    let mut last = None;
    while !reader.is_empty() {
        let (hour, class) = (reader.byte()?, reader.class()?);
        let place = (hour, class_number(class));
        // An hour that comes twice would hide the visitors before.
        if last.replace(place).is_some_and(|last| last >= place) {
            return Err(ColumnError::Damaged);
        }
        take(hour, class, reader.bytes()?)?;
    }
    Ok(())
}

fn empty_sketch() -> HllSketch {
    HllSketch::new(LG_REGISTERS, HllType::Hll4).expect("12 lies within the sketch's 4 to 21")
}

fn insert(sketch: &mut HllSketch, visitor_id: i64) {
    sketch.update(raw_bytes::from_slice(&visitor_id.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(sketches: &VisitorSketches<'_>, wants: impl Fn(u8) -> bool) -> i64 {
        let mut day = DayVisitors::default();
        for (hour, class, sketch) in sketches.iter() {
            if wants(hour) && class == ClickClass::Counted {
                day.merge(sketch).expect("sound");
            }
        }
        day.count().expect("sound")
    }

    #[test]
    fn visitors_count_once_however_often_they_come_and_in_how_many_hours() {
        let mut sketches = VisitorSketches::default();
        for hour in [3, 4] {
            for visitor in [7, 8, 7] {
                sketches.add(hour, ClickClass::Counted, visitor).expect("sound");
            }
        }
        sketches.add(4, ClickClass::Counted, 9).expect("sound");
        sketches.add(4, ClickClass::Bot, 10).expect("sound");
        let column = sketches.write();
        let mut read = VisitorSketches::read(&column).expect("our own");
        assert_eq!(day(&read, |_| true), 3);
        assert_eq!(day(&read, |hour| hour == 3), 2);
        read.add(3, ClickClass::Counted, 11).expect("sound");
        let column = read.write();
        assert_eq!(day(&VisitorSketches::read(&column).expect("our own"), |_| true), 4);
    }

    #[test]
    fn many_visitors_are_counted_within_a_few_percent_in_two_kibibytes() {
        let mut sketches = VisitorSketches::default();
        for visitor in 0..50_000_i64 {
            let visitor = visitor.wrapping_mul(0x1E37_79B9_7F4A_7C15);
            sketches.add(0, ClickClass::Counted, visitor).expect("sound");
        }
        assert!(sketches.write().len() < 2200);
        let count = day(&sketches, |_| true);
        assert!((47_000..53_000).contains(&count), "{count}");
    }

    #[test]
    fn an_hour_that_comes_twice_is_damage() {
        let column = [1, 3, 0, 1, 9, 3, 0, 1, 8];
        assert_eq!(VisitorSketches::read(&column).map(|_| ()), Err(ColumnError::Damaged));
        assert!(VisitorSketches::read(&column[..5]).is_ok());
    }

    #[test]
    fn a_damaged_sketch_is_an_error() {
        let column = [1, 0, 0, 3, 9, 9, 9];
        let mut sketches = VisitorSketches::read(&column).expect("the frame is sound");
        assert_eq!(sketches.add(0, ClickClass::Counted, 1), Err(ColumnError::Damaged));
    }
}
