//! Rollups: kept by the transaction that stores the clicks, and read for charts.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use vayro_core::analytics::{ClickScope, Dimension};
use vayro_core::click::ClickRow;
use vayro_core::day::Day;
use vayro_core::ids::WorkspaceId;
use vayro_core::ports::{RollupCounts, RollupRange, RollupStore, RollupValues, StoreError, Visit};
use vayro_core::rollup::{ColumnError, Gain, QUARTER_MICROS, Rollup, RollupCheck, RollupKey, gains};
use vayro_core::timestamp::Timestamp;

use crate::analytics::{push_scope, push_time};
use crate::clicks::pieces;
use crate::database::SqliteStores;
use crate::error::{internal, store_error};
use crate::recount;

/// The byte columns in the order in which they are bound: quarters, visitors, those of the day,
/// [`Dimension::ALL`].
macro_rules! byte_columns {
    () => {
        "quarters, visitors, day_visitors, country, region, city, device, browser, os, language, referrer, \
         link, domain, trigger, utm_source, utm_medium, utm_campaign, utm_term, utm_content"
    };
}

/// What a rollup that is there becomes.
const UPDATE: &str = concat!(
    " ON CONFLICT (subject_id, span, start, slot) DO UPDATE SET (",
    byte_columns!(),
    ") = (excluded.quarters, excluded.visitors, excluded.day_visitors, excluded.country, excluded.region,
          excluded.city, excluded.device, excluded.browser, excluded.os, excluded.language, excluded.referrer,
          excluded.link, excluded.domain, excluded.trigger, excluded.utm_source, excluded.utm_medium,
          excluded.utm_campaign, excluded.utm_term, excluded.utm_content)"
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
    let gains: Vec<(RollupKey, Gain<'_>)> = gains(rows.iter().copied()).into_iter().collect();
    for piece in pieces(&gains) {
        let mut sums = find(connection, piece).await?;
        for ((_, gain), sum) in piece.iter().zip(&mut sums) {
            sum.add(gain).map_err(damaged)?;
        }
        let keys = piece.iter().map(|(key, _)| *key);
        replace(connection, &keys.zip(sums).collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// Returns what is stored under each key, in the order of the keys; empty where nothing is.
async fn find(
    connection: &mut SqliteConnection,
    wanted: &[(RollupKey, Gain<'_>)],
) -> Result<Vec<Rollup>, sqlx::Error> {
    let mut query = QueryBuilder::new("WITH wanted (number, subject_id, span, start) AS (");
    query.push_values((0_i64..).zip(wanted), |mut values, (number, (key, _))| {
        values.push_bind(number);
        values.push_bind(key.subject.as_uuid());
        values.push_bind(key.span.as_str());
        values.push_bind(key.start.as_micros());
    });
    query.push(concat!(
        ") SELECT wanted.number, ",
        byte_columns!(),
        // A cross join is done in the order it is written in.
        " FROM wanted CROSS JOIN click_rollups AS stored
          WHERE stored.subject_id = wanted.subject_id AND stored.span = wanted.span
              AND stored.start = wanted.start AND stored.slot = 0"
    ));
    let rows: Vec<SqliteRow> = query.build().fetch_all(connection).await?;
    let mut found = vec![Rollup::default(); wanted.len()];
    for row in &rows {
        let number: i64 = row.try_get(0)?;
        if let Some(place) = usize::try_from(number).ok().and_then(|number| found.get_mut(number)) {
            *place = rollup(row, 1)?;
        }
    }
    Ok(found)
}

/// Stores rollups in place of what is there.
pub(crate) async fn replace(
    connection: &mut SqliteConnection,
    rollups: &[(RollupKey, Rollup)],
) -> Result<(), sqlx::Error> {
    for piece in pieces(rollups) {
        let mut query = QueryBuilder::new(concat!(
            "INSERT INTO click_rollups (subject_id, span, start, slot, workspace_id, ",
            byte_columns!(),
            ") "
        ));
        query.push_values(piece, |mut values, (key, rollup)| {
            values.push_bind(key.subject.as_uuid());
            values.push_bind(key.span.as_str());
            values.push_bind(key.start.as_micros());
            values.push_bind(0_i64);
            values.push_bind(key.workspace_id.as_uuid());
            for column in [&rollup.quarters, &rollup.visitors, &rollup.day_visitors] {
                values.push_bind(column.as_slice());
            }
            for column in &rollup.values {
                values.push_bind(column.as_slice());
            }
        });
        query.push(UPDATE);
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Reads the byte columns from the one numbered `first` on.
pub(crate) fn rollup(row: &SqliteRow, first: usize) -> Result<Rollup, sqlx::Error> {
    let mut rollup = Rollup {
        quarters: row.try_get(first)?,
        visitors: row.try_get(first + 1)?,
        day_visitors: row.try_get(first + 2)?,
        ..Rollup::default()
    };
    for (number, column) in rollup.values.iter_mut().enumerate() {
        *column = row.try_get(first + 3 + number)?;
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
    async fn counts(
        &self,
        range: &RollupRange,
        hourly: &[Timestamp],
    ) -> Result<Vec<RollupCounts>, StoreError> {
        let mut query = QueryBuilder::new("SELECT start, quarters, CASE WHEN day_visitors = x''");
        // There may be more instants than a statement has places for values.
        query.push(" OR start IN (SELECT value FROM json_each(");
        let hourly: Vec<i64> = hourly.iter().map(|at| at.as_micros()).collect();
        query.push_bind(sqlx::types::Json(hourly));
        query.push(")) THEN visitors ELSE x'' END AS visitors, day_visitors");
        push_range(&mut query, range);
        let rows: Vec<(i64, Vec<u8>, Vec<u8>, Vec<u8>)> =
            query.build_query_as().fetch_all(&self.readers).await.map_err(store_error)?;
        rows.into_iter()
            .map(|(start, quarters, visitors, day_visitors)| {
                let start = Timestamp::from_micros(start);
                let start = start.ok_or_else(|| internal("a rollup lies outside all time"))?;
                Ok(RollupCounts { start, quarters, visitors, day_visitors })
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
