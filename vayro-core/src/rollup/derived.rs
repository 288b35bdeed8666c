//! Rollups that are made of days once these are over, which a click that comes late makes outdated.

use std::collections::BTreeSet;

use super::gain::Gain;
use super::key::{RollupKey, RollupSpan, Subject};
use crate::timestamp::Timestamp;

/// Rollups of one subject and length that hold clicks of some day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Derived {
    /// Whose.
    pub subject: Subject,
    /// Of which length.
    pub span: RollupSpan,
    /// Begin of the first one.
    pub from: Timestamp,
    /// Begin of the first one that is none of them.
    pub to: Timestamp,
}

impl Derived {
    /// Returns what may have been made of the days in which subjects gain something: their week and the parts of the
    /// day. Each belongs to a workspace that is among the subjects; what is named of a workspace with its id covers
    /// what there may be of its links.
    pub fn of(gains: &[(RollupKey, Gain<'_>)]) -> BTreeSet<Self> {
        let days = gains.iter().map(|(key, _)| key).filter(|key| key.span == RollupSpan::Day);
        days.flat_map(|key| {
            let of_links = key.subject.is_workspace().then_some(RollupSpan::BusyHour);
            let spans = [RollupSpan::Week, key.subject.part()].into_iter().chain(of_links);
            spans.map(|span| {
                let length = if span == RollupSpan::Week { span } else { RollupSpan::Day };
                let from = length.floor(key.start);
                let to = Timestamp::from_micros(from.as_micros() + length.micros()).unwrap_or(from);
                Self { subject: key.subject, span, from, to }
            })
        })
        .collect()
    }

    /// Tells whether it is a workspace's.
    pub const fn is_of_workspace(&self) -> bool {
        self.subject.is_workspace()
    }
}
