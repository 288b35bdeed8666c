//! Rollups: kept by the transaction that stores the clicks, and read for charts.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Transaction};
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
use crate::clicks::WriteFailed;
use crate::database::SqliteStores;
use crate::error::{internal, store_error};
use crate::{outdated, parts, recount, weeks};

/// The byte columns in the order in which they are bound: quarters, visitors, those of the day,
/// [`Dimension::ALL`].
macro_rules! byte_columns {
    () => {
        "quarters, visitors, day_visitors, country, region, city, device, browser, os, language, referrer, \
         link, domain, trigger, utm_source, utm_medium, utm_campaign, utm_term, utm_content"
    };
}
pub(crate) use byte_columns;

/// The lengths of rollups that lie within a day; weeks do not. Whatever removes or reads a whole day goes by this list.
macro_rules! spans_of_a_day {
    () => {
        "'hour', 'day', 'busyhour', 'quarter'"
    };
}
pub(crate) use spans_of_a_day;

/// What a rollup that is there becomes.
const ON_CONFLICT: &str = concat!(
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
    " FROM click_rollups WHERE workspace_id = ?1 AND start >= ?2 AND start < ?3 AND span IN (",
    spans_of_a_day!(),
    ")"
);

/// Rollups per statement, largest first. Few sizes, so that the statements stay prepared whatever the
/// batch; the largest stays far below SQLite's limit of 32,766 parameters.
const PIECES: [usize; 3] = [100, 10, 1];

/// A rollup that is there, with its row's number.
pub(crate) const FIND: &str = concat!(
    "SELECT rowid, ",
    byte_columns!(),
    " FROM click_rollups WHERE subject_id = ?1 AND span = ?2 AND start = ?3 AND slot = 0"
);

const INSERT: &str = concat!(
    "INSERT INTO click_rollups (",
    byte_columns!(),
    ", subject_id, span, start, workspace_id, slot)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
);

const UPDATE: &str = concat!(
    "UPDATE click_rollups SET (",
    byte_columns!(),
    ") = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE rowid = ?"
);

/// Adds what new rows gain each link and workspace; the transaction holds the file's only write lock.
pub(crate) fn add(tx: &Transaction<'_>, rows: &[&ClickRow]) -> Result<(), WriteFailed> {
    let gains = gains(rows.iter().copied());
    outdated::remove(tx, &gains)?;
    let mut find = tx.prepare(FIND)?;
    let mut insert = tx.prepare(INSERT)?;
    let mut update = tx.prepare(UPDATE)?;
    for (key, gain) in gains {
        let (subject, span, start) = (key.subject.as_uuid(), key.span.as_str(), key.start.as_micros());
        let stored = find.query_row((&subject.as_bytes()[..], span, start), stored_rollup).optional()?;
        if let Some((rowid, mut sum)) = stored {
            sum.add(&gain)?;
            let next = bind_columns(&mut update, &sum)?;
            update.raw_bind_parameter(next, rowid)?;
            update.raw_execute()?;
        } else {
            let mut sum = Rollup::default();
            sum.add(&gain)?;
            let next = bind_columns(&mut insert, &sum)?;
            insert.raw_bind_parameter(next, &subject.as_bytes()[..])?;
            insert.raw_bind_parameter(next + 1, span)?;
            insert.raw_bind_parameter(next + 2, start)?;
            insert.raw_bind_parameter(next + 3, &key.workspace_id.as_bytes()[..])?;
            insert.raw_execute()?;
        }
    }
    Ok(())
}

/// Reads what [`FIND`] found.
fn stored_rollup(row: &rusqlite::Row<'_>) -> Result<(i64, Rollup), rusqlite::Error> {
    let column = |place: usize| Ok::<_, rusqlite::Error>(row.get_ref(place)?.as_blob()?.to_vec());
    let mut rollup =
        Rollup { quarters: column(1)?, visitors: column(2)?, day_visitors: column(3)?, ..Rollup::default() };
    for (place, values) in (4..).zip(&mut rollup.values) {
        *values = column(place)?;
    }
    Ok((row.get(0)?, rollup))
}

/// Binds the byte columns as the first values of a statement and returns the place behind them.
fn bind_columns(statement: &mut rusqlite::Statement<'_>, rollup: &Rollup) -> Result<usize, rusqlite::Error> {
    let columns = [&rollup.quarters, &rollup.visitors, &rollup.day_visitors];
    let mut place = 1;
    for column in columns.into_iter().chain(&rollup.values) {
        statement.raw_bind_parameter(place, column.as_slice())?;
        place += 1;
    }
    Ok(place)
}

/// Cuts rollups into pieces of the sizes of [`PIECES`].
fn pieces<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = PIECES.into_iter().find(|size| *size <= items.len())?;
        let (piece, rest) = items.split_at(size);
        items = rest;
        Some(piece)
    })
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
        query.push(ON_CONFLICT);
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

/// Appends the condition that keeps the rollups of `range`. The plus keeps the planner from the index of whole
/// workspaces, which would read the rollups of every link.
fn push_range(query: &mut QueryBuilder<Sqlite>, range: &RollupRange) {
    let pieces: Vec<(i64, i64)> =
        range.pieces.iter().map(|(from, to)| (from.as_micros(), to.as_micros())).collect();
    query.push(" FROM json_each(").push_bind(sqlx::types::Json(pieces));
    query.push(") AS piece CROSS JOIN click_rollups r WHERE r.subject_id = ");
    query.push_bind(range.subject.as_uuid());
    query.push(" AND +r.workspace_id = ").push_bind(range.workspace_id.as_uuid());
    query.push(" AND r.span = ").push_bind(range.span.as_str());
    query.push(" AND r.start >= piece.value ->> 0 AND r.start < piece.value ->> 1");
}

fn instant(start: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_micros(start).ok_or_else(|| internal("a rollup lies outside all time"))
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
                Ok(RollupCounts { start: instant(start)?, quarters, visitors, day_visitors })
            })
            .collect()
    }

    async fn values(
        &self,
        range: &RollupRange,
        dimension: Dimension,
    ) -> Result<Vec<RollupValues>, StoreError> {
        let mut query = QueryBuilder::new("SELECT start, quarters, ");
        query.push(dimension.as_str());
        push_range(&mut query, range);
        let rows: Vec<(i64, Vec<u8>, Vec<u8>)> =
            query.build_query_as().fetch_all(&self.readers).await.map_err(store_error)?;
        rows.into_iter()
            .map(|(start, quarters, values)| Ok(RollupValues { start: instant(start)?, quarters, values }))
            .collect()
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

    async fn roll_up_weeks(&self, from: Timestamp, to: Timestamp, max: u16) -> Result<u64, StoreError> {
        weeks::roll_up(self, (from, to), max).await.map_err(store_error)
    }

    async fn roll_up_parts(&self, from: Timestamp, to: Timestamp) -> Result<u64, StoreError> {
        parts::roll_up(self, None, (from, to)).await.map_err(store_error)
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
