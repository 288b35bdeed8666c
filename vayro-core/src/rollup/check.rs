//! Whether stored rollups say what the clicks say.

use std::collections::{BTreeMap, BTreeSet};

use super::column::ColumnError;
use super::gain::{gains, gains_of_parts};
use super::key::{RollupKey, RollupSpan, Subject};
use super::quarters::Quarters;
use super::record::Rollup;
use super::values::ValueCounts;
use super::visitors::{DayVisitors, VisitorSketches};
use super::week::weeks;
use super::week_visitors::WeekVisitors;
use crate::click::{ClickClass, ClickRow};

/// Up to this many visitors an hour are counted exactly.
const EXACT_VISITORS: i64 = 100;
/// How far two estimates of the same visitors may lie apart, in percent: four standard errors.
const ESTIMATE_PERCENT: i64 = 7;

/// What a recount of one day of a workspace found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollupCheck {
    /// Clicks that were counted.
    pub clicks: u64,
    /// Rollups that were stored or should have been.
    pub rollups: u64,
    /// Those of them that say something else than the clicks.
    pub different: u64,
    /// Whether clicks of that day were removed by age, so that nothing could be counted.
    pub is_expired: bool,
}

impl RollupCheck {
    /// Adds what was found elsewhere; whether that was expired is its own affair.
    pub const fn add(&mut self, other: Self) {
        self.clicks += other.clicks;
        self.rollups += other.rollups;
        self.different += other.different;
    }
}

/// Rollups by key, put together from rows or from what is stored.
#[derive(Clone, Debug, Default)]
pub struct RollupSet {
    rollups: BTreeMap<RollupKey, Rollup>,
    clicks: u64,
    /// Whose parts of the day are counted.
    busy: BTreeSet<Subject>,
    /// Whether nothing else is.
    is_of_parts: bool,
}

impl RollupSet {
    /// Makes an empty set that counts the parts of the day of these subjects too, see [`Subject::part`].
    pub fn with_parts_of(subjects: impl IntoIterator<Item = Subject>) -> Self {
        Self { busy: subjects.into_iter().collect(), ..Self::default() }
    }

    /// Makes an empty set that counts the parts of the day of one subject and nothing else.
    pub fn parts_of(subject: Subject) -> Self {
        Self { is_of_parts: true, ..Self::with_parts_of([subject]) }
    }

    /// Returns the subjects of which there are parts of a day in this set; some of them more than once.
    pub fn subjects_with_parts(&self) -> impl Iterator<Item = Subject> {
        self.rollups.keys().filter(|key| key.is_part()).map(|key| key.subject)
    }

    /// Counts rows.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] never for a set made of rows alone.
    pub fn count(&mut self, rows: &[ClickRow]) -> Result<(), ColumnError> {
        let gains = if self.is_of_parts { Vec::new() } else { gains(rows) };
        for (key, gain) in gains.into_iter().chain(gains_of_parts(rows, &self.busy)) {
            self.rollups.entry(key).or_default().add(&gain)?;
        }
        self.clicks += rows.len() as u64;
        Ok(())
    }

    /// Adds a stored rollup; several of one key add up.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if it cannot be read.
    pub fn add(&mut self, key: RollupKey, rollup: Rollup) -> Result<(), ColumnError> {
        if let Some(sum) = self.rollups.get_mut(&key) {
            return sum.merge(&rollup);
        }
        self.rollups.insert(key, rollup);
        Ok(())
    }

    /// Returns the rollups, sorted by key.
    pub fn into_rollups(self) -> BTreeMap<RollupKey, Rollup> {
        self.rollups
    }

    /// Returns the rollups of the weeks that the days of this set lie in, made of these days alone. Questions
    /// have the same answers from a week as from its days: no value is put together with others, and each
    /// day's visitors are counted as they are from its sketches.
    ///
    /// # Errors
    ///
    /// [`ColumnError`] if a day cannot be read.
    pub fn weeks(&self) -> Result<Self, ColumnError> {
        Ok(Self { rollups: weeks(&self.rollups)?, ..Self::default() })
    }

    /// Compares what is stored with this set, which was made of the rows.
    pub fn check(&self, stored: &Self) -> RollupCheck {
        let keys: BTreeSet<&RollupKey> = self.rollups.keys().chain(stored.rollups.keys()).collect();
        let nothing = Rollup::default();
        let of = |set: &'_ Self, key: &RollupKey| set.rollups.get(key).cloned();
        let different = keys.iter().filter(|key| {
            let (counted, stored) = (of(self, key), of(stored, key));
            let (counted, stored) =
                (counted.as_ref().unwrap_or(&nothing), stored.as_ref().unwrap_or(&nothing));
            // What cannot be read agrees with nothing.
            !agrees(key.span, counted, stored).unwrap_or(false)
        });
        let different = different.count() as u64;
        RollupCheck { clicks: self.clicks, rollups: keys.len() as u64, different, is_expired: false }
    }
}

fn agrees(span: RollupSpan, counted: &Rollup, stored: &Rollup) -> Result<bool, ColumnError> {
    if Quarters::read(&counted.quarters)? != Quarters::read(&stored.quarters)? {
        return Ok(false);
    }
    for (counted, stored) in counted.values.iter().zip(&stored.values) {
        if !values_agree(&ValueCounts::read(counted)?, &ValueCounts::read(stored)?) {
            return Ok(false);
        }
    }
    if span == RollupSpan::Week {
        let counted = WeekVisitors::read(&counted.day_visitors)?;
        return Ok(counted.agrees(&WeekVisitors::read(&stored.day_visitors)?, is_close));
    }
    let counted = VisitorSketches::read(&counted.visitors)?;
    Ok(visitors_agree(&counted, &VisitorSketches::read(&stored.visitors)?)?
        && (stored.day_visitors.is_empty()
            || visitors_agree(&counted.of_day()?, &VisitorSketches::read(&stored.day_visitors)?)?))
}

/// Which values stay after a flood depends on the order in which they came; then only the sum has to agree.
fn values_agree(counted: &ValueCounts<'_>, stored: &ValueCounts<'_>) -> bool {
    ClickClass::ALL.into_iter().all(|class| {
        let sum = |counts: &ValueCounts<'_>| {
            counts.of(class).map(|(_, clicks)| clicks).sum::<u64>() + counts.others(class)
        };
        let is_whole = counted.others(class) == 0 && stored.others(class) == 0;
        if is_whole { counted.of(class).eq(stored.of(class)) } else { sum(counted) == sum(stored) }
    })
}

/// Tells whether two estimates may be of the same visitors.
fn is_close(a: i64, b: i64) -> bool {
    a == b || (a.min(b) > EXACT_VISITORS && (a - b).abs() * 100 <= ESTIMATE_PERCENT * a.max(b))
}

fn visitors_agree(counted: &VisitorSketches<'_>, stored: &VisitorSketches<'_>) -> Result<bool, ColumnError> {
    let estimates = |sketches: &VisitorSketches<'_>| {
        let mut estimates = BTreeMap::new();
        for (hour, class, sketch) in sketches.iter() {
            let mut visitors = DayVisitors::default();
            visitors.merge(sketch)?;
            estimates.insert((hour, class.as_str()), visitors.count()?);
        }
        Ok::<_, ColumnError>(estimates)
    };
    let (counted, stored) = (estimates(counted)?, estimates(stored)?);
    Ok(counted.len() == stored.len()
        && counted.iter().all(|(key, count)| stored.get(key).is_some_and(|other| is_close(*count, *other))))
}
