//! Links that are busy on a day.

use std::collections::BTreeMap;

use super::column::ColumnError;
use super::quarters::Quarters;

/// Clicks of a UTC day, whatever they count as, from which on each hour of a link is kept too, once the day is over.
/// A question that begins or ends within the day reads up to so many clicks for its breakdown otherwise, which takes
/// one or two milliseconds.
pub const BUSY_CLICKS: u64 = 2_000;

/// Returns those of the subjects that are busy, sorted; each comes with the `quarters` of its day, perhaps in several
/// pieces.
///
/// # Errors
///
/// [`ColumnError`] if one of them cannot be read.
pub fn busy<K: Ord>(days: impl IntoIterator<Item = (K, Vec<u8>)>) -> Result<Vec<K>, ColumnError> {
    let mut clicks: BTreeMap<K, u64> = BTreeMap::new();
    for (subject, quarters) in days {
        let sum = clicks.entry(subject).or_default();
        *sum = Quarters::read_totals(&quarters)?.into_iter().fold(*sum, u64::saturating_add);
    }
    Ok(clicks.into_iter().filter(|(_, clicks)| *clicks >= BUSY_CLICKS).map(|(subject, _)| subject).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::click::ClickClass;

    #[test]
    fn pieces_of_a_day_add_up_and_every_class_counts() {
        let quarters = |class, clicks| {
            let mut quarters = Quarters::default();
            quarters.add(7, class, clicks);
            quarters.write()
        };
        let (some, more) = (BUSY_CLICKS / 2, BUSY_CLICKS - BUSY_CLICKS / 2);
        let days = [
            (2, quarters(ClickClass::Counted, some)),
            (1, quarters(ClickClass::Counted, more - 1)),
            (2, quarters(ClickClass::Bot, more)),
            (1, quarters(ClickClass::Counted, some)),
        ];
        assert_eq!(busy(days).expect("sound"), [2]);
        assert!(busy([(1, vec![9, 9])]).is_err(), "of another layout");
    }
}
