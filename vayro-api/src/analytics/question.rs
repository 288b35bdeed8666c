//! What a client wants to know about clicks.

use jiff::tz::TimeZone;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use vayro_core::analytics::{
    BREAKDOWN_ROWS_MAX, BucketSize, ClickScope, Comparison, Dimension, Interval, bucket_edges,
};
use vayro_core::click::ClickClass;
use vayro_core::timestamp::Timestamp;

use super::selection::{self, Selection, Subject};
use crate::extract::Query;
use crate::problem::{Code, FieldError, Problem};
use crate::state::ApiState;

/// Rows of a breakdown when nobody says.
const ROWS_DEFAULT: u16 = 10;
/// Breakdowns when nobody says, of a link; a workspace also gets [`Dimension::Link`].
const DIMENSIONS_DEFAULT: [Dimension; 8] = [
    Dimension::Country,
    Dimension::Region,
    Dimension::City,
    Dimension::Device,
    Dimension::Browser,
    Dimension::Os,
    Dimension::Referrer,
    Dimension::Language,
];

/// What the answer is compared with.
pub(super) struct Compared {
    pub(super) comparison: Comparison,
    pub(super) scope: ClickScope,
    /// As many as the question has.
    pub(super) edges: Vec<Timestamp>,
}

/// A checked question.
pub(crate) struct Question {
    pub(super) scope: ClickScope,
    pub(super) zone: TimeZone,
    pub(super) zone_name: String,
    pub(super) bucket: BucketSize,
    /// Starts of the buckets and the end of the last one.
    pub(super) edges: Vec<Timestamp>,
    pub(super) dimensions: Vec<Dimension>,
    pub(super) rows_max: u16,
    pub(super) compared: Option<Compared>,
}

/// Returns a bucket size's name in the API.
pub(crate) fn bucket_name(size: BucketSize) -> &'static str {
    match size {
        BucketSize::Hour => "hour",
        BucketSize::Day => "day",
        BucketSize::Week => "week",
        BucketSize::Month => "month",
    }
}

impl Question {
    /// Reads a question; every mistake is reported at once.
    pub(crate) async fn read(subject: Subject, mut query: Query, state: &ApiState) -> Result<Self, Problem> {
        let is_link = subject.link_id.is_some();
        let mut selection = Selection::take(&mut query, &[ClickClass::Counted]);
        let bucket = query.take_with("bucket", read_bucket).flatten();
        let comparison = read_comparison(&mut query, &selection);
        let dimensions = query.take_with("group_by", read_group_by).unwrap_or_else(|| {
            let own = (!is_link).then_some(Dimension::Link);
            DIMENSIONS_DEFAULT.into_iter().chain(own).collect()
        });
        let rows_max = query.take_with("limit", read_limit).unwrap_or(ROWS_DEFAULT);
        query.finish()?;

        let interval = selection.interval();
        let (zone, zone_name) = (selection.zone.clone(), std::mem::take(&mut selection.zone_name));
        let scope = selection.scope(&subject, state).await?;
        let bucket = bucket.unwrap_or_else(|| BucketSize::automatic(scope.start, scope.end));
        let edges = bucket_edges(scope.start, scope.end, bucket, &zone).map_err(|error| {
            let name = if scope.end <= scope.start { "end" } else { "bucket" };
            Problem::of_fields(Code::InvalidQuery, vec![FieldError::parameter(name, error.to_string())])
        })?;
        let compared = comparison.map(|comparison| {
            let shift = comparison.shift(scope.start, scope.end, interval, &zone);
            let (start, end) = (shift.apply(scope.start, &zone), shift.apply(scope.end, &zone));
            let edges = edges.iter().map(|edge| shift.apply(*edge, &zone)).collect();
            Compared { comparison, scope: ClickScope { start, end, ..scope.clone() }, edges }
        });
        Ok(Self { scope, zone, zone_name, bucket, edges, dimensions, rows_max, compared })
    }
}

fn read_comparison(query: &mut Query, selection: &Selection) -> Option<Comparison> {
    let comparison = query.take_with("compare", |text| {
        let names = || Comparison::ALL.map(Comparison::as_str).join(", ");
        Comparison::from_name(text).ok_or_else(|| format!("`{text}` is none of {}", names()))
    });
    if comparison.is_some() && selection.interval() == Some(Interval::All) {
        query.reject("compare", "nothing lies before `interval=all`");
        return None;
    }
    comparison
}

fn read_bucket(text: &str) -> Result<Option<BucketSize>, String> {
    let sizes = [BucketSize::Hour, BucketSize::Day, BucketSize::Week, BucketSize::Month];
    if text == "auto" {
        return Ok(None);
    }
    let size = sizes.into_iter().find(|size| bucket_name(*size) == text);
    size.map(Some).ok_or_else(|| format!("`{text}` is none of auto, hour, day, week, month"))
}

fn read_dimension(text: &str) -> Result<Dimension, String> {
    Dimension::from_name(text)
        .ok_or_else(|| format!("`{text}` is none of {}", Dimension::ALL.map(Dimension::as_str).join(", ")))
}

fn read_group_by(text: &str) -> Result<Vec<Dimension>, String> {
    if text == "none" {
        return Ok(Vec::new());
    }
    let mut dimensions = Vec::new();
    for part in text.split(',') {
        let dimension = read_dimension(part.trim())?;
        if !dimensions.contains(&dimension) {
            dimensions.push(dimension);
        }
    }
    Ok(dimensions)
}

fn read_limit(text: &str) -> Result<u16, String> {
    let limit = text.parse().ok().filter(|limit| (1..=BREAKDOWN_ROWS_MAX).contains(limit));
    limit.ok_or_else(|| format!("`{text}` is not a number from 1 to {BREAKDOWN_ROWS_MAX}"))
}

/// The query parameters, for the OpenAPI document.
pub(crate) struct Parameters;

impl IntoParams for Parameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let comparisons = Comparison::ALL.map(|comparison| format!("`{}`", comparison.as_str())).join(" or ");
        let own = [
            (
                "bucket",
                "Width of the series' points: `auto` (default), `hour`, `day`, `week`, `month`".to_owned(),
            ),
            ("group_by", "Breakdowns wanted, separated by commas, or `none`".to_owned()),
            (
                "limit",
                format!("Rows of each breakdown, 1 to {BREAKDOWN_ROWS_MAX}, {ROWS_DEFAULT} if left out"),
            ),
            ("compare", format!("Adds the same of an earlier span: {comparisons}")),
        ];
        own.into_iter()
            .map(|(name, text)| selection::parameter(name, text))
            .chain(selection::parameters("`counted`"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rubbish_never_panics(text in ".{0,60}") {
            drop(read_group_by(&text));
            drop(read_bucket(&text));
            drop(read_limit(&text));
        }
    }
}
