//! Calls about statistics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vayro_core::analytics::{BucketSize, Comparison, Dimension};
use vayro_core::click::ClickClass;
use vayro_core::ids::LinkId;
use vayro_core::timestamp::Timestamp;

use super::error::ApiError;
use super::http::{Api, Call};

/// What is asked about clicks; what is `None` is left to the server.
#[derive(Clone, Debug, Default)]
pub struct AnalyticsQuery {
    /// Name of a period.
    pub interval: Option<String>,
    /// An instant or a day to begin at.
    pub start: Option<String>,
    /// An instant or a day to end at.
    pub end: Option<String>,
    /// IANA name of a time zone.
    pub timezone: Option<String>,
    /// Width of the points over time.
    pub bucket: Option<BucketSize>,
    /// An earlier span wanted beside it.
    pub compare: Option<Comparison>,
    /// Breakdowns wanted.
    pub group_by: Vec<Dimension>,
    /// Rows of each breakdown.
    pub limit: Option<u16>,
    /// Classes of clicks to count; empty leaves it to the server.
    pub classes: Vec<ClickClass>,
    /// Only clicks with these values of these dimensions.
    pub filters: Vec<(Dimension, String)>,
}

/// Statistics over a span of time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Analytics {
    /// The link; `None` for the whole workspace.
    pub link_id: Option<LinkId>,
    /// From this instant on.
    pub start: Timestamp,
    /// Up to, not including, this instant.
    pub end: Timestamp,
    /// The zone that points over time follow.
    pub timezone: String,
    /// Width of the points over time.
    pub bucket: BucketSize,
    /// Classes of clicks that were counted.
    pub classes: Vec<String>,
    /// All clicks and visitors of the span.
    pub totals: Count,
    /// Clicks over time, points without clicks included.
    pub series: Vec<Point>,
    /// Breakdowns by the name of their dimension.
    pub breakdowns: BTreeMap<String, Breakdown>,
    /// The same of an earlier span, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<EarlierSpan>,
}

/// An earlier span, for comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EarlierSpan {
    /// What it is in relation to the span asked for.
    pub compare: Comparison,
    /// From this instant on.
    pub start: Timestamp,
    /// Up to, not including, this instant.
    pub end: Timestamp,
    /// All clicks and visitors of this span.
    pub totals: Count,
    /// One point for each of the span asked for.
    pub series: Vec<Point>,
}

/// Clicks and the visitors behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Clicks.
    pub clicks: i64,
    /// Unique visitors per UTC day, summed over days.
    pub visitors: i64,
}

/// One point over time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// Where it begins, with the offset of the zone.
    pub start: String,
    /// Its clicks and visitors.
    #[serde(flatten)]
    pub count: Count,
}

/// A dimension's values, most clicked first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Breakdown {
    /// The top values.
    pub rows: Vec<BreakdownRow>,
    /// Clicks over all values.
    pub total: i64,
    /// Clicks of the values that are not in `rows`.
    pub others: i64,
}

/// One value of a dimension.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BreakdownRow {
    /// The value; empty for what could not be found out.
    pub value: String,
    /// Its clicks.
    pub clicks: i64,
    /// The link, in the breakdown by link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<RowLink>,
}

/// A link as a breakdown shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowLink {
    /// Its address.
    pub short_url: String,
    /// Its path part.
    pub short_code: String,
    /// Its name for people.
    pub title: String,
    /// Where it leads.
    pub target_url: String,
}

impl Api {
    /// Returns the statistics of a link, or of the whole workspace.
    pub async fn analytics(
        &self,
        link: Option<LinkId>,
        query: &AnalyticsQuery,
    ) -> Result<Analytics, ApiError> {
        let id = link.map(|id| id.to_string());
        let path: Vec<&str> = ["analytics"].into_iter().chain(id.as_deref()).collect();
        let names: Vec<&str> = query.group_by.iter().map(|dimension| dimension.as_str()).collect();
        let group_by = if names.is_empty() { "none".to_owned() } else { names.join(",") };
        let classes: Vec<&str> = query.classes.iter().map(|class| class.as_str()).collect();
        let mut call = Call::get(&path)
            .query("interval", query.interval.as_ref())
            .query("start", query.start.as_ref())
            .query("end", query.end.as_ref())
            .query("timezone", query.timezone.as_ref())
            .query("bucket", query.bucket.map(bucket_name))
            .query("compare", query.compare.map(Comparison::as_str))
            .query("group_by", Some(group_by))
            .query("limit", query.limit)
            .query("classes", (!classes.is_empty()).then(|| classes.join(",")));
        for (dimension, values) in &query.filters {
            call = call.query(dimension.as_str(), Some(values));
        }
        self.send(call).await
    }
}

const fn bucket_name(size: BucketSize) -> &'static str {
    match size {
        BucketSize::Hour => "hour",
        BucketSize::Day => "day",
        BucketSize::Week => "week",
        BucketSize::Month => "month",
    }
}
