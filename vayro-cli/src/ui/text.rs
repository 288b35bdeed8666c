//! Values as people read them: numbers, sizes, durations, instants, and text made safe for a terminal.

use std::borrow::Cow;
use std::time::Duration;

use unicode_width::UnicodeWidthChar as _;
use vayro_core::timestamp::Timestamp;

/// Older instants are shown as a date.
const RELATIVE_MAX: Duration = Duration::from_hours(60 * 24);

/// Returns `text` on one line and without anything that could steer a terminal or reorder the line.
///
/// Titles, addresses and referrers are written by strangers.
pub fn clean(text: &str) -> Cow<'_, str> {
    let is_bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let spaced = text.chars().map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c });
    Cow::Owned(spaced.filter(|c| !is_bad(*c)).collect())
}

/// Returns the columns that `text` takes on a terminal.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Cuts `text` to at most `columns` columns, ending it with `…` if anything was cut.
pub fn truncate(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        cut.push(c);
    }
    if columns > 0 {
        cut.push('…');
    }
    Cow::Owned(cut)
}

/// Groups the digits of a number: `1,234,567`.
pub fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0 {
        text.push('-');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Groups the digits of an unsigned number, saturating at the largest signed one.
pub fn count(value: u64) -> String {
    number(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Writes a share of a whole as a percentage; nothing of nothing is `0 %`.
pub fn percent(part: i64, whole: i64) -> String {
    if whole <= 0 || part <= 0 {
        return "0 %".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs three digits")]
    let share = part as f64 * 100.0 / whole as f64;
    if share < 1.0 { "<1 %".to_owned() } else { format!("{share:.0} %") }
}

/// Writes how much a count changed, as a percentage; from nothing to something is `new`.
pub fn change(now: i64, before: i64) -> String {
    if before <= 0 {
        return if now > 0 { "new".to_owned() } else { "±0 %".to_owned() };
    }
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs three digits")]
    let change = ((now - before) as f64 * 100.0 / before as f64).round();
    if change == 0.0 { "±0 %".to_owned() } else { format!("{change:+.0} %") }
}

/// Writes a number of bytes with a binary unit: `1.5 MiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let mut size = value as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// Writes a duration with its two largest units: `2 h 5 min`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{large} {large_unit}")
        } else {
            format!("{large} {large_unit} {small} {small_unit}")
        }
    };
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// Writes an instant as people say it: `3 min ago`, `in 2 d`, and as a date when it is far.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let (distance, is_ahead) = if at > now { (at.since(now), true) } else { (now.since(at), false) };
    if distance > RELATIVE_MAX {
        return at.to_jiff().strftime("%Y-%m-%d").to_string();
    }
    let seconds = distance.as_secs();
    let text = match seconds {
        0..5 => return "now".to_owned(),
        5..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    };
    if is_ahead { format!("in {text}") } else { format!("{text} ago") }
}

/// Returns `word` with an `s` unless there is exactly one.
pub fn plural(count: usize, word: &str) -> String {
    let number = number(i64::try_from(count).unwrap_or(i64::MAX));
    if count == 1 { format!("{number} {word}") } else { format!("{number} {word}s") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cut_text_fits_and_is_a_beginning(text in ".{0,60}", columns in 0_usize..40) {
            let cut = truncate(&text, columns);
            prop_assert!(width(&cut) <= columns);
            prop_assert!(text.starts_with(cut.trim_end_matches('…')));
        }

        #[test]
        fn clean_text_is_one_harmless_line(text in "(.|\n|\u{1b}|\u{9b}|\u{202e}){0,40}") {
            let is_harmful = |c: char| c.is_control() || c == '\u{202e}';
            prop_assert!(!clean(&text).contains(is_harmful));
        }
    }

    #[test]
    fn strangers_cannot_steer_the_terminal() {
        assert_eq!(clean("plain ünïcode"), "plain ünïcode");
        assert_eq!(clean("a\tb\nc\x1b[31md\u{202e}e\u{9b}f"), "a b c[31mdef");
    }

    #[test]
    fn text_is_cut_by_columns_not_bytes() {
        assert_eq!(truncate("héllo", 5), "héllo");
        assert_eq!(truncate("héllo!", 5), "héll…");
        assert_eq!(truncate("日本語", 5), "日本…");
        assert_eq!(truncate("日本語", 4), "日…");
        assert_eq!(truncate("ab", 0), "");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 12, 999, 1000, 1_234_567].map(number), ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!(number(-1234), "-1,234");
        assert_eq!(number(i64::MIN), "-9,223,372,036,854,775,808");
    }

    #[test]
    fn shares_round_but_never_to_nothing() {
        assert_eq!(percent(0, 10), "0 %");
        assert_eq!(percent(1, 1000), "<1 %");
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent(5, 0), "0 %");
    }

    #[test]
    fn changes_have_a_sign() {
        assert_eq!(change(150, 100), "+50 %");
        assert_eq!(change(1, 3), "-67 %");
        assert_eq!(change(1000, 1001), "±0 %");
        assert_eq!([change(0, 0), change(4, 0), change(0, 4)], ["±0 %", "new", "-100 %"]);
    }

    #[test]
    fn sizes_and_durations_have_units() {
        assert_eq!([0, 1023, 1024, 1_572_864].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.5 MiB"]);
        let spans = [Duration::from_millis(350), Duration::from_secs(61), Duration::from_secs(7500)];
        assert_eq!(spans.map(duration), ["350 ms", "1 min 1 s", "2 h 5 min"]);
        assert_eq!(duration(Duration::from_secs(2 * 86_400)), "2 d");
    }

    #[test]
    fn instants_are_told_relative_to_now() {
        let now: Timestamp = "2026-05-10T12:00:00Z".parse().expect("valid");
        assert_eq!(relative(now, now), "now");
        assert_eq!(relative(now.minus(Duration::from_secs(200)), now), "3 min ago");
        assert_eq!(relative(now.plus(Duration::from_hours(49)), now), "in 2 d");
        assert_eq!(relative("2020-01-02T03:04:05Z".parse().expect("valid"), now), "2020-01-02");
    }
}
