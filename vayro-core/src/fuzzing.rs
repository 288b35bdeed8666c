//! What must hold of any bytes; called by the fuzz targets, and by the tests with the committed corpus.

use std::fmt::Write as _;

use http::Method;

use crate::click::{ClickClass, ClickMethod};
use crate::rollup::{Quarters, ValueCounts, VisitorSketches, WeekVisitors};
use crate::short_code::ShortCode;
use crate::visit::{Code, Wanted, wanted};

/// Every way to tell whether bytes are a short code says the same, and a code is found in a path however it is written.
///
/// # Panics
///
/// If that does not hold.
pub fn short_code(bytes: &[u8]) {
    let is_valid = ShortCode::is_valid(bytes);
    let parsed = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<ShortCode>().ok());
    assert_eq!(parsed.is_some(), is_valid, "both ways agree");
    assert_eq!(Code::new(bytes).map(|code| code.as_bytes().to_vec()), is_valid.then(|| bytes.to_vec()));
    let Some(code) = parsed else { return };
    assert!((1..=ShortCode::LEN_MAX).contains(&bytes.len()));
    assert_eq!(code.as_str().as_bytes(), bytes, "kept byte for byte");
    assert_eq!(code.to_string().parse(), Ok(code.clone()));
    let json = serde_json::to_string(&code).expect("a text");
    assert_eq!(serde_json::from_str::<ShortCode>(&json).ok(), Some(code.clone()));
    let upper = code.as_str().to_ascii_uppercase().parse::<ShortCode>().expect("the same letters");
    assert_eq!(code.is_reserved(), upper.is_reserved(), "whatever its case");

    let mut escaped = String::new();
    for byte in bytes {
        write!(escaped, "%{byte:02X}").expect("writing to a String cannot fail");
    }
    let found = Wanted::Link(Code::new(bytes).expect("valid"), ClickMethod::Get);
    for path in [format!("/{code}"), format!("/{code}/"), format!("/{escaped}"), format!("/{escaped}/")] {
        assert_eq!(wanted(&Method::GET, path.as_bytes()), found, "{path}");
    }
}

/// A column of a rollup that can be read is written back the same: what is written is read as what was read, and
/// written again byte for byte.
///
/// # Panics
///
/// If that does not hold.
pub fn rollup_columns(bytes: &[u8]) {
    if let Ok(quarters) = Quarters::read(bytes) {
        let written = quarters.write();
        let again = Quarters::read(&written).expect("our own");
        assert_eq!((&again, &again.write()), (&quarters, &written));
        let totals = Quarters::read_totals(bytes).expect("it was read before");
        assert_eq!(totals, ClickClass::ALL.map(|class| quarters.total(class)), "both ways add up");
    }
    if let Ok(mut counts) = ValueCounts::read(bytes) {
        let clicks = |counts: &ValueCounts<'_>, class| {
            let of_values = counts.of(class).map(|(_, clicks)| clicks);
            of_values.fold(counts.others(class), u64::saturating_add)
        };
        let before = ClickClass::ALL.map(|class| clicks(&counts, class));
        let written = counts.write();
        let mut again = ValueCounts::read(&written).expect("our own");
        assert_eq!(again, counts);
        assert_eq!(again.write(), written);
        assert_eq!(ClickClass::ALL.map(|class| clicks(&again, class)), before, "no click is lost");
        let mut alone = ValueCounts::default();
        alone.merge(&again);
        assert_eq!(alone, again, "added to nothing");
    }
    if let Ok(sketches) = VisitorSketches::read(bytes) {
        let written = sketches.write();
        let again = VisitorSketches::read(&written).expect("our own");
        assert_eq!(again.write(), written);
        let places = |sketches: &VisitorSketches<'_>| {
            sketches.iter().map(|(hour, class, _)| (hour, class)).collect::<Vec<_>>()
        };
        assert_eq!(places(&again), places(&sketches));
        // Whatever a sketch holds, it adds up or is an error.
        if let Ok(day) = again.of_day() {
            let day = day.write();
            let day = VisitorSketches::read(&day).expect("our own").of_day().expect("sound");
            assert_eq!(places(&day).len(), day.iter().count());
        }
    }
    if let Ok(week) = WeekVisitors::read(bytes) {
        let written = week.write();
        let again = WeekVisitors::read(&written).expect("our own");
        assert_eq!((&again, &again.write()), (&week, &written));
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_codes_hold_over_the_corpus() {
        replay::replay("short_code", short_code);
    }

    #[test]
    fn rollup_columns_hold_over_the_corpus() {
        replay::replay("rollup_columns", rollup_columns);
    }
}
