//! Clicks per value of one dimension.
//!
//! Column: (class, clicks of values left out, number of values, (value, clicks)*)*, sorted by class and
//! value; a value is at most once in a class and never empty: unknown is what the values leave of all
//! clicks.

use super::column::{ColumnError, Reader, Writer, class_number};
use super::gain::ValueGain;
use crate::click::ClickClass;

/// Values kept of one dimension and class of a rollup. A flood of made-up values may bring it to twice as
/// many for a moment; then the least clicked ones are put together as "others". A value that becomes
/// popular later is kept from then on, so what is often clicked has a name.
pub const VALUES_MAX: usize = 1000;

/// A column up to this long cannot hold too many values: a value takes three bytes at least.
const SMALL_LEN: usize = 3 * 2 * VALUES_MAX;

/// Clicks per value of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group<'a> {
    /// Sorted by value, each value once.
    values: Vec<(&'a [u8], u64)>,
    others: u64,
}

/// Clicks per value of one dimension, by class. Borrows the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueCounts<'a>([Group<'a>; ClickClass::ALL.len()]);

impl Group<'_> {
    const fn is_empty(&self) -> bool {
        self.values.is_empty() && self.others == 0
    }

    fn merge(&mut self, other: &Self) {
        self.others = self.others.saturating_add(other.others);
        if self.values.is_empty() {
            self.values.clone_from(&other.values);
            return;
        }
        let mine = std::mem::take(&mut self.values);
        self.values.reserve(mine.len() + other.values.len());
        let (mut left, mut right) = (mine.into_iter().peekable(), other.values.iter().copied().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let order = a.0.cmp(b.0);
            let from_left = if order.is_le() { left.next() } else { None };
            let from_right = if order.is_ge() { right.next() } else { None };
            let clicks = |from: Option<(&[u8], u64)>| from.map_or(0, |(_, clicks)| clicks);
            if let Some((value, _)) = from_left.or(from_right) {
                self.values.push((value, clicks(from_left).saturating_add(clicks(from_right))));
            }
        }
        self.values.extend(left.chain(right));
    }

    /// Puts the least clicked values together with the others if there are too many; of equally clicked
    /// ones those that sort last.
    fn shrink(&mut self) {
        if self.values.len() <= 2 * VALUES_MAX {
            return;
        }
        // Stable: equally clicked ones stay sorted by value.
        self.values.sort_by_key(|(_, clicks)| std::cmp::Reverse(*clicks));
        let rest = self.values.drain(VALUES_MAX..);
        self.others = rest.fold(self.others, |others, (_, clicks)| others.saturating_add(clicks));
        self.values.sort_unstable();
    }
}

impl<'a> ValueCounts<'a> {
    /// Reads a column.
    ///
    /// # Errors
    ///
    /// [`ColumnError`].
    pub fn read(column: &'a [u8]) -> Result<Self, ColumnError> {
        let mut reader = Reader::new(column)?;
        let mut counts = Self::default();
        let mut last = None;
        while !reader.is_empty() {
            let class = reader.class()?;
            // A class that comes twice would hide what was counted before.
            if last.replace(class_number(class)).is_some_and(|last| last >= class_number(class)) {
                return Err(ColumnError::Damaged);
            }
            let group = counts.group(class);
            group.others = reader.number()?;
            for _ in 0..reader.number()? {
                let value = reader.bytes()?;
                let clicks = reader.number()?;
                // Out of order, or twice: adding it up would go wrong.
                if group.values.last().is_some_and(|(last, _)| *last >= value) {
                    return Err(ColumnError::Damaged);
                }
                group.values.push((value, clicks));
            }
        }
        Ok(counts)
    }

    fn group(&mut self, class: ClickClass) -> &mut Group<'a> {
        &mut self.0[usize::from(class_number(class))]
    }

    /// Tells whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Group::is_empty)
    }

    /// Counts one click more.
    #[cfg(test)]
    fn add(&mut self, class: ClickClass, value: &'a [u8]) {
        let values = &mut self.group(class).values;
        match values.binary_search_by(|(other, _)| (*other).cmp(value)) {
            Ok(place) => values[place].1 += 1,
            Err(place) => values.insert(place, (value, 1)),
        }
    }

    /// Counts everything of `other` too.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.merge(theirs);
        }
    }

    /// Returns the clicks per value of a class, sorted by value.
    pub fn of(&self, class: ClickClass) -> impl Iterator<Item = (&'a [u8], u64)> {
        self.0[usize::from(class_number(class))].values.iter().copied()
    }

    /// Returns the clicks of a class whose values were left out.
    pub const fn others(&self, class: ClickClass) -> u64 {
        self.0[class_number(class) as usize].others
    }

    /// Writes the column, with at most twice [`VALUES_MAX`] values per class.
    pub fn write(&mut self) -> Vec<u8> {
        for group in &mut self.0 {
            group.shrink();
        }
        self.write_all()
    }

    /// Writes the column with all values.
    pub(super) fn write_all(&self) -> Vec<u8> {
        let len_of =
            |group: &Group<'_>| 12 + group.values.iter().map(|(value, _)| value.len() + 4).sum::<usize>();
        let mut writer = Writer::with_capacity(self.0.iter().map(len_of).sum());
        for class in ClickClass::ALL {
            let group = &self.0[usize::from(class_number(class))];
            if group.is_empty() {
                continue;
            }
            writer.class(class);
            writer.number(group.others);
            writer.number(group.values.len() as u64);
            for (value, clicks) in &group.values {
                writer.bytes(value);
                writer.number(*clicks);
            }
        }
        writer.finish()
    }
}

/// Adds what the values of one dimension gained, sorted by class and value, to a column in one pass.
///
/// # Errors
///
/// [`ColumnError`].
pub(super) fn add(column: &[u8], gained: &[ValueGain<'_>]) -> Result<Vec<u8>, ColumnError> {
    let room: usize = gained.iter().map(|gain| gain.value.len() + 8).sum();
    let mut sum = Writer::with_capacity(column.len() + room);
    let mut stored = Reader::new(column)?;
    let mut gained = gained.chunk_by(|a, b| a.class == b.class).peekable();
    while !stored.is_empty() {
        let class = class_number(stored.class()?);
        while let Some(new) = gained.next_if(|new| new[0].class < class) {
            add_group(&mut sum, new[0].class, None, new)?;
        }
        let new = gained.next_if(|new| new[0].class == class).unwrap_or_default();
        add_group(&mut sum, class, Some(&mut stored), new)?;
    }
    for new in gained {
        add_group(&mut sum, new[0].class, None, new)?;
    }
    let sum = sum.finish();
    if sum.len() > SMALL_LEN {
        // Long enough to hold too many values; only that way can it be told.
        return Ok(ValueCounts::read(&sum)?.write());
    }
    Ok(sum)
}

/// Writes a class: what is stored of it, if anything, and what is new.
fn add_group(
    sum: &mut Writer,
    class: u8,
    stored: Option<&mut Reader<'_>>,
    new: &[ValueGain<'_>],
) -> Result<(), ColumnError> {
    let mut empty = Reader::new(&[])?;
    let (stored, others, mut left) = match stored {
        Some(stored) => {
            let (others, values) = (stored.number()?, stored.number()?);
            (stored, others, values)
        }
        None => (&mut empty, 0, 0),
    };
    sum.byte(class);
    sum.number(others);
    let start = sum.len();
    let (mut values, mut last) = (0_u64, None);
    let mut new = new.iter().peekable();
    let mut push = |sum: &mut Writer, value: &[u8], clicks: u64| {
        values += 1;
        sum.bytes(value);
        sum.number(clicks);
    };
    while left > 0 {
        left -= 1;
        let (value, mut clicks) = (stored.bytes()?, stored.number()?);
        // Out of order, or twice: adding it up would go wrong.
        if last.is_some_and(|last| last >= value) {
            return Err(ColumnError::Damaged);
        }
        last = Some(value);
        while let Some(gain) = new.next_if(|gain| gain.value < value) {
            push(sum, gain.value, gain.clicks);
        }
        if let Some(gain) = new.next_if(|gain| gain.value == value) {
            clicks = clicks.saturating_add(gain.clicks);
        }
        push(sum, value, clicks);
    }
    for gain in new {
        push(sum, gain.value, gain.clicks);
    }
    sum.insert_number(start, values);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(values: &[(&'static str, u64)]) -> ValueCounts<'static> {
        let mut counts = ValueCounts::default();
        for (value, clicks) in values {
            (0..*clicks).for_each(|_| counts.add(ClickClass::Counted, value.as_bytes()));
        }
        counts
    }

    #[test]
    fn sums_survive_the_column() {
        let mut counts = counted(&[("DE", 3), ("", 1)]);
        counts.add(ClickClass::Bot, b"US");
        let column = counts.write();
        let mut read = ValueCounts::read(&column).expect("our own");
        assert_eq!(read, counts);
        read.merge(&counted(&[("DE", 1), ("AT", 2)]));
        assert_eq!(read.of(ClickClass::Counted).collect::<Vec<_>>(), [(&b""[..], 1), (b"AT", 2), (b"DE", 4)]);
        assert_eq!(read.of(ClickClass::Bot).collect::<Vec<_>>(), [(&b"US"[..], 1)]);
        assert_eq!(read.of(ClickClass::Head).count(), 0);
    }

    #[test]
    fn a_class_that_comes_twice_is_damage() {
        let column = [1, 0, 5, 1, 2, b'A', b'T', 2, 0, 3, 1, 2, b'D', b'E', 4];
        assert_eq!(ValueCounts::read(&column), Err(ColumnError::Damaged));
        assert_eq!(ValueCounts::read(&column[..8]).expect("once").others(ClickClass::Counted), 5);
    }

    #[test]
    fn more_clicks_than_fit_stay_the_most_that_fit() {
        let names: Vec<String> = (0..=2 * VALUES_MAX).map(|n| format!("v{n:05}")).collect();
        let mut counts = ValueCounts::default();
        let values = &mut counts.group(ClickClass::Counted).values;
        values.extend(names.iter().map(|name| (name.as_bytes(), u64::MAX)));
        let column = counts.write();
        let read = ValueCounts::read(&column).expect("our own");
        assert_eq!(read.others(ClickClass::Counted), u64::MAX);
    }

    #[test]
    fn a_flood_of_values_keeps_the_popular_ones_and_every_click() {
        let names: Vec<String> = (0..=2 * VALUES_MAX).map(|n| format!("v{n:05}")).collect();
        let mut counts = ValueCounts::default();
        for name in &names {
            counts.add(ClickClass::Counted, name.as_bytes());
        }
        counts.add(ClickClass::Counted, names[1500].as_bytes());
        let column = counts.write();
        let gained = |name| ValueGain { dimension: 0, class: 0, value: name, clicks: 1 };
        let flood: Vec<ValueGain<'_>> = names.iter().map(|name| gained(name.as_bytes())).collect();
        let shrunk = add(&[], &flood).expect("our own");
        assert_eq!(ValueCounts::read(&shrunk).expect("our own").of(ClickClass::Counted).count(), VALUES_MAX);
        let read = ValueCounts::read(&column).expect("our own");
        let kept: Vec<_> = read.of(ClickClass::Counted).collect();
        assert_eq!(kept.len(), VALUES_MAX);
        assert!(kept.contains(&(b"v01500", 2)) && kept.contains(&(b"v00000", 1)));
        let sum: u64 = kept.iter().map(|(_, clicks)| clicks).sum();
        assert_eq!(sum + read.others(ClickClass::Counted), 2 * VALUES_MAX as u64 + 2);
    }

    proptest! {
        #[test]
        fn gains_added_in_one_pass_are_those_merged(
            stored in proptest::collection::vec((0..6_usize, 0..40_u8, 1..500_u64), 0..80),
            new in proptest::collection::btree_map((0..6_u8, 0..40_u8), 1..500_u64, 0..80),
        ) {
            let names: Vec<[u8; 2]> = (0..40).map(|n| [b'a' + n / 7, b'z' - n % 7]).collect();
            let mut counts = ValueCounts::default();
            for (class, name, clicks) in &stored {
                counts.add(ClickClass::ALL[*class], &names[usize::from(*name)]);
                counts.group(ClickClass::ALL[*class]).others += clicks % 3;
            }
            let column = if counts.is_empty() { Vec::new() } else { counts.write() };
            let mut gained: Vec<ValueGain<'_>> = new
                .iter()
                .map(|((class, name), clicks)| ValueGain {
                    dimension: 2,
                    class: *class,
                    value: &names[usize::from(*name)],
                    clicks: *clicks,
                })
                .collect();
            gained.sort_unstable();
            let sum = add(&column, &gained).expect("our own");
            for gain in &gained {
                let group = &mut counts.0[usize::from(gain.class)];
                group.merge(&Group { values: vec![(gain.value, gain.clicks)], others: 0 });
            }
            prop_assert_eq!(sum, counts.write());
        }

        #[test]
        fn rubbish_is_an_error_and_never_a_panic(bytes in any::<Vec<u8>>()) {
            let gained = [ValueGain { dimension: 0, class: 2, value: b"DE", clicks: 1 }];
            drop(ValueCounts::read(&bytes));
            drop(add(&bytes, &gained));
            let mut versioned = vec![1];
            versioned.extend(bytes);
            let is_sound = ValueCounts::read(&versioned).is_ok();
            prop_assert!(!is_sound || add(&versioned, &gained).is_ok());
        }
    }
}
