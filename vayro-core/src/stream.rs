//! What flows between edge and worker, and what operators see of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::click::Fields;
use crate::day::Day;
use crate::purge::click_id;
use crate::timestamp::Timestamp;

/// Position of an entry in the click stream, opaque outside its adapter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub String);

/// One entry handed to a worker; it comes back unless it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it is.
    pub id: DeliveryId,
    /// How often it was handed out, this time included.
    pub attempts: u32,
    /// What it carries.
    pub fields: Fields,
}

/// Why an entry was put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// It is no click.
    Undecodable,
    /// The database refuses it.
    Rejected,
    /// Its link does not exist.
    UnknownLink,
    /// Its time lies outside every partition.
    OutOfRange,
    /// Workers died over it again and again.
    Crashed,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Undecodable, Self::Rejected, Self::UnknownLink, Self::OutOfRange, Self::Crashed];

    /// Returns its name in the stream and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Rejected => "rejected",
            Self::UnknownLink => "unknown_link",
            Self::OutOfRange => "out_of_range",
            Self::Crashed => "crashed",
        }
    }
}

/// An entry to be put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDeadLetter {
    /// Where it is in the stream.
    pub delivery: Delivery,
    /// Why.
    pub reason: DeadReason,
    /// What went wrong, in words; truncated to [`ERROR_LEN_MAX`].
    pub error: String,
    /// When.
    pub at: Timestamp,
}

/// Longest error text kept with a dead letter, in bytes.
pub const ERROR_LEN_MAX: usize = 500;

/// An entry that was put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its position among the dead letters.
    pub id: String,
    /// Where it was in the stream.
    pub stream_id: String,
    /// Why it is here.
    pub reason: DeadReason,
    /// What went wrong, in words.
    pub error: String,
    /// How often it had been handed out.
    pub attempts: u32,
    /// When it was put aside.
    pub dead_at: Timestamp,
    /// What it carries: field names with their values, invalid UTF-8 replaced.
    pub fields: Vec<(String, String)>,
}

/// Which dead letters are meant; all of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only these; empty means any.
    pub ids: Vec<String>,
    /// Only for this reason.
    pub reason: Option<DeadReason>,
    /// Only put aside at or after this instant.
    pub since: Option<Timestamp>,
    /// Only of this link.
    pub link_id: Option<String>,
}

impl DeadLetterFilter {
    /// Tells whether `letter` is meant.
    pub fn matches(&self, letter: &DeadLetter) -> bool {
        (self.ids.is_empty() || self.ids.contains(&letter.id))
            && self.reason.is_none_or(|reason| reason == letter.reason)
            && self.since.is_none_or(|since| letter.dead_at >= since)
            && self.link_id.as_ref().is_none_or(|link| letter.link_id() == Some(link))
    }
}

impl DeadLetter {
    /// Returns what it carries as the id of its link, if anything.
    pub fn link_id(&self) -> Option<&str> {
        let of_link = |(name, value)| (name == crate::click::field::LINK_ID).then_some(value);
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).find_map(of_link)
    }
}

/// A number that may be known only as a lower bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundedCount {
    /// The count, or the point where counting stopped.
    pub count: u64,
    /// Whether there are more than `count`.
    pub is_capped: bool,
}

/// One worker as the stream sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerStats {
    /// Its name.
    pub name: String,
    /// Entries it holds unacknowledged.
    pub pending: u64,
    /// Milliseconds since it last asked for work.
    pub idle_ms: u64,
}

/// The state of the click stream, measured by us; the server's own lag is only a hint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamStats {
    /// Entries never handed to a worker.
    pub undelivered: BoundedCount,
    /// Age of the oldest of them in milliseconds.
    pub undelivered_oldest_ms: Option<u64>,
    /// Entries handed out and not acknowledged.
    pub pending: u64,
    /// How long the oldest of them has been out, in milliseconds.
    pub pending_oldest_ms: Option<u64>,
    /// Entries the stream holds, acknowledged ones within the safety window included.
    pub length: u64,
    /// Entries ever added, if the stream can tell; two readings give the rate in.
    pub added_total: Option<u64>,
    /// Entries ever acknowledged, if the stream can tell; two readings give the rate out.
    pub acked_total: Option<u64>,
    /// Dead letters waiting.
    pub dead_letters: u64,
    /// What the server itself calls lag; `None` when it cannot tell, and known to be wrong on Redis 7.0 and 7.2.
    pub server_lag: Option<u64>,
    /// The workers.
    pub consumers: Vec<ConsumerStats>,
    /// The shards the stream is made of; empty if it has none.
    #[serde(default)]
    pub shards: Vec<ShardStats>,
}

/// The state of one shard of the click stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStats {
    /// Its name.
    pub name: String,
    /// Whether it is only read until it is empty, and then removed.
    pub is_retiring: bool,
    /// The worker that reads it; others may help.
    pub worker: Option<String>,
    /// Entries never handed to a worker.
    pub undelivered: BoundedCount,
    /// Age of the oldest of them in milliseconds.
    pub undelivered_oldest_ms: Option<u64>,
    /// Entries handed out and not acknowledged.
    pub pending: u64,
    /// Entries it holds, acknowledged ones within the safety window included.
    pub length: u64,
    /// Its dead letters.
    pub dead_letters: u64,
}

/// Returns the UTC day of the click that these fields of an entry are of; `None` if they are of no click.
pub fn day_of<N: AsRef<str>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Option<Day> {
    click_id(fields)?.timestamp().map(Day::of)
}

/// Entries of the stream that are not settled, by the UTC day of their click.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// How many of each day.
    pub days: BTreeMap<Day, u64>,
    /// Entries that are no click.
    pub undated: u64,
    /// Whether there are more than were counted.
    pub is_capped: bool,
}

impl Unsettled {
    /// Counts an entry.
    pub fn count<N: AsRef<str>, V: AsRef<[u8]>>(&mut self, fields: &[(N, V)]) {
        match day_of(fields) {
            Some(day) => *self.days.entry(day).or_default() += 1,
            None => self.undated += 1,
        }
    }

    /// Counts what `other` has counted.
    pub fn add(&mut self, other: Self) {
        for (day, count) in other.days {
            *self.days.entry(day).or_default() += count;
        }
        self.undated += other.undated;
        self.is_capped |= other.is_capped;
    }

    /// Returns how many were counted.
    pub fn total(&self) -> u64 {
        self.days.values().sum::<u64>() + self.undated
    }
}

/// What one edge says about itself every few seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeReport {
    /// Host name and boot id.
    pub edge: String,
    /// Clicks accepted since it started.
    pub clicks_accepted: u64,
    /// Clicks that reached the stream since it started.
    pub clicks_shipped: u64,
    /// Clicks dropped at a named limit since it started.
    pub clicks_dropped: u64,
    /// Bytes waiting in its spool.
    pub spool_bytes: u64,
    /// Clicks waiting there; zero from an edge that does not tell.
    #[serde(default)]
    pub spool_clicks: u64,
    /// Age of the oldest click in its spool in milliseconds.
    pub spool_oldest_ms: Option<u64>,
    /// When it said so.
    pub at: Timestamp,
}
