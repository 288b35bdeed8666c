//! Rollups: kept by the transaction that stores the clicks, and read for charts.
//!
//! Every writer has a slot to itself until it commits, so that nobody else changes what it read, and writers
//! of busy links and workspaces do not wait for each other's commits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, QueryBuilder, Row as _};
use uuid::Uuid;
use vayro_core::analytics::{ClickScope, Dimension};
use vayro_core::click::ClickRow;
use vayro_core::day::Day;
use vayro_core::ids::WorkspaceId;
use vayro_core::ports::{RollupCounts, RollupRange, RollupStore, RollupValues, StoreError, Visit};
use vayro_core::rollup::{ColumnError, Gain, QUARTER_MICROS, Rollup, RollupCheck, RollupKey, gains};
use vayro_core::timestamp::Timestamp;

use crate::analytics::push_scope;
use crate::database::PgStores;
use crate::error::{internal, store_error};
use crate::instant::Instant;
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

/// How long counting a day again may take.
const RECOUNT_TIMEOUT: Duration = Duration::from_mins(30);

/// How many byte columns there are.
const BYTE_COLUMNS: usize = 3 + Dimension::ALL.len();

/// Finds those of the named rollups that are there.
const FIND: &str = concat!(
    "SELECT wanted.number, ",
    byte_columns!(),
    " FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) WITH ORDINALITY
          AS wanted (subject_id, span, start, number)
      JOIN click_rollups USING (subject_id, span, start)
      WHERE slot = $4"
);

/// Every rollup of a workspace and its links that begins on a day.
pub(crate) const OF_DAY: &str = concat!(
    "SELECT subject_id, span, start, ",
    byte_columns!(),
    " FROM click_rollups WHERE workspace_id = $1 AND start >= $2 AND start < $3 AND span IN (",
    spans_of_a_day!(),
    ")"
);

/// Rollups in memory at one time while clicks are added to them. They grow with the clicks of their day, so a batch's
/// all at once would have no limit.
const ADD_BATCH: usize = 1_000;

/// Rollups inserted by one statement when a day is counted again.
const INSERT_BATCH: usize = 1_000;

/// Stores rollups in place of what is there.
const REPLACE: &str = concat!(
    "INSERT INTO click_rollups (slot, subject_id, span, start, workspace_id, ",
    byte_columns!(),
    ") SELECT $24, new.* FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[], $5::bytea[],
          $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[],
          $13::bytea[], $14::bytea[], $15::bytea[], $16::bytea[], $17::bytea[], $18::bytea[], $19::bytea[],
          $20::bytea[], $21::bytea[], $22::bytea[], $23::bytea[]) AS new
      ON CONFLICT (subject_id, span, start, slot) DO UPDATE SET (",
    byte_columns!(),
    ") = ROW (excluded.quarters, excluded.visitors, excluded.day_visitors, excluded.country, excluded.region,
          excluded.city, excluded.device, excluded.browser, excluded.os, excluded.language, excluded.referrer,
          excluded.link, excluded.domain, excluded.trigger, excluded.utm_source, excluded.utm_medium,
          excluded.utm_campaign, excluded.utm_term, excluded.utm_content)"
);

/// Reads the byte columns from the one numbered `first` on.
pub(crate) fn rollup(row: &PgRow, first: usize) -> Result<Rollup, sqlx::Error> {
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

/// Rollups by column, as the statements take them.
#[derive(Default)]
struct Columns {
    subjects: Vec<Uuid>,
    spans: Vec<&'static str>,
    starts: Vec<Instant>,
    workspaces: Vec<Uuid>,
    bytes: [Vec<Vec<u8>>; BYTE_COLUMNS],
}

impl Columns {
    fn push_key(&mut self, key: &RollupKey) {
        self.subjects.push(key.subject.as_uuid());
        self.spans.push(key.span.as_str());
        self.starts.push(Instant(key.start));
        self.workspaces.push(key.workspace_id.as_uuid());
    }

    fn push(&mut self, key: &RollupKey, rollup: Rollup) {
        self.push_key(key);
        let first = [rollup.quarters, rollup.visitors, rollup.day_visitors];
        let columns = first.into_iter().chain(rollup.values);
        for (list, column) in self.bytes.iter_mut().zip(columns) {
            list.push(column);
        }
    }

    async fn store(self, connection: &mut PgConnection, slot: i16) -> Result<(), sqlx::Error> {
        let mut query =
            sqlx::query(REPLACE).bind(self.subjects).bind(self.spans).bind(self.starts).bind(self.workspaces);
        for column in self.bytes {
            query = query.bind(column);
        }
        query.bind(slot).execute(connection).await.map(drop)
    }
}

/// Slots of writers; more writers at once than this wait for each other.
const SLOTS: i16 = 8;

/// First number of the advisory locks of slots; the second one is the slot: `Vayr`.
const SLOT_LOCKS: i32 = 0x5661_7972;

/// Takes a slot that nobody else has until the end of the transaction. Should all be taken, it waits for the
/// one that the transaction's own number falls on.
async fn take_slot(connection: &mut PgConnection) -> Result<i16, sqlx::Error> {
    let free: Option<i16> = sqlx::query_scalar(
        "SELECT slot::smallint FROM generate_series(0, $1 - 1) AS slot
         WHERE pg_try_advisory_xact_lock($2, slot) LIMIT 1",
    )
    .bind(i32::from(SLOTS))
    .bind(SLOT_LOCKS)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(slot) = free {
        return Ok(slot);
    }
    sqlx::query_scalar(
        "SELECT own.slot::smallint FROM (SELECT pg_backend_pid() % $1 AS slot) AS own,
             LATERAL (SELECT pg_advisory_xact_lock($2, own.slot)) AS waited",
    )
    .bind(i32::from(SLOTS))
    .bind(SLOT_LOCKS)
    .fetch_one(connection)
    .await
}

/// The advisory lock that writers share and a recount has alone. Two days with one number only wait for
/// each other.
fn day_lock(workspace_id: WorkspaceId, day: Day) -> i64 {
    let (high, low) = workspace_id.as_uuid().as_u64_pair();
    (high ^ low.rotate_left(32)).cast_signed() ^ i64::from(day.number())
}

/// The locks of days in the order in which everybody takes them, so that nobody waits in a circle.
fn day_locks(days: &BTreeSet<(WorkspaceId, Day)>) -> Vec<i64> {
    let mut locks: Vec<i64> = days.iter().map(|(workspace_id, day)| day_lock(*workspace_id, *day)).collect();
    locks.sort_unstable();
    locks.dedup();
    locks
}

/// Waits for everybody who writes clicks of the days and keeps others from them until the transaction ends.
pub(crate) async fn shut_out_writers(
    connection: &mut PgConnection,
    days: &BTreeSet<(WorkspaceId, Day)>,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(day) FROM unnest($1::bigint[]) AS day")
        .bind(day_locks(days))
        .execute(connection)
        .await
        .map(drop)
}

/// Waits for whoever counts one of the days again and keeps others from it until the transaction ends, but not
/// those who stand beside writers, too.
pub(crate) async fn stand_beside_writers(
    connection: &mut PgConnection,
    days: &BTreeSet<(WorkspaceId, Day)>,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock_shared(day) FROM unnest($1::bigint[]) AS day")
        .bind(day_locks(days))
        .execute(connection)
        .await
        .map(drop)
}

/// Inserts rollups none of which is there.
pub(crate) async fn insert_all(
    connection: &mut PgConnection,
    rollups: BTreeMap<RollupKey, Rollup>,
) -> Result<(), sqlx::Error> {
    let mut rollups = rollups.into_iter().peekable();
    while rollups.peek().is_some() {
        let mut columns = Columns::default();
        for (key, rollup) in rollups.by_ref().take(INSERT_BATCH) {
            columns.push(&key, rollup);
        }
        columns.store(connection, 0).await?;
    }
    Ok(())
}

/// Adds what new rows gain each link and workspace, in the current transaction.
pub(crate) async fn add(connection: &mut PgConnection, rows: &[&ClickRow]) -> Result<(), sqlx::Error> {
    let gains = gains(rows.iter().copied());
    if gains.is_empty() {
        return Ok(());
    }
    let days = gains.iter().map(|(key, _)| (key.workspace_id, Day::of(key.start))).collect();
    stand_beside_writers(connection, &days).await?;
    outdated::remove(connection, &gains).await?;
    let slot = take_slot(connection).await?;
    for gains in gains.chunks(ADD_BATCH) {
        let stored = find(connection, slot, gains).await?;
        let mut sums = Columns::default();
        for ((key, gain), stored) in gains.iter().zip(stored) {
            let mut rollup = stored.unwrap_or_default();
            rollup.add(gain).map_err(damaged)?;
            sums.push(key, rollup);
        }
        sums.store(connection, slot).await?;
    }
    Ok(())
}

/// Returns what the slot holds under each key, in the order of the keys.
async fn find(
    connection: &mut PgConnection,
    slot: i16,
    gains: &[(RollupKey, Gain<'_>)],
) -> Result<Vec<Option<Rollup>>, sqlx::Error> {
    let mut wanted = Columns::default();
    for (key, _) in gains {
        wanted.push_key(key);
    }
    let rows = sqlx::query(FIND)
        .bind(wanted.subjects)
        .bind(wanted.spans)
        .bind(wanted.starts)
        .bind(slot)
        .fetch_all(connection)
        .await?;
    let mut found = vec![None; gains.len()];
    for row in &rows {
        let number: i64 = row.try_get(0)?;
        // Ordinals count from 1.
        let place = usize::try_from(number - 1).ok().and_then(|number| found.get_mut(number));
        if let Some(place) = place {
            *place = Some(rollup(row, 1)?);
        }
    }
    Ok(found)
}

/// What is stored cannot be read: a bug or a newer program's writing, never the fault of the new clicks.
pub(crate) fn damaged(error: ColumnError) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// Appends the condition that keeps the rollups of `range`. The workspace is compared apart: the planner would
/// take the index of whole workspaces for it and read the rollups of every link.
fn push_range(query: &mut QueryBuilder<sqlx::Postgres>, range: &RollupRange) {
    let (from, to): (Vec<Instant>, Vec<Instant>) =
        range.pieces.iter().map(|(from, to)| (Instant(*from), Instant(*to))).unzip();
    query.push(" FROM unnest(").push_bind(from).push("::timestamptz[], ").push_bind(to);
    query.push("::timestamptz[]) AS piece (first, past), LATERAL (SELECT * FROM click_rollups");
    query.push(" WHERE subject_id = ").push_bind(range.subject.as_uuid());
    query.push(" AND span = ").push_bind(range.span.as_str());
    query.push(" AND start >= piece.first AND start < piece.past OFFSET 0) AS found WHERE workspace_id = ");
    query.push_bind(range.workspace_id.as_uuid());
}

#[async_trait]
impl RollupStore for PgStores {
    async fn counts(
        &self,
        range: &RollupRange,
        hourly: &[Timestamp],
    ) -> Result<Vec<RollupCounts>, StoreError> {
        let mut query =
            QueryBuilder::new("SELECT start, quarters, CASE WHEN day_visitors = '' OR start = ANY(");
        query.push_bind(hourly.iter().copied().map(Instant).collect::<Vec<_>>());
        query.push(") THEN visitors ELSE '' END, day_visitors");
        push_range(&mut query, range);
        self.within(async |connection| {
            let rows: Vec<(Instant, Vec<u8>, Vec<u8>, Vec<u8>)> =
                query.build_query_as().fetch_all(connection).await?;
            let counts = |(start, quarters, visitors, day_visitors): (Instant, _, _, _)| RollupCounts {
                start: start.0,
                quarters,
                visitors,
                day_visitors,
            };
            Ok(rows.into_iter().map(counts).collect())
        })
        .await
    }

    async fn values(
        &self,
        range: &RollupRange,
        dimension: Dimension,
    ) -> Result<Vec<RollupValues>, StoreError> {
        let mut query = QueryBuilder::new("SELECT start, quarters, ");
        query.push(dimension.as_str());
        push_range(&mut query, range);
        self.within(async |connection| {
            let rows: Vec<(Instant, Vec<u8>, Vec<u8>)> = query.build_query_as().fetch_all(connection).await?;
            let values = |(start, quarters, values): (Instant, _, _)| RollupValues {
                start: start.0,
                quarters,
                values,
            };
            Ok(rows.into_iter().map(values).collect())
        })
        .await
    }

    async fn recount(
        &self,
        workspace_id: WorkspaceId,
        day: Day,
        is_repair: bool,
    ) -> Result<RollupCheck, StoreError> {
        let work = async |connection: &mut PgConnection| {
            recount::recount(connection, workspace_id, day, is_repair).await
        };
        self.lend(RECOUNT_TIMEOUT, work).await.map_err(store_error)
    }

    async fn days(
        &self,
        workspace_id: Option<WorkspaceId>,
        first: Day,
        last: Day,
    ) -> Result<Vec<(WorkspaceId, Day)>, StoreError> {
        let work = async |connection: &mut PgConnection| {
            recount::all_days(connection, workspace_id, (first, last)).await
        };
        self.lend(RECOUNT_TIMEOUT, work).await.map_err(store_error)
    }

    async fn due(&self, max: u16) -> Result<Vec<(WorkspaceId, Day)>, StoreError> {
        self.within(async |connection| {
            let found = sqlx::query_as(
                "SELECT workspace_id, day FROM rollup_recounts ORDER BY day, workspace_id LIMIT $1",
            )
            .bind(i32::from(max))
            .fetch_all(connection)
            .await?;
            Ok(recount::days(found))
        })
        .await
    }

    async fn roll_up_weeks(&self, from: Timestamp, to: Timestamp, max: u16) -> Result<u64, StoreError> {
        let work = async |connection: &mut PgConnection| weeks::roll_up(connection, (from, to), max).await;
        self.lend(RECOUNT_TIMEOUT, work).await.map_err(store_error)
    }

    async fn roll_up_parts(&self, from: Timestamp, to: Timestamp) -> Result<u64, StoreError> {
        let work = async |connection: &mut PgConnection| parts::roll_up(connection, None, (from, to)).await;
        self.lend(RECOUNT_TIMEOUT, work).await.map_err(store_error)
    }

    async fn visits(&self, scope: &ClickScope) -> Result<Vec<Visit>, StoreError> {
        let mut query = QueryBuilder::new("SELECT (extract(epoch FROM timestamp) * 1000000)::bigint / ");
        query.push_bind(QUARTER_MICROS).push(", visitor_id, count(*)");
        push_scope(&mut query, scope);
        query.push(" GROUP BY 1, 2");
        self.within(async |connection| {
            let rows: Vec<(i64, Option<i64>, i64)> = query.build_query_as().fetch_all(connection).await?;
            rows.into_iter()
                .map(|(quarter, visitor_id, clicks)| {
                    let quarter = quarter.checked_mul(QUARTER_MICROS).and_then(Timestamp::from_micros);
                    let quarter = quarter.ok_or_else(|| internal("a click lies outside all time"))?;
                    Ok(Visit { quarter, visitor_id, clicks })
                })
                .collect::<Result<_, StoreError>>()
                .map_err(Into::into)
        })
        .await
    }
}
