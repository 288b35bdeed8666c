//! Rollups: kept by the transaction that stores the clicks, and read for charts.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use vayro_core::analytics::{ClickScope, Dimension};
use vayro_core::click::ClickRow;
use vayro_core::day::Day;
use vayro_core::ids::WorkspaceId;
use vayro_core::ports::{RollupCounts, RollupRange, RollupStore, RollupValues, StoreError, Visit};
use vayro_core::rollup::{ColumnError, QUARTER_MICROS, Rollup, RollupCheck, RollupKey, gains};
use vayro_core::timestamp::Timestamp;

use crate::analytics::{push_scope, push_time};
use crate::database::SqliteStores;
use crate::error::{internal, store_error};
use crate::recount;

/// The byte columns in the order in which they are bound: quarters, visitors, [`Dimension::ALL`].
macro_rules! byte_columns {
    () => {
        "quarters, visitors, country, region, city, device, browser, os, language, referrer, link, domain, \
         trigger, utm_source, utm_medium, utm_campaign, utm_term, utm_content"
    };
}

const FIND: &str = concat!(
    "SELECT ",
    byte_columns!(),
    " FROM click_rollups WHERE subject_id = ? AND span = ? AND start = ? AND slot = 0"
);

const REPLACE: &str = concat!(
    "INSERT OR REPLACE INTO click_rollups (subject_id, span, start, slot, workspace_id, ",
    byte_columns!(),
    ") VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);

/// Every rollup of a workspace and its links that begins on a day.
pub(crate) const OF_DAY: &str = concat!(
    "SELECT subject_id, span, start, ",
    byte_columns!(),
    " FROM click_rollups
      WHERE workspace_id = ?1 AND span IN ('hour', 'day') AND start >= ?2 AND start < ?3"
);

/// Adds what new rows gain each link and workspace; the transaction holds the file's only write lock.
pub(crate) async fn add(connection: &mut SqliteConnection, rows: &[&ClickRow]) -> Result<(), sqlx::Error> {
    for (key, gain) in gains(rows.iter().copied()) {
        let subject = key.subject.as_uuid();
        let found = sqlx::query(FIND)
            .bind(subject)
            .bind(key.span.as_str())
            .bind(key.start.as_micros())
            .fetch_optional(&mut *connection)
            .await?;
        let mut sum = found.map(|row| rollup(&row, 0)).transpose()?.unwrap_or_default();
        sum.add(&gain).map_err(damaged)?;
        replace(connection, &key, sum).await?;
    }
    Ok(())
}

/// Stores a rollup in place of what is there.
pub(crate) async fn replace(
    connection: &mut SqliteConnection,
    key: &RollupKey,
    rollup: Rollup,
) -> Result<(), sqlx::Error> {
    let mut replace = sqlx::query(REPLACE)
        .bind(key.subject.as_uuid())
        .bind(key.span.as_str())
        .bind(key.start.as_micros())
        .bind(key.workspace_id.as_uuid())
        .bind(rollup.quarters)
        .bind(rollup.visitors);
    for column in rollup.values {
        replace = replace.bind(column);
    }
    replace.execute(connection).await.map(drop)
}

/// Reads the byte columns from the one numbered `first` on.
pub(crate) fn rollup(row: &SqliteRow, first: usize) -> Result<Rollup, sqlx::Error> {
    let mut rollup =
        Rollup { quarters: row.try_get(first)?, visitors: row.try_get(first + 1)?, ..Rollup::default() };
    for (number, column) in rollup.values.iter_mut().enumerate() {
        *column = row.try_get(first + 2 + number)?;
    }
    Ok(rollup)
}

/// What is stored cannot be read: a bug or a newer program's writing, never the fault of the new clicks.
pub(crate) fn damaged(error: ColumnError) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// Appends the condition that keeps the rollups of `range`.
fn push_range(query: &mut QueryBuilder<Sqlite>, range: &RollupRange) {
    query.push(" FROM click_rollups WHERE subject_id = ").push_bind(range.subject.as_uuid());
    query.push(" AND workspace_id = ").push_bind(range.workspace_id.as_uuid());
    query.push(" AND span = ").push_bind(range.span.as_str());
    query.push(" AND start >= ").push_bind(range.from.as_micros());
    query.push(" AND start < ").push_bind(range.to.as_micros());
}

#[async_trait]
impl RollupStore for SqliteStores {
    async fn counts(&self, range: &RollupRange) -> Result<Vec<RollupCounts>, StoreError> {
        let mut query = QueryBuilder::new("SELECT start, quarters, visitors");
        push_range(&mut query, range);
        let rows: Vec<(i64, Vec<u8>, Vec<u8>)> =
            query.build_query_as().fetch_all(&self.readers).await.map_err(store_error)?;
        rows.into_iter()
            .map(|(start, quarters, visitors)| {
                let start = Timestamp::from_micros(start);
                let start = start.ok_or_else(|| internal("a rollup lies outside all time"))?;
                Ok(RollupCounts { start, quarters, visitors })
            })
            .collect()
    }

    async fn values(
        &self,
        range: &RollupRange,
        dimension: Dimension,
    ) -> Result<Vec<RollupValues>, StoreError> {
        let mut query = QueryBuilder::new("SELECT quarters, ");
        query.push(dimension.as_str());
        push_range(&mut query, range);
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            query.build_query_as().fetch_all(&self.readers).await.map_err(store_error)?;
        Ok(rows.into_iter().map(|(quarters, values)| RollupValues { quarters, values }).collect())
    }

    async fn recount(
        &self,
        workspace_id: WorkspaceId,
        day: Day,
        is_repair: bool,
    ) -> Result<RollupCheck, StoreError> {
        recount::recount(self, workspace_id, day, is_repair).await.map_err(store_error)
    }

    async fn days(
        &self,
        workspace_id: Option<WorkspaceId>,
        first: Day,
        last: Day,
    ) -> Result<Vec<(WorkspaceId, Day)>, StoreError> {
        recount::all_days(self, workspace_id, (first, last)).await.map_err(store_error)
    }

    async fn due(&self, max: u16) -> Result<Vec<(WorkspaceId, Day)>, StoreError> {
        recount::due(self, max).await.map_err(store_error)
    }

    async fn visits(&self, scope: &ClickScope) -> Result<Vec<Visit>, StoreError> {
        // Clicks are never before 1970, so that truncation is rounding down.
        let mut query = QueryBuilder::new("SELECT c.timestamp / ");
        query.push(QUARTER_MICROS).push(" AS quarter, c.visitor_id, COUNT(*) FROM click_events c WHERE ");
        push_scope(&mut query, scope);
        push_time(&mut query, scope);
        query.push(" GROUP BY quarter, c.visitor_id");
        let rows: Vec<(i64, Option<i64>, i64)> =
            query.build_query_as().fetch_all(&self.readers).await.map_err(store_error)?;
        rows.into_iter()
            .map(|(quarter, visitor_id, clicks)| {
                let quarter = quarter.checked_mul(QUARTER_MICROS).and_then(Timestamp::from_micros);
                let quarter = quarter.ok_or_else(|| internal("a click lies outside all time"))?;
                Ok(Visit { quarter, visitor_id, clicks })
            })
            .collect()
    }
}
