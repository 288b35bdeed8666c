//! Questions about clicks, answered from the rows.
//!
//! Every question groups the clicks of the scope by something, by UTC day and by visitor, and then
//! sums the groups up: a group is a visitor of a day, except where the visitor is unknown.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite};
use uuid::Uuid;
use vayro_core::analytics::{Breakdown, BreakdownRow, ClickCount, ClickScope, Dimension, DimensionFilter};
use vayro_core::ports::{AnalyticsStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::error::{internal, store_error};
use crate::salts::DAY_MICROS;

/// Returns the column of `click_events` that holds a dimension.
const fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Country => "c.country_code",
        Dimension::Region => "c.region",
        Dimension::City => "c.city",
        Dimension::Device => "c.device_type",
        Dimension::Browser => "c.browser",
        Dimension::Os => "c.os",
        Dimension::Language => "c.language",
        Dimension::Referrer => "c.referer_host",
        Dimension::Link => "c.link_id",
        Dimension::Domain => "c.domain",
        Dimension::Trigger => "c.trigger",
        Dimension::UtmSource => "c.utm_source",
        Dimension::UtmMedium => "c.utm_medium",
        Dimension::UtmCampaign => "c.utm_campaign",
        Dimension::UtmTerm => "c.utm_term",
        Dimension::UtmContent => "c.utm_content",
    }
}

/// Adds the conditions of a scope except its time, for an `AND` chain.
pub(crate) fn push_scope(query: &mut QueryBuilder<Sqlite>, scope: &ClickScope) {
    match scope.link_id {
        None => query.push("c.workspace_id = ").push_bind(scope.workspace_id.as_uuid()),
        // Asking the link whose it is keeps the question on the link's index.
        Some(link_id) => query
            .push("c.link_id = (SELECT id FROM links WHERE id = ")
            .push_bind(link_id.as_uuid())
            .push(" AND workspace_id = ")
            .push_bind(scope.workspace_id.as_uuid())
            .push(")"),
    };
    query.push(" AND c.class IN (");
    let mut classes = query.separated(", ");
    for class in &scope.classes {
        classes.push_bind(class.as_str());
    }
    query.push(")");
    for filter in &scope.filters {
        push_filter(query, filter);
    }
}

fn push_filter(query: &mut QueryBuilder<Sqlite>, filter: &DimensionFilter) {
    let is_link = filter.dimension == Dimension::Link;
    query.push(if is_link { " AND " } else { " AND COALESCE(" }).push(column(filter.dimension));
    query.push(if is_link { "" } else { ", '')" });
    query.push(if filter.is_negated { " NOT IN (" } else { " IN (" });
    let mut values = query.separated(", ");
    for value in &filter.values {
        if !is_link {
            values.push_bind(value);
        } else if let Ok(id) = value.parse::<Uuid>() {
            values.push_bind(id);
        }
    }
    query.push(")");
}

pub(crate) fn push_time(query: &mut QueryBuilder<Sqlite>, scope: &ClickScope) {
    query.push(" AND c.timestamp >= ").push_bind(scope.start.as_micros());
    query.push(" AND c.timestamp < ").push_bind(scope.end.as_micros());
}

/// The UTC day of a click; clicks are never before 1970, so that truncation is rounding down.
fn push_day(query: &mut QueryBuilder<Sqlite>) {
    query.push("c.timestamp / ").push(DAY_MICROS);
}

/// Returns the buckets that lie in the scope at least in part, as JSON `[index, start, end]`: the time
/// that a bucket and the scope share.
fn buckets(scope: &ClickScope, edges: &[Timestamp]) -> Result<String, StoreError> {
    let buckets: Vec<(usize, i64, i64)> = edges
        .windows(2)
        .enumerate()
        .map(|(index, edge)| {
            (index, edge[0].max(scope.start).as_micros(), edge[1].min(scope.end).as_micros())
        })
        .filter(|(_, start, end)| start < end)
        .collect();
    serde_json::to_string(&buckets).map_err(internal)
}

/// A value with its clicks, and the clicks over all values.
type ValueRow<V> = (V, i64, i64);

fn breakdown_of(rows: Vec<ValueRow<String>>, max: u16) -> Breakdown {
    let total = rows.first().map_or(0, |(.., total)| *total);
    let rows: Vec<BreakdownRow> = rows
        .into_iter()
        .take(usize::from(max))
        .map(|(value, clicks, _)| BreakdownRow { value, clicks })
        .collect();
    let others = total - rows.iter().map(|row| row.clicks).sum::<i64>();
    Breakdown { rows, total, others }
}

fn totals_query(scope: &ClickScope) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT COALESCE(SUM(clicks), 0), COUNT(visitor_id)
         FROM (SELECT COUNT(*) AS clicks, c.visitor_id FROM click_events c WHERE ",
    );
    push_scope(&mut query, scope);
    push_time(&mut query, scope);
    query.push(" GROUP BY ");
    push_day(&mut query);
    query.push(", c.visitor_id)");
    query
}

fn series_query(scope: &ClickScope, edges: &[Timestamp]) -> Result<QueryBuilder<Sqlite>, StoreError> {
    // CROSS JOIN fixes the order: for each bucket one range of the index.
    let mut query = QueryBuilder::new(
        "SELECT bucket, SUM(clicks), COUNT(visitor_id)
         FROM (SELECT b.value ->> 0 AS bucket, COUNT(*) AS clicks, c.visitor_id FROM json_each(",
    );
    query.push_bind(buckets(scope, edges)?);
    query.push(") b CROSS JOIN click_events c WHERE ");
    push_scope(&mut query, scope);
    query.push(" AND c.timestamp >= b.value ->> 1 AND c.timestamp < b.value ->> 2 GROUP BY bucket, ");
    push_day(&mut query);
    query.push(", c.visitor_id) GROUP BY bucket");
    Ok(query)
}

fn breakdown_query(scope: &ClickScope, dimension: Dimension, max: u16) -> QueryBuilder<Sqlite> {
    let mut query =
        QueryBuilder::new("SELECT value, clicks, SUM(clicks) OVER () AS total FROM (SELECT COALESCE(");
    query.push(column(dimension));
    query.push(", '') AS value, COUNT(*) AS clicks FROM click_events c WHERE ");
    push_scope(&mut query, scope);
    push_time(&mut query, scope);
    query.push(" GROUP BY value) ORDER BY clicks DESC, value LIMIT ");
    // At least one row, since each carries the total.
    query.push_bind(max.max(1));
    query
}

#[async_trait]
impl AnalyticsStore for SqliteStores {
    async fn totals(&self, scope: &ClickScope) -> Result<ClickCount, StoreError> {
        let mut query = totals_query(scope);
        let (clicks, visitors) =
            query.build_query_as().fetch_one(&self.readers).await.map_err(store_error)?;
        Ok(ClickCount { clicks, visitors })
    }

    async fn series(&self, scope: &ClickScope, edges: &[Timestamp]) -> Result<Vec<ClickCount>, StoreError> {
        let mut counts = vec![ClickCount::default(); edges.len().saturating_sub(1)];
        let rows: Vec<(i64, i64, i64)> = series_query(scope, edges)?
            .build_query_as()
            .fetch_all(&self.readers)
            .await
            .map_err(store_error)?;
        for (bucket, clicks, visitors) in rows {
            let count = usize::try_from(bucket).ok().and_then(|bucket| counts.get_mut(bucket));
            *count.ok_or_else(|| internal("a bucket that was not asked for was counted"))? =
                ClickCount { clicks, visitors };
        }
        Ok(counts)
    }

    async fn breakdown(
        &self,
        scope: &ClickScope,
        dimension: Dimension,
        max: u16,
    ) -> Result<Breakdown, StoreError> {
        let mut query = breakdown_query(scope, dimension, max);
        let rows: Vec<ValueRow<String>> = if dimension == Dimension::Link {
            let rows: Vec<ValueRow<Uuid>> =
                query.build_query_as().fetch_all(&self.readers).await.map_err(store_error)?;
            rows.into_iter().map(|(id, clicks, total)| (id.to_string(), clicks, total)).collect()
        } else {
            query.build_query_as().fetch_all(&self.readers).await.map_err(store_error)?
        };
        Ok(breakdown_of(rows, max))
    }
}

#[cfg(test)]
mod tests {
    use vayro_core::analytics::{BUCKETS_MAX, FILTER_VALUES_MAX};
    use vayro_core::click::ClickClass;
    use vayro_core::ids::{LinkId, WorkspaceId};

    use super::*;

    fn scope(link_id: Option<LinkId>) -> ClickScope {
        ClickScope {
            workspace_id: WorkspaceId::from_uuid(Uuid::from_u128(1)),
            link_id,
            start: Timestamp::EPOCH,
            end: Timestamp::from_micros(i64::from(u32::MAX)).expect("in range"),
            classes: vec![ClickClass::Counted],
            filters: Vec::new(),
        }
    }

    async fn plan(stores: &SqliteStores, query: &QueryBuilder<Sqlite>) -> String {
        let steps: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", query.sql().as_str())))
                .fetch_all(&stores.readers)
                .await
                .expect("SQLite has a plan");
        steps.into_iter().map(|(.., step)| step + "\n").collect()
    }

    #[tokio::test]
    async fn totals_and_series_read_one_range_of_an_index_and_no_row() {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let stores = SqliteStores::open(directory.path().join("vayro.db")).await.expect("a new file opens");
        stores.migrate().await.expect("a new file migrates");
        let edges = [Timestamp::EPOCH, Timestamp::from_micros(5).expect("in range")];
        let link = Some(LinkId::from_uuid(Uuid::from_u128(2)));
        for (link, range) in [
            (None, "idx_clicks_workspace_time (workspace_id=? AND timestamp>? AND timestamp<?)"),
            (link, "idx_clicks_link_time (link_id=? AND timestamp>? AND timestamp<?)"),
        ] {
            let range = format!("SEARCH c USING COVERING INDEX {range}");
            let scope = scope(link);
            let series = series_query(&scope, &edges).expect("buckets");
            for query in [totals_query(&scope), series] {
                let plan = plan(&stores, &query).await;
                assert!(plan.contains(&range), "{plan}");
                assert!(!plan.contains("SCAN c"), "{plan}");
            }
        }
    }

    #[tokio::test]
    async fn the_largest_questions_are_answered() {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let stores = SqliteStores::open(directory.path().join("vayro.db")).await.expect("a new file opens");
        stores.migrate().await.expect("a new file migrates");
        let filters = Dimension::ALL.map(|dimension| DimensionFilter {
            dimension,
            values: (0..FILTER_VALUES_MAX).map(|n| n.to_string()).collect(),
            is_negated: true,
        });
        let scope = ClickScope { filters: filters.to_vec(), ..scope(None) };
        let edges: Vec<Timestamp> =
            (0..=BUCKETS_MAX).filter_map(|n| Timestamp::from_millis(i64::try_from(n).ok()?)).collect();
        assert_eq!(stores.series(&scope, &edges).await.expect("an answer").len(), BUCKETS_MAX);
    }
}
