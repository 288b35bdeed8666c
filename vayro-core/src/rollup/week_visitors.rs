//! Visitors of the days of a week that is over, counted.
//!
//! Column: (day within the week, class, number of hours, (hour, visitors up to its end, visitors from its begin
//! on)*)*, sorted by day, class and hour; of hours in which nobody came there is none. A day that a time zone
//! cuts in two is two of these numbers, where the day's rollup has 24 sketches of 2 KiB.

use std::collections::BTreeMap;

use super::column::{ColumnError, Reader, Writer, class_number};
use super::visitors::{DayVisitors, VisitorSketches};
use crate::click::ClickClass;

/// Hours of a day.
const HOURS: u8 = 24;

/// The visitors of each day and class of a week.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeekVisitors(Vec<DayParts>);

/// The visitors of a day and class, cut at each hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DayParts {
    /// Within the week.
    pub(super) day: u8,
    pub(super) class: ClickClass,
    /// Sorted by hour.
    hours: Vec<HourOfDay>,
}

/// An hour in which somebody came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HourOfDay {
    number: u8,
    /// Visitors from the begin of the day to the end of this hour.
    until: i64,
    /// Visitors from the begin of this hour to the end of the day.
    from: i64,
}

impl DayParts {
    /// Returns the visitors of the whole day.
    pub(super) fn whole(&self) -> i64 {
        self.from(0)
    }

    /// Returns the visitors of all hours before `hour`.
    pub(super) fn before(&self, hour: u8) -> i64 {
        let place = self.hours.partition_point(|part| part.number < hour);
        place.checked_sub(1).map_or(0, |last| self.hours[last].until)
    }

    /// Returns the visitors of `hour` and all later ones.
    pub(super) fn from(&self, hour: u8) -> i64 {
        let place = self.hours.partition_point(|part| part.number < hour);
        self.hours.get(place).map_or(0, |part| part.from)
    }
}

impl WeekVisitors {
    /// Counts the visitors of one day; days come in their order. `visitors` and `day_visitors` are the columns
    /// of the day's rollup.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if a sketch is damaged.
    pub(super) fn push_day(
        &mut self,
        day: u8,
        visitors: &[u8],
        day_visitors: &[u8],
    ) -> Result<(), ColumnError> {
        let sketches = VisitorSketches::read(visitors)?;
        let mut classes: BTreeMap<u8, (ClickClass, Vec<_>)> = BTreeMap::new();
        for (hour, class, sketch) in sketches.iter() {
            classes.entry(class_number(class)).or_insert((class, Vec::new())).1.push((hour, sketch));
        }
        for (_, (class, sketches)) in classes {
            let mut hours: Vec<HourOfDay> = Vec::with_capacity(sketches.len());
            let mut union = DayVisitors::default();
            for (hour, sketch) in &sketches {
                union.merge(sketch)?;
                hours.push(HourOfDay { number: *hour, until: union.clone().count()?, from: 0 });
            }
            let mut union = DayVisitors::default();
            for ((_, sketch), part) in sketches.iter().zip(&mut hours).rev() {
                union.merge(sketch)?;
                part.from = union.clone().count()?;
            }
            let whole = if day_visitors.is_empty() {
                hours.last().map(|last| last.until)
            } else {
                let mut whole = DayVisitors::default();
                whole.merge_column(day_visitors, &[class])?;
                Some(whole.count()?)
            };
            // The same visitors in three ways; estimates of them may differ a little.
            if let (Some(whole), Some(first)) = (whole, hours.first_mut()) {
                first.from = whole;
            }
            if let (Some(whole), Some(last)) = (whole, hours.last_mut()) {
                last.until = whole;
            }
            self.0.push(DayParts { day, class, hours });
        }
        Ok(())
    }

    /// Tells whether nobody came.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the days of each class, sorted by day.
    pub(super) fn iter(&self) -> impl Iterator<Item = &DayParts> {
        self.0.iter()
    }

    /// Tells whether two, made of the same sketches, are alike; `is_close` compares numbers.
    pub(super) fn agrees(&self, other: &Self, is_close: impl Fn(i64, i64) -> bool) -> bool {
        let are_close = |(a, b): (&DayParts, &DayParts)| {
            (a.day, a.class, a.hours.len()) == (b.day, b.class, b.hours.len())
                && a.hours.iter().zip(&b.hours).all(|(a, b)| {
                    a.number == b.number && is_close(a.until, b.until) && is_close(a.from, b.from)
                })
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(are_close)
    }

    /// Reads a column.
    ///
    /// # Errors
    ///
    /// [`ColumnError`].
    pub fn read(column: &[u8]) -> Result<Self, ColumnError> {
        let mut reader = Reader::new(column)?;
        let mut days = Vec::new();
        while !reader.is_empty() {
            let (day, class) = (reader.byte()?, reader.class()?);
            let mut hours: Vec<HourOfDay> = Vec::new();
            for _ in 0..reader.number()? {
                let hour = reader.byte()?;
                // Each hour once and in order: looking one up would go wrong.
                if hour >= HOURS || hours.last().is_some_and(|last| last.number >= hour) {
                    return Err(ColumnError::Damaged);
                }
                let mut number = || i64::try_from(reader.number()?).map_err(|_| ColumnError::Damaged);
                hours.push(HourOfDay { number: hour, until: number()?, from: number()? });
            }
            days.push(DayParts { day, class, hours });
        }
        Ok(Self(days))
    }

    /// Writes the column.
    pub fn write(&self) -> Vec<u8> {
        let hours: usize = self.0.iter().map(|day| day.hours.len()).sum();
        let mut writer = Writer::with_capacity(self.0.len() * 3 + hours * 5);
        for DayParts { day, class, hours } in &self.0 {
            writer.byte(*day);
            writer.class(*class);
            writer.number(hours.len() as u64);
            for HourOfDay { number, until, from } in hours {
                writer.byte(*number);
                writer.number(until.unsigned_abs());
                writer.number(from.unsigned_abs());
            }
        }
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the sketches themselves say about some hours.
    fn visitors(column: &[u8], class: ClickClass, wants: impl Fn(u8) -> bool) -> i64 {
        let mut visitors = DayVisitors::default();
        for (hour, other, sketch) in VisitorSketches::read(column).expect("our own").iter() {
            if other == class && wants(hour) {
                visitors.merge(sketch).expect("sound");
            }
        }
        visitors.count().expect("sound")
    }

    proptest! {
        #[test]
        fn a_day_cut_anywhere_is_what_its_sketches_say(
            visits in proptest::collection::vec((0..24_u8, 0..3_usize, 0..40_i64), 0..120),
        ) {
            let mut sketches = VisitorSketches::default();
            for (hour, class, visitor) in visits {
                sketches.add(hour, ClickClass::ALL[class], visitor).expect("sound");
            }
            let column = sketches.write();
            let mut week = WeekVisitors::default();
            week.push_day(3, &column, &[]).expect("our own");
            let week = WeekVisitors::read(&week.write()).expect("our own");
            prop_assert!(week.agrees(&week.clone(), |a, b| a == b));
            for parts in week.iter() {
                prop_assert_eq!(parts.day, 3);
                prop_assert_eq!(parts.whole(), visitors(&column, parts.class, |_| true));
                for cut in 0..=24 {
                    prop_assert_eq!(parts.before(cut), visitors(&column, parts.class, |hour| hour < cut));
                    prop_assert_eq!(parts.from(cut), visitors(&column, parts.class, |hour| hour >= cut));
                }
            }
        }

        #[test]
        fn rubbish_is_an_error_and_never_a_panic(bytes in any::<Vec<u8>>()) {
            let mut versioned = vec![1];
            versioned.extend(bytes);
            if let Ok(week) = WeekVisitors::read(&versioned) {
                for parts in week.iter() {
                    prop_assert!(parts.before(0) == 0 && parts.from(24) == 0);
                }
            }
        }
    }
}
