//! What many clicks add up to, kept ready so that no chart has to read clicks.
//!
//! A [`Rollup`] holds the clicks of one link or one workspace in one UTC day (or, of a workspace, one UTC
//! hour): how many fell into each quarter of an hour, a sketch of the visitors of each hour, and how many
//! had which value of each dimension. All time zones in use differ from UTC by whole quarters of an hour,
//! so their days and hours are sums of quarters.
//!
//! Days of a week that is over are put together in one more rollup, see [`RollupSet::weeks`]: a year is some sixty of them
//! then instead of 365, and its visitors are numbers and not sketches.
//!
//! A link that was busy on a day gets rollups of that day's hours once the day is over, and a busy workspace of its
//! quarters of hours, see [`BUSY_CLICKS`].
//!
//! Writers turn the rows they really stored into [`gains`], and add each to what is stored under its key
//! with [`Rollup::add`], in the transaction that stores the rows. Readers are served by
//! [`RolledUpAnalytics`], which looks at raw clicks only where a question begins or ends in the middle of
//! a rollup, or filters.
//!
//! Columns of a rollup are byte strings of our own making, described in `column.rs`; they begin with a
//! layout version.

mod answer;
mod buckets;
mod busy;
mod check;
mod column;
mod derived;
mod gain;
mod key;
mod quarters;
mod record;
mod values;
mod visitors;
mod week;
mod week_visitors;

pub use answer::{Clock, RolledUpAnalytics};
pub use busy::{BUSY_CLICKS, busy};
pub use check::{RollupCheck, RollupSet};
pub use column::ColumnError;
pub use derived::Derived;
pub use gain::{Gain, gains};
pub use key::{RollupKey, RollupSpan, Subject};
pub use quarters::{QUARTER_MICROS, Quarters};
pub use record::Rollup;
pub use values::{VALUES_MAX, ValueCounts};
pub use visitors::{DayVisitors, Sketch, VisitorSketches};
pub use week::WorkspaceWeek;
pub use week_visitors::WeekVisitors;
