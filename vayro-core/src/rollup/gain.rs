//! What a batch of stored rows adds to which rollup.

use std::collections::BTreeMap;

use super::key::{RollupKey, RollupSpan, Subject};
use super::quarters::{QUARTER_MICROS, Quarters};
use super::values::ValueCounts;
use crate::analytics::Dimension;
use crate::click::{ClickClass, ClickRow};

/// Quarters in an hour.
const QUARTERS_PER_HOUR: u8 = 4;

/// What one rollup gains. Borrows the rows.
#[derive(Clone, Debug, Default)]
pub struct Gain<'a> {
    pub(super) quarters: Quarters,
    pub(super) visitors: Vec<(u8, ClickClass, i64)>,
    pub(super) values: [ValueCounts<'a>; Dimension::ALL.len()],
}

/// Returns what `rows`, which must be new and distinct, add to each rollup.
pub fn gains<'a>(rows: impl IntoIterator<Item = &'a ClickRow>) -> BTreeMap<RollupKey, Gain<'a>> {
    let mut gains: BTreeMap<RollupKey, Gain<'a>> = BTreeMap::new();
    for row in rows {
        for (subject, span) in [
            (Subject::Link(row.link_id), RollupSpan::Day),
            (Subject::Workspace(row.workspace_id), RollupSpan::Hour),
        ] {
            let start = span.floor(row.timestamp);
            let key = RollupKey { subject, workspace_id: row.workspace_id, span, start };
            gains.entry(key).or_default().count(&key, row);
        }
    }
    // A workspace's day gains what its hours do; counting every click again would cost more.
    let mut days: BTreeMap<RollupKey, Gain<'a>> = BTreeMap::new();
    for (key, gain) in gains.iter().filter(|(key, _)| key.span == RollupSpan::Hour) {
        let day = RollupKey { span: RollupSpan::Day, start: RollupSpan::Day.floor(key.start), ..*key };
        let into = key.start.as_micros() - day.start.as_micros();
        // A day has 24 hours.
        let hour = u8::try_from(into / RollupSpan::Hour.micros()).unwrap_or(u8::MAX);
        days.entry(day).or_default().merge_hour(hour, gain);
    }
    gains.extend(days);
    gains
}

impl<'a> Gain<'a> {
    /// Adds the gain of the `hour`-th hour of this day.
    fn merge_hour(&mut self, hour: u8, gain: &Self) {
        for (quarter, class, clicks) in gain.quarters.iter() {
            self.quarters.add(quarter + hour * QUARTERS_PER_HOUR, class, clicks);
        }
        self.visitors.extend(gain.visitors.iter().map(|(_, class, visitor)| (hour, *class, *visitor)));
        for (mine, theirs) in self.values.iter_mut().zip(&gain.values) {
            mine.merge(theirs);
        }
    }

    fn count(&mut self, key: &RollupKey, row: &'a ClickRow) {
        let into = row.timestamp.as_micros() - key.start.as_micros();
        // A day has 96 quarters.
        let quarter = u8::try_from(into / QUARTER_MICROS).unwrap_or(u8::MAX);
        self.quarters.add(quarter, row.class, 1);
        if let Some(visitor_id) = row.visitor_id {
            self.visitors.push((quarter / QUARTERS_PER_HOUR, row.class, visitor_id));
        }
        for (dimension, values) in Dimension::ALL.into_iter().zip(&mut self.values) {
            if dimension == Dimension::Link && matches!(key.subject, Subject::Link(_)) {
                continue;
            }
            let value = value(row, dimension);
            // What is not known is what the values leave of all clicks.
            if !value.is_empty() {
                values.add(row.class, value);
            }
        }
    }
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
