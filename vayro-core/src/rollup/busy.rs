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
pub fn busy<'a, K: Ord>(
    span: RollupSpan,
    days: impl IntoIterator<Item = (K, &'a [u8])>,
) -> Result<BTreeSet<K>, ColumnError> {
    let quarters_per_span = usize::try_from(span.micros() / QUARTER_MICROS).unwrap_or(1).max(1);
    let mut clicks: BTreeMap<K, Vec<u64>> = BTreeMap::new();
    for (key, column) in days {
        let spans = clicks.entry(key).or_default();
        for (quarter, _, more) in Quarters::read(column)?.iter() {
            let number = usize::from(quarter) / quarters_per_span;
            spans.resize(spans.len().max(number + 1), 0);
            spans[number] = spans[number].saturating_add(more);
        }
    }
    let is_busy = |spans: &[u64]| spans.iter().any(|clicks| *clicks >= BUSY_CLICKS);
    Ok(clicks.into_iter().filter(|(_, spans)| is_busy(spans)).map(|(key, _)| key).collect())
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
        let days = days.iter().map(|(key, quarters)| (*key, quarters.as_slice()));
        assert_eq!(busy(RollupSpan::Day, days).expect("sound"), [2].into());
        assert!(busy(RollupSpan::Day, [(1, [9, 9].as_slice())]).is_err(), "of another layout");
    }

    #[test]
    fn an_hour_has_four_quarters() {
        let half = BUSY_CLICKS / 2;
        let day = |first, second| {
            [first, second].map(|quarter| ((first, second), quarters(quarter, ClickClass::Counted, half)))
        };
        let days: Vec<_> = day(3, 4).into_iter().chain(day(4, 7)).collect();
        let days = days.iter().map(|(key, quarters)| (*key, quarters.as_slice()));
        assert_eq!(busy(RollupSpan::Hour, days).expect("sound"), [(4, 7)].into());
    }
}
