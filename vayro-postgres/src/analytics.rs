//! Questions about clicks, answered from the rows.
//!
//! Visitors are unique per UTC day and summed over days, so every query first groups by day and
//! visitor; the number of such groups with a known visitor is the number of visitors.

use async_trait::async_trait;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;
use vayro_core::analytics::{Breakdown, BreakdownRow, ClickCount, ClickScope, Dimension, DimensionFilter};
use vayro_core::ports::{AnalyticsStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::PgStores;
use crate::instant::Instant;

/// The UTC day of a click, whatever the session's time zone is.
const DAY: &str = "(timestamp AT TIME ZONE 'UTC')::date";

/// Returns the column of a dimension, as text, empty for "unknown".
const fn expression(dimension: Dimension) -> &'static str {
    match dimension {
        // The cast drops the padding of CHAR(2).
        Dimension::Country => "COALESCE(country_code::text, '')",
        Dimension::Region => "COALESCE(region, '')",
        Dimension::City => "COALESCE(city, '')",
        Dimension::Device => "COALESCE(device_type, '')",
        Dimension::Browser => "COALESCE(browser, '')",
        Dimension::Os => "COALESCE(os, '')",
        Dimension::Language => "COALESCE(language, '')",
        Dimension::Referrer => "COALESCE(referer_host, '')",
        Dimension::Link => "link_id::text",
        Dimension::Domain => "COALESCE(domain, '')",
        Dimension::Trigger => "COALESCE(trigger, '')",
        Dimension::UtmSource => "COALESCE(utm_source, '')",
        Dimension::UtmMedium => "COALESCE(utm_medium, '')",
        Dimension::UtmCampaign => "COALESCE(utm_campaign, '')",
        Dimension::UtmTerm => "COALESCE(utm_term, '')",
        Dimension::UtmContent => "COALESCE(utm_content, '')",
    }
}

fn push_filter(query: &mut QueryBuilder<Postgres>, filter: &DimensionFilter) {
    query.push(if filter.is_negated { " AND NOT " } else { " AND " });
    if filter.dimension == Dimension::Link {
        // As ids, so that the index serves; what is no id names no link.
        let ids: Vec<Uuid> = filter.values.iter().filter_map(|value| value.parse().ok()).collect();
        query.push("link_id = ANY(").push_bind(ids).push(")");
    } else {
        // No text in PostgreSQL holds a NUL, and none can be asked for.
        let values: Vec<String> =
            filter.values.iter().filter(|value| !value.contains('\0')).cloned().collect();
        query.push(expression(filter.dimension)).push(" = ANY(").push_bind(values).push(")");
    }
}

/// Appends the condition that keeps the clicks of `scope`.
pub(crate) fn push_scope(query: &mut QueryBuilder<Postgres>, scope: &ClickScope) {
    query.push(" FROM click_events WHERE workspace_id = ").push_bind(scope.workspace_id.as_uuid());
    if let Some(link) = scope.link_id {
        query.push(" AND link_id = ").push_bind(link.as_uuid());
    }
    query.push(" AND timestamp >= ").push_bind(Instant(scope.start));
    query.push(" AND timestamp < ").push_bind(Instant(scope.end));
    let classes: Vec<&'static str> = scope.classes.iter().map(|class| class.as_str()).collect();
    query.push(" AND class = ANY(").push_bind(classes).push(")");
    for filter in &scope.filters {
        push_filter(query, filter);
    }
}

#[async_trait]
impl AnalyticsStore for PgStores {
    async fn totals(&self, scope: &ClickScope) -> Result<ClickCount, StoreError> {
        let mut query = QueryBuilder::new(
            "SELECT COALESCE(sum(clicks), 0)::bigint, count(visitor_id) FROM (SELECT visitor_id, count(*) AS clicks",
        );
        push_scope(&mut query, scope);
        query.push(" GROUP BY ").push(DAY).push(", visitor_id) AS visits");
        self.within(async |connection| {
            let (clicks, visitors) = query.build_query_as::<(i64, i64)>().fetch_one(connection).await?;
            Ok(ClickCount { clicks, visitors })
        })
        .await
    }

    async fn series(&self, scope: &ClickScope, edges: &[Timestamp]) -> Result<Vec<ClickCount>, StoreError> {
        let [first, .., last] = edges else { return Ok(Vec::new()) };
        let mut counts = vec![ClickCount::default(); edges.len() - 1];
        let thresholds: Vec<Instant> = edges.iter().copied().map(Instant).collect();
        let within_edges =
            ClickScope { start: scope.start.max(*first), end: scope.end.min(*last), ..scope.clone() };
        let mut query = QueryBuilder::new(
            "SELECT bucket, sum(clicks)::bigint, count(visitor_id) FROM (SELECT width_bucket(timestamp, ",
        );
        query.push_bind(thresholds).push(") AS bucket, visitor_id, count(*) AS clicks");
        push_scope(&mut query, &within_edges);
        query.push(" GROUP BY 1, ").push(DAY).push(", visitor_id) AS visits GROUP BY bucket");
        self.within(async |connection| {
            let rows: Vec<(i32, i64, i64)> = query.build_query_as().fetch_all(connection).await?;
            for (bucket, clicks, visitors) in rows {
                // Bucket 1 begins at the first edge.
                let index = usize::try_from(bucket).ok().and_then(|bucket| bucket.checked_sub(1));
                if let Some(count) = index.and_then(|index| counts.get_mut(index)) {
                    *count = ClickCount { clicks, visitors };
                }
            }
            Ok(counts)
        })
        .await
    }

    async fn breakdown(
        &self,
        scope: &ClickScope,
        dimension: Dimension,
        max: u16,
    ) -> Result<Breakdown, StoreError> {
        let mut query = QueryBuilder::new("WITH counts AS (SELECT ");
        query.push(expression(dimension)).push(" AS value, count(*) AS clicks");
        push_scope(&mut query, scope);
        query.push(
            " GROUP BY 1), top AS (
                 SELECT value, clicks FROM counts ORDER BY clicks DESC, value COLLATE \"C\" LIMIT ",
        );
        query.push_bind(i64::from(max));
        query.push(
            ") SELECT total.clicks, top.value, top.clicks
               FROM (SELECT COALESCE(sum(clicks), 0)::bigint AS clicks FROM counts) AS total
               LEFT JOIN top ON TRUE
               ORDER BY top.clicks DESC, top.value COLLATE \"C\"",
        );
        self.within(async |connection| {
            let found: Vec<(i64, Option<String>, Option<i64>)> =
                query.build_query_as().fetch_all(connection).await?;
            let total = found.first().map_or(0, |row| row.0);
            let rows: Vec<BreakdownRow> = found
                .into_iter()
                .filter_map(|(_, value, clicks)| Some(BreakdownRow { value: value?, clicks: clicks? }))
                .collect();
            let listed: i64 = rows.iter().map(|row| row.clicks).sum();
            Ok(Breakdown { rows, total, others: total - listed })
        })
        .await
    }
}
