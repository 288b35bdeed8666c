//! Small charts made of Unicode blocks.

/// Eighths of a column, from one to seven.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
/// Heights of a sparkline; the first one stands for zero alone.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws `value` out of `max` as a bar of at most `columns` columns, to an eighth of a column.
///
/// Anything above zero shows at least an eighth.
pub fn bar(value: i64, max: i64, columns: usize) -> String {
    if value <= 0 || max <= 0 || columns == 0 {
        return String::new();
    }
    let eighths_max = columns as u128 * 8;
    let value = u128::from(value.min(max).unsigned_abs());
    let eighths = (value * eighths_max / u128::from(max.unsigned_abs())).max(1);
    let full = usize::try_from(eighths / 8).unwrap_or(columns);
    let mut text = "█".repeat(full);
    if let Some(rest) = usize::try_from(eighths % 8).ok().and_then(|rest| rest.checked_sub(1)) {
        text.push(EIGHTHS[rest]);
    }
    text
}

/// Draws `values` as a line of blocks of at most `columns` columns; neighbors are summed to fit.
pub fn sparkline(values: &[i64], columns: usize) -> String {
    if values.is_empty() || columns == 0 {
        return String::new();
    }
    let per_column = values.len().div_ceil(columns);
    let sums: Vec<i64> = values.chunks(per_column).map(|chunk| chunk.iter().sum()).collect();
    let max = sums.iter().copied().max().unwrap_or(0);
    sums.into_iter().map(|value| height(value, max)).collect()
}

fn height(value: i64, max: i64) -> char {
    if value <= 0 || max <= 0 {
        return HEIGHTS[0];
    }
    let steps = HEIGHTS.len() as u128 - 1;
    let step = (u128::from(value.unsigned_abs()) * steps).div_ceil(u128::from(max.unsigned_abs()));
    HEIGHTS[usize::try_from(step).unwrap_or(0).min(HEIGHTS.len() - 1)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bars_are_exact_to_an_eighth() {
        assert_eq!(bar(10, 10, 4), "████");
        assert_eq!(bar(5, 10, 4), "██");
        assert_eq!(bar(1, 32, 4), "▏");
        assert_eq!(bar(15, 32, 4), "█▉");
        assert_eq!(bar(1, 1_000_000, 4), "▏");
        assert_eq!(bar(0, 10, 4), "");
        assert_eq!(bar(3, 0, 4), "");
        assert_eq!(bar(i64::MAX, i64::MAX, 2), "██");
    }

    proptest! {
        #[test]
        fn charts_keep_to_their_columns(values in prop::collection::vec(0_i64..i64::MAX / 100, 0..99), columns in 0_usize..40) {
            prop_assert!(sparkline(&values, columns).chars().count() <= columns);
            for value in &values {
                prop_assert!(bar(*value, i64::MAX / 100, columns).chars().count() <= columns);
            }
        }
    }

    #[test]
    fn sparklines_tell_zero_from_little() {
        assert_eq!(sparkline(&[0, 1, 50, 100], 10), "▁▂▅█");
        assert_eq!(sparkline(&[0, 0], 10), "▁▁");
        assert_eq!(sparkline(&[], 10), "");
    }

    #[test]
    fn sparklines_sum_neighbors_to_fit() {
        assert_eq!(sparkline(&[1, 1, 4, 4], 2), "▃█");
        assert_eq!(sparkline(&[1; 100], 30).chars().count(), 25);
    }
}
