//! How columns of a rollup are written: a layout version, then unsigned LEB128 numbers and byte strings
//! behind their length. Everything is sorted, so that two columns are added in one pass.

use crate::click::ClickClass;

/// The layout that this program writes.
const VERSION: u8 = 1;

/// A column that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ColumnError {
    /// Written by a newer program.
    #[error("a rollup has layout {0}, this program knows 1: use a newer one")]
    Version(u8),
    /// Not made by any program of ours, or damaged.
    #[error("a rollup is damaged; `vayro rollup rebuild` makes it anew")]
    Damaged,
}

/// Takes a column apart.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Begins with `column`; an empty one holds nothing.
    pub(super) fn new(column: &'a [u8]) -> Result<Self, ColumnError> {
        match column.split_first() {
            None | Some((&VERSION, _)) => Ok(Self(column.get(1..).unwrap_or_default())),
            Some((version, _)) => Err(ColumnError::Version(*version)),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, ColumnError> {
        let (byte, rest) = self.0.split_first().ok_or(ColumnError::Damaged)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, ColumnError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(ColumnError::Damaged)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], ColumnError> {
        let len = usize::try_from(self.number()?).map_err(|_| ColumnError::Damaged)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(ColumnError::Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn class(&mut self) -> Result<ClickClass, ColumnError> {
        let number = self.byte()?;
        ClickClass::ALL.into_iter().find(|class| class_number(*class) == number).ok_or(ColumnError::Damaged)
    }
}

/// Puts a column together.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn with_capacity(len: usize) -> Self {
        let mut bytes = Vec::with_capacity(len.saturating_add(1));
        bytes.push(VERSION);
        Self(bytes)
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        loop {
            // The mask leaves seven bits.
            let low = (number & 0x7F) as u8;
            number >>= 7;
            if number == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn class(&mut self, class: ClickClass) {
        self.byte(class_number(class));
    }

    /// Returns how many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes a number in front of what was written from `place` on.
    pub(super) fn insert_number(&mut self, place: usize, number: u64) {
        let mut inserted = Self(Vec::with_capacity(10));
        inserted.number(number);
        self.0.splice(place..place, inserted.0);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// The number of a class in a column; never changes.
pub(super) const fn class_number(class: ClickClass) -> u8 {
    match class {
        ClickClass::Counted => 0,
        ClickClass::Head => 1,
        ClickClass::Prefetch => 2,
        ClickClass::Bot => 3,
        ClickClass::Repeat => 4,
        ClickClass::Excluded => 5,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(numbers in proptest::collection::vec(any::<u64>(), 0..20), bytes in any::<Vec<u8>>()) {
            let mut writer = Writer::with_capacity(0);
            for number in &numbers {
                writer.number(*number);
            }
            writer.bytes(&bytes);
            let column = writer.finish();
            let mut reader = Reader::new(&column).expect("our version");
            for number in numbers {
                prop_assert_eq!(reader.number(), Ok(number));
            }
            prop_assert_eq!(reader.bytes(), Ok(&*bytes));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn rubbish_is_an_error_and_never_a_panic(bytes in any::<Vec<u8>>()) {
            if let Ok(mut reader) = Reader::new(&bytes) {
                while reader.bytes().is_ok() && !reader.is_empty() {}
            }
        }
    }

    // Stored columns hold these numbers.
    #[test]
    fn the_numbers_of_classes_never_change() {
        let numbers = ClickClass::ALL.map(|class| (class.as_str(), class_number(class)));
        let expected =
            [("counted", 0), ("head", 1), ("prefetch", 2), ("bot", 3), ("repeat", 4), ("excluded", 5)];
        assert_eq!(numbers, expected);
        assert!(matches!(Reader(&[6]).class(), Err(ColumnError::Damaged)));
    }

    #[test]
    fn a_newer_layout_is_refused() {
        assert_eq!(Reader::new(&[2, 0]).map(|_| ()), Err(ColumnError::Version(2)));
    }
}
