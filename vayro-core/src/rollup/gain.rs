//! What a batch of stored rows adds to which rollup.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::column::class_number;
use super::key::{RollupKey, RollupSpan, Subject};
use super::quarters::{QUARTER_MICROS, Quarters};
use crate::analytics::Dimension;
use crate::click::{ClickClass, ClickRow};

/// Quarters in an hour.
const QUARTERS_PER_HOUR: u16 = 4;

/// Dimensions of which the value of a click is mostly known.
const USUAL_VALUES: usize = 10;

/// What one rollup gains. Borrows the rows.
#[derive(Clone, Debug, Default)]
pub struct Gain<'a> {
    pub(super) quarters: Quarters,
    pub(super) visitors: Vec<(u8, ClickClass, i64)>,
    /// Sorted by dimension, class and value, each at most once.
    pub(super) values: Vec<ValueGain<'a>>,
}

/// Clicks that one value of a dimension gained in a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ValueGain<'a> {
    /// The place of the dimension in [`Dimension::ALL`].
    pub(super) dimension: u8,
    /// The [`class_number`].
    pub(super) class: u8,
    pub(super) value: &'a [u8],
    pub(super) clicks: u64,
}

impl ValueGain<'_> {
    /// Tells whether `other` counts the same value.
    fn is_alike(&self, other: &Self) -> bool {
        (self.dimension, self.class, self.value) == (other.dimension, other.class, other.value)
    }
}

/// Returns what `rows`, which must be new and distinct, add to each rollup that is kept while clicks are stored,
/// sorted by key.
pub fn gains<'a>(rows: impl IntoIterator<Item = &'a ClickRow>) -> Vec<(RollupKey, Gain<'a>)> {
    let mut rows: Vec<&ClickRow> = rows.into_iter().collect();
    let mut workspaces = gains_of_workspaces(&rows, RollupSpan::Hour);
    let mut days = gains_of_days(&workspaces);
    workspaces.append(&mut days);
    // Links sort before workspaces.
    let mut gains = gains_of_links(&mut rows, RollupSpan::Day);
    gains.extend(workspaces);
    gains
}

/// Returns what `rows` add to the parts of the day of those of their links and workspaces that are `busy`, sorted by
/// key.
pub(super) fn gains_of_parts<'a>(
    rows: &'a [ClickRow],
    busy: &BTreeSet<Subject>,
) -> Vec<(RollupKey, Gain<'a>)> {
    let of = |subject: fn(&ClickRow) -> Subject| {
        rows.iter().filter(|row| busy.contains(&subject(row))).collect::<Vec<_>>()
    };
    let mut gains = gains_of_links(&mut of(|row| Subject::Link(row.link_id)), RollupSpan::BusyHour);
    for (_, gain) in &mut gains {
        gain.visitors.clear();
    }
    let workspaces = of(|row| Subject::Workspace(row.workspace_id));
    gains.extend(gains_of_workspaces(&workspaces, RollupSpan::Quarter));
    gains
}

/// Returns what links gain in spans of one length, sorted by key.
fn gains_of_links<'a>(rows: &mut [&'a ClickRow], span: RollupSpan) -> Vec<(RollupKey, Gain<'a>)> {
    let link_key = |row: &ClickRow| RollupKey {
        subject: Subject::Link(row.link_id),
        workspace_id: row.workspace_id,
        span,
        start: span.floor(row.timestamp),
    };
    // Stable, so that a link's rows stay in the order of time in which they came. Keys apart from the rows: the rows
    // are large, and looking into one for each comparison would be most of the work.
    rows.sort_by_cached_key(|row| (row.link_id, row.workspace_id, span.floor(row.timestamp)));
    let gains = rows.chunk_by(|a, b| link_key(a) == link_key(b)).map(|rows| {
        let key = link_key(rows[0]);
        let mut gain = Gain::default();
        for row in rows {
            gain.count(&key, row);
        }
        gain.values.reserve(rows.len() * USUAL_VALUES);
        for (place, dimension) in (0..).zip(Dimension::ALL).filter(|(place, _)| *place != LINK) {
            let first = gain.values.len();
            gain.values.extend(rows.iter().filter_map(|row| value_gain(row, place, dimension)));
            gain.values[first..].sort_unstable();
        }
        gain.put_alike_together();
        (key, gain)
    });
    gains.collect()
}

/// Returns what workspaces gain in spans of one length, an hour or less.
fn gains_of_workspaces<'a>(rows: &[&'a ClickRow], span: RollupSpan) -> BTreeMap<RollupKey, Gain<'a>> {
    let mut gains: BTreeMap<RollupKey, (Gain<'a>, ValueSums<'a>)> = BTreeMap::new();
    for row in rows {
        let subject = Subject::Workspace(row.workspace_id);
        let start = span.floor(row.timestamp);
        let key = RollupKey { subject, workspace_id: row.workspace_id, span, start };
        let (gain, sums) = gains.entry(key).or_default();
        gain.count(&key, row);
        for gained in values(row) {
            *sums.entry((gained.dimension, gained.class, gained.value)).or_default() += gained.clicks;
        }
    }
    let sum = |((dimension, class, value), clicks)| ValueGain { dimension, class, value, clicks };
    let add = |(key, (mut gain, sums)): (RollupKey, (Gain<'a>, ValueSums<'a>))| {
        gain.values = sums.into_iter().map(sum).collect();
        gain.values.sort_unstable();
        (key, gain)
    };
    gains.into_iter().map(add).collect()
}

/// Returns what the days of workspaces gain, which is what their `hours` do; counting every click again would cost
/// more.
fn gains_of_days<'a>(hours: &BTreeMap<RollupKey, Gain<'a>>) -> BTreeMap<RollupKey, Gain<'a>> {
    let mut days: BTreeMap<RollupKey, Gain<'a>> = BTreeMap::new();
    for (key, gain) in hours {
        let day = RollupKey { span: RollupSpan::Day, start: RollupSpan::Day.floor(key.start), ..*key };
        let into = key.start.as_micros() - day.start.as_micros();
        // A day has 24 hours.
        let hour = u8::try_from(into / RollupSpan::Hour.micros()).unwrap_or(u8::MAX);
        days.entry(day).or_default().merge_hour(hour, gain);
    }
    days.values_mut().for_each(Gain::sum_up);
    days
}

/// Clicks by dimension, class and value. Values come from visitors: the hasher is keyed anew in each process.
type ValueSums<'a> = HashMap<(u8, u8, &'a [u8]), u64, foldhash::fast::RandomState>;

/// The place of [`Dimension::Link`] in [`Dimension::ALL`]: no link has a column of links.
const LINK: u8 = Dimension::Link as u8;

impl Gain<'_> {
    /// Adds the gain of the `hour`-th hour of this day; [`Gain::sum_up`] comes after the last one.
    fn merge_hour(&mut self, hour: u8, gain: &Self) {
        self.quarters.merge_later(&gain.quarters, u16::from(hour) * QUARTERS_PER_HOUR);
        self.visitors.extend(gain.visitors.iter().map(|(_, class, visitor)| (hour, *class, *visitor)));
        self.values.extend_from_slice(&gain.values);
    }

    /// Counts a click and its visitor.
    fn count(&mut self, key: &RollupKey, row: &ClickRow) {
        let into = row.timestamp.as_micros() - key.start.as_micros();
        // A day has 96 quarters.
        let quarter = u16::try_from(into / QUARTER_MICROS).unwrap_or(u16::MAX);
        self.quarters.add(quarter, row.class, 1);
        if let Some(visitor_id) = row.visitor_id {
            let hour = u8::try_from(quarter / QUARTERS_PER_HOUR).unwrap_or(u8::MAX);
            self.visitors.push((hour, row.class, visitor_id));
        }
    }

    /// Sorts the values and puts those that are alike together.
    fn sum_up(&mut self) {
        self.values.sort_unstable();
        self.put_alike_together();
    }

    /// Puts values that are alike together; they are sorted.
    fn put_alike_together(&mut self) {
        self.values.dedup_by(|next, sum| {
            let is_alike = next.is_alike(sum);
            if is_alike {
                sum.clicks = sum.clicks.saturating_add(next.clicks);
            }
            is_alike
        });
    }
}

/// Returns what a row counts, without what is not known: that is what the values leave of all clicks.
fn values(row: &ClickRow) -> impl Iterator<Item = ValueGain<'_>> {
    (0..).zip(Dimension::ALL).filter_map(|(place, dimension)| value_gain(row, place, dimension))
}

/// Returns what a row counts in the dimension that has this place in [`Dimension::ALL`], if it is known.
fn value_gain(row: &ClickRow, place: u8, dimension: Dimension) -> Option<ValueGain<'_>> {
    let value = value(row, dimension);
    let class = class_number(row.class);
    (!value.is_empty()).then_some(ValueGain { dimension: place, class, value, clicks: 1 })
}

/// Returns a row's value of a dimension as rollups keep it: text, empty for "unknown", or the bytes of the
/// link's id.
fn value(row: &ClickRow, dimension: Dimension) -> &[u8] {
    match dimension {
        Dimension::Country => row.country_code.as_bytes(),
        Dimension::Region => row.region.as_bytes(),
        Dimension::City => row.city.as_bytes(),
        Dimension::Device => row.device_type.as_bytes(),
        Dimension::Browser => row.browser.as_bytes(),
        Dimension::Os => row.os.as_bytes(),
        Dimension::Language => row.language.as_bytes(),
        Dimension::Referrer => row.referer_host.as_bytes(),
        Dimension::Link => row.link_id.as_bytes(),
        Dimension::Domain => row.domain.as_bytes(),
        Dimension::Trigger => row.trigger.as_bytes(),
        Dimension::UtmSource => row.utm_source.as_bytes(),
        Dimension::UtmMedium => row.utm_medium.as_bytes(),
        Dimension::UtmCampaign => row.utm_campaign.as_bytes(),
        Dimension::UtmTerm => row.utm_term.as_bytes(),
        Dimension::UtmContent => row.utm_content.as_bytes(),
    }
}
