//! Links and workspaces that are busy on a day.

use std::collections::{BTreeMap, BTreeSet};

use super::column::ColumnError;
use super::key::RollupSpan;
use super::quarters::{QUARTER_MICROS, Quarters};

/// Clicks, whatever they count as, from which on parts of a UTC day are kept too, once it is over: the hours of a link
/// that had so many on the day, and the quarters of a workspace that had so many within one of its hours. Up to so many
/// are read by a question that begins or ends within the day or the hour, which takes one or two milliseconds.
pub const BUSY_CLICKS: u64 = 2_000;

/// Returns those whose day had a span of this length, an hour or the day itself, with [`BUSY_CLICKS`] or more, sorted;
/// each comes with the `quarters` of its day, perhaps in several pieces.
///
/// # Errors
///
/// [`ColumnError`] if one of them cannot be read.
pub fn busy<K: Ord + Clone>(
    span: RollupSpan,
    days: impl IntoIterator<Item = (K, Vec<u8>)>,
) -> Result<BTreeSet<K>, ColumnError> {
    let mut clicks: BTreeMap<(K, i64), u64> = BTreeMap::new();
    for (key, quarters) in days {
        for (quarter, _, more) in Quarters::read(&quarters)?.iter() {
            let number = i64::from(quarter) * QUARTER_MICROS / span.micros();
            let sum = clicks.entry((key.clone(), number)).or_default();
            *sum = sum.saturating_add(more);
        }
    }
    Ok(clicks.into_iter().filter(|(_, clicks)| *clicks >= BUSY_CLICKS).map(|((key, _), _)| key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::click::ClickClass;

    fn quarters(quarter: u16, class: ClickClass, clicks: u64) -> Vec<u8> {
        let mut quarters = Quarters::default();
        quarters.add(quarter, class, clicks);
        quarters.write()
    }

    #[test]
    fn pieces_of_a_day_add_up_and_every_class_counts() {
        let (some, more) = (BUSY_CLICKS / 2, BUSY_CLICKS - BUSY_CLICKS / 2);
        let days = [
            (2, quarters(7, ClickClass::Counted, some)),
            (1, quarters(7, ClickClass::Counted, more - 1)),
            (2, quarters(90, ClickClass::Bot, more)),
            (1, quarters(7, ClickClass::Counted, some)),
        ];
        assert_eq!(busy(RollupSpan::Day, days).expect("sound"), [2].into());
        assert!(busy(RollupSpan::Day, [(1, vec![9, 9])]).is_err(), "of another layout");
    }

    #[test]
    fn an_hour_has_four_quarters() {
        let half = BUSY_CLICKS / 2;
        let day = |first, second| {
            [first, second].map(|quarter| ((first, second), quarters(quarter, ClickClass::Counted, half)))
        };
        let days = day(3, 4).into_iter().chain(day(4, 7));
        assert_eq!(busy(RollupSpan::Hour, days).expect("sound"), [(4, 7)].into());
    }
}
