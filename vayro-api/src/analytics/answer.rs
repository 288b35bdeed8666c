//! Statistics as clients get them.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use vayro_core::analytics::{
    Breakdown, BucketSize, ClickCount, ClickScope, Comparison, Dimension, local_text,
};
use vayro_core::click::ClickClass;
use vayro_core::ids::LinkId;
use vayro_core::ports::AnalyticsStore;
use vayro_core::timestamp::Timestamp;

use super::question::{Compared, Question};
use crate::problem::Problem;
use crate::state::ApiState;

/// Breakdowns of one request that are asked for at one time.
const PARALLEL_MAX: usize = 4;
/// Most links of a breakdown that are shown with their address.
const LINKS_SHOWN_MAX: usize = 100;

/// Statistics over a span of time.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Analytics)]
pub(crate) struct AnalyticsView {
    /// The link, `null` for the whole workspace.
    #[schema(required = true)]
    link_id: Option<Uuid>,
    /// From this instant on.
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// Up to, not including, this instant.
    #[schema(value_type = String, format = DateTime)]
    end: Timestamp,
    /// The zone that the series follows.
    #[schema(example = "Europe/Berlin")]
    timezone: String,
    /// Width of the series' points.
    #[schema(schema_with = crate::schema::bucket)]
    bucket: BucketSize,
    /// Classes of clicks that were counted.
    #[schema(schema_with = classes_schema)]
    classes: Vec<ClickClass>,
    /// All clicks and visitors of the span.
    totals: CountView,
    /// Clicks over time, points without clicks included.
    series: Vec<PointView>,
    /// Breakdowns by the name of their dimension.
    breakdowns: BTreeMap<&'static str, BreakdownView>,
    /// The same of an earlier span, if `compare` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<ComparisonView>,
}

/// An earlier span, for comparison.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Comparison)]
pub(crate) struct ComparisonView {
    /// What it is in relation to the span asked for.
    #[schema(schema_with = crate::schema::comparison)]
    compare: Comparison,
    /// From this instant on.
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// Up to, not including, this instant.
    #[schema(value_type = String, format = DateTime)]
    end: Timestamp,
    /// All clicks and visitors of this span.
    totals: CountView,
    /// One point for each of the span asked for, in the same order. What the earlier calendar does not have,
    /// such as a 29 February, is empty.
    series: Vec<PointView>,
}

fn classes_schema() -> utoipa::openapi::Array {
    utoipa::openapi::ArrayBuilder::new().items(crate::schema::click_class()).build()
}

/// Clicks and the visitors behind them.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Count)]
pub(crate) struct CountView {
    /// Clicks.
    clicks: i64,
    /// Unique visitors per UTC day, summed over days: somebody who comes on two days counts twice, since
    /// nobody is recognised over midnight.
    visitors: i64,
}

impl From<ClickCount> for CountView {
    fn from(count: ClickCount) -> Self {
        Self { clicks: count.clicks, visitors: count.visitors }
    }
}

/// One point of a series.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Point)]
pub(crate) struct PointView {
    /// Where it begins, with the offset of the zone.
    #[schema(example = "2026-03-29T00:00:00+01:00", format = DateTime)]
    start: String,
    #[serde(flatten)]
    count: CountView,
}

/// A dimension's values, most clicked first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Breakdown)]
pub(crate) struct BreakdownView {
    /// The top values.
    rows: Vec<RowView>,
    /// Clicks over all values.
    total: i64,
    /// Clicks of the values that are not in `rows`.
    others: i64,
}

/// One value of a dimension.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BreakdownRow)]
pub(crate) struct RowView {
    /// The value; empty for what could not be found out.
    #[schema(example = "DE")]
    value: String,
    /// Its clicks.
    clicks: i64,
    /// The link, in the breakdown `link`, for the first 100 rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<RowLinkView>,
}

/// A link as a breakdown shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BreakdownLink)]
pub(crate) struct RowLinkView {
    /// Its address.
    short_url: String,
    /// Its path part.
    short_code: String,
    /// Its name for people; empty in shared statistics.
    title: String,
    /// Where it leads; empty in shared statistics.
    target_url: String,
}

/// Who gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Those who work in the workspace.
    Members,
    /// Anybody with a share; what links are called and where they lead is none of their business.
    Public,
}

/// Asks the store and puts the answer together.
pub(crate) async fn answer(
    question: Question,
    audience: Audience,
    state: &ApiState,
) -> Result<AnalyticsView, Problem> {
    let Question { scope, zone, zone_name, bucket, edges, dimensions, rows_max, compared } = question;
    let store = &*state.ports.analytics;
    let scope_ref = &scope;
    let comparison = async {
        let Some(Compared { comparison, scope, edges }) = compared else { return Ok(None) };
        let (totals, series) = over_time(&scope, &edges, &zone, store).await?;
        let (start, end) = (scope.start, scope.end);
        Ok(Some(ComparisonView { compare: comparison, start, end, totals, series }))
    };
    let breakdowns = async {
        futures::stream::iter(dimensions)
            .map(|dimension| async move {
                let breakdown = store.breakdown(scope_ref, dimension, rows_max).await?;
                let view = breakdown_view(breakdown, (dimension, audience), scope_ref, state).await?;
                Ok::<_, Problem>((dimension.as_str(), view))
            })
            .buffered(PARALLEL_MAX)
            .try_collect()
            .await
    };
    let ((totals, series), comparison, breakdowns) =
        futures::try_join!(over_time(&scope, &edges, &zone, store), comparison, breakdowns)?;
    Ok(AnalyticsView {
        link_id: scope.link_id.map(|id| id.as_uuid()),
        start: scope.start,
        end: scope.end,
        timezone: zone_name,
        bucket,
        classes: scope.classes,
        totals,
        series,
        breakdowns,
        comparison,
    })
}

/// Counts a span as a whole and point by point.
async fn over_time(
    scope: &ClickScope,
    edges: &[Timestamp],
    zone: &TimeZone,
    store: &dyn AnalyticsStore,
) -> Result<(CountView, Vec<PointView>), Problem> {
    let (totals, counts) = store.overview(scope, edges).await?;
    let points = edges.iter().zip(counts);
    let series =
        points.map(|(edge, count)| PointView { start: local_text(*edge, zone), count: count.into() });
    Ok((totals.into(), series.collect()))
}

async fn breakdown_view(
    breakdown: Breakdown,
    (dimension, audience): (Dimension, Audience),
    scope: &ClickScope,
    state: &ApiState,
) -> Result<BreakdownView, Problem> {
    let mut rows: Vec<RowView> = breakdown
        .rows
        .into_iter()
        .map(|row| RowView { value: row.value, clicks: row.clicks, link: None })
        .collect();
    if dimension == Dimension::Link {
        let shown = rows.len().min(LINKS_SHOWN_MAX);
        let ids: Vec<String> = rows[..shown].iter().map(|row| row.value.clone()).collect();
        let links: Vec<Option<RowLinkView>> = futures::stream::iter(ids)
            .map(|id| async move { row_link(&id, scope, audience, state).await })
            .buffered(PARALLEL_MAX)
            .try_collect()
            .await?;
        for (row, link) in rows.iter_mut().zip(links) {
            row.link = link;
        }
    }
    Ok(BreakdownView { rows, total: breakdown.total, others: breakdown.others })
}

async fn row_link(
    id: &str,
    scope: &ClickScope,
    audience: Audience,
    state: &ApiState,
) -> Result<Option<RowLinkView>, Problem> {
    let Ok(id) = id.parse::<LinkId>() else { return Ok(None) };
    let link = state.ports.links.find(scope.workspace_id, id).await?;
    let is_public = audience == Audience::Public;
    Ok(link.map(|link| RowLinkView {
        short_url: state.settings.link_address(link.domain.as_ref(), link.short_code.as_str()),
        short_code: link.short_code.to_string(),
        title: if is_public { String::new() } else { link.title },
        target_url: if is_public { String::new() } else { link.target_url.to_string() },
    }))
}
