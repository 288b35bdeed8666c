//! Click rows and the counters made of them.
//!
//! The fast path copies rows in binary form straight into `click_events`. If one of them is there
//! already, the batch is undone and done again through a temporary table that leaves out what is
//! there. Both paths raise the counters by the rows really stored, in the same transaction.
//!
//! Two workers may write the same rows at once. They cannot block each other for good: rows are
//! stored in the order of their ids and counters in the order of their links, in every transaction.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection, PgTransaction};
use uuid::Uuid;
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::failpoint;
use vayro_core::ports::{ClickStore, StoreError, WriteError, WriteOutcome};
use vayro_core::stream::DeadReason;
use vayro_core::timestamp::Timestamp;

use crate::copy::{HEADER, TRAILER, click_columns, push_row};
use crate::database::PgStores;
use crate::error::{is_duplicate, write_error};
use crate::instant::Instant;
use crate::{months, rollups, salts};

/// Bytes of a batch framed before they are sent: the server works on one piece while the next is framed.
const PIECE_LEN: usize = 128 * 1024;

/// The row's time is not the one inside its id; storing it would let the same click in twice.
#[derive(Debug, thiserror::Error)]
#[error("the timestamp is not the one that the click's id carries")]
struct ForeignTimestamp;

/// Where rows are copied to.
const COPY_CLICKS: &str = concat!("COPY click_events (", click_columns!(), ") FROM STDIN (FORMAT binary)");

/// Gone with its transaction, so that it also works behind a pooler.
const CREATE_STAGING: &str =
    "CREATE TEMPORARY TABLE click_staging (LIKE click_events INCLUDING DEFAULTS) ON COMMIT DROP";

const COPY_STAGING: &str = concat!("COPY click_staging (", click_columns!(), ") FROM STDIN (FORMAT binary)");

/// Stores what is not there yet and gives its ids.
const STORE_STAGED: &str = concat!(
    "INSERT INTO click_events (",
    click_columns!(),
    ") SELECT ",
    click_columns!(),
    " FROM click_staging ORDER BY id, timestamp ON CONFLICT DO NOTHING RETURNING id"
);

const RAISE_TOTALS: &str = "INSERT INTO link_totals (link_id, clicks, last_click_at)
     SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[])
     ON CONFLICT (link_id) DO UPDATE
     SET clicks = link_totals.clicks + excluded.clicks,
         last_click_at = GREATEST(link_totals.last_click_at, excluded.last_click_at)";

/// Copies rows; the connection is usable afterwards, in a failed transaction if this failed.
async fn copy(connection: &mut PgConnection, statement: &str, rows: &[&ClickRow]) -> Result<(), sqlx::Error> {
    let mut copy = connection.copy_in_raw(statement).await?;
    let mut piece = Vec::with_capacity(PIECE_LEN + 4096);
    piece.extend_from_slice(HEADER);
    for (index, row) in rows.iter().enumerate() {
        if failpoint::ENABLED && index == rows.len() / 2 {
            copy.send(piece.as_slice()).await?;
            piece.clear();
            failpoint::hit(failpoint::MID_COPY);
        }
        push_row(&mut piece, row);
        if piece.len() >= PIECE_LEN {
            // A refused row shows at `finish`; an error here is a lost connection.
            copy.send(piece.as_slice()).await?;
            piece.clear();
        }
    }
    piece.extend_from_slice(&TRAILER);
    copy.send(piece.as_slice()).await?;
    copy.finish().await.map(drop)
}

/// Raises the counters by rows that are new and distinct.
async fn raise_totals(connection: &mut PgConnection, rows: &[&ClickRow]) -> Result<(), sqlx::Error> {
    let mut totals: HashMap<Uuid, (i64, Timestamp)> = HashMap::new();
    for row in rows.iter().filter(|row| row.class == ClickClass::Counted) {
        let (clicks, newest) = totals.entry(row.link_id.as_uuid()).or_insert((0, row.timestamp));
        *clicks += 1;
        *newest = row.timestamp.max(*newest);
    }
    if totals.is_empty() {
        return Ok(());
    }
    let mut totals: Vec<(Uuid, (i64, Timestamp))> = totals.into_iter().collect();
    totals.sort_unstable_by_key(|(link, _)| *link);
    let links: Vec<Uuid> = totals.iter().map(|(link, _)| *link).collect();
    let clicks: Vec<i64> = totals.iter().map(|(_, (clicks, _))| *clicks).collect();
    let newest: Vec<Instant> = totals.iter().map(|(_, (_, newest))| Instant(*newest)).collect();
    sqlx::query(RAISE_TOTALS).bind(links).bind(clicks).bind(newest).execute(connection).await.map(drop)
}

/// Adds rows that were just stored to everything that is made of them.
async fn count(connection: &mut PgConnection, rows: &[&ClickRow]) -> Result<(), sqlx::Error> {
    raise_totals(connection, rows).await?;
    rollups::add(connection, rows).await
}

/// Stores rows none of which may be there yet.
async fn write_new(tx: &mut PgTransaction<'_>, rows: &[&ClickRow]) -> Result<u64, sqlx::Error> {
    copy(tx, COPY_CLICKS, rows).await?;
    count(tx, rows).await?;
    Ok(rows.len() as u64)
}

/// Stores those of the rows that are not there yet.
async fn write_staged(tx: &mut PgTransaction<'_>, rows: &[&ClickRow]) -> Result<u64, sqlx::Error> {
    sqlx::query(CREATE_STAGING).persistent(false).execute(&mut **tx).await?;
    copy(tx, COPY_STAGING, rows).await?;
    // The staging table is another one each time; a kept plan would be about one that is gone.
    let stored: HashSet<Uuid> =
        sqlx::query_scalar(STORE_STAGED).persistent(false).fetch_all(&mut **tx).await?.into_iter().collect();
    let stored: Vec<&ClickRow> =
        rows.iter().copied().filter(|row| stored.contains(&row.id.as_uuid())).collect();
    count(tx, &stored).await?;
    Ok(stored.len() as u64)
}

async fn commit(tx: PgTransaction<'_>) -> Result<(), sqlx::Error> {
    failpoint::hit(failpoint::BEFORE_COMMIT);
    tx.commit().await?;
    failpoint::hit(failpoint::AFTER_COMMIT);
    Ok(())
}

/// Stores rows; returns how many were new.
async fn write(connection: &mut PgConnection, rows: &[&ClickRow]) -> Result<u64, sqlx::Error> {
    let mut tx = connection.begin().await?;
    match write_new(&mut tx, rows).await {
        Err(error) if is_duplicate(&error) => tx.rollback().await?,
        Err(error) => return Err(error),
        Ok(stored) => {
            commit(tx).await?;
            return Ok(stored);
        }
    }
    tracing::debug!(rows = rows.len(), "clicks came again, storing the new ones");
    let mut tx = connection.begin().await?;
    let stored = write_staged(&mut tx, rows).await?;
    commit(tx).await?;
    Ok(stored)
}

/// Returns the rows in the order of their ids, each id once.
fn distinct(rows: &[ClickRow]) -> Vec<&ClickRow> {
    let mut distinct: Vec<&ClickRow> = rows.iter().collect();
    // Stable, so that of two rows with one id the first stays. Batches are nearly sorted already.
    distinct.sort_by_key(|row| row.id);
    distinct.dedup_by_key(|row| row.id);
    distinct
}

#[async_trait]
impl ClickStore for PgStores {
    async fn write(&self, rows: &[ClickRow]) -> Result<WriteOutcome, WriteError> {
        if rows.is_empty() {
            return Ok(WriteOutcome::default());
        }
        if rows.iter().any(|row| row.id.timestamp() != Some(row.timestamp)) {
            return Err(WriteError::Rejected {
                reason: DeadReason::Rejected,
                source: Box::new(ForeignTimestamp),
            });
        }
        let distinct = distinct(rows);
        let work = async |connection: &mut PgConnection| Ok(write(connection, &distinct).await?);
        let inserted = self.lend(self.work_timeout(), work).await.map_err(write_error)?;
        Ok(WriteOutcome { inserted, duplicates: rows.len() as u64 - inserted })
    }

    async fn ensure_partitions(&self, from: Timestamp, to: Timestamp) -> Result<(), StoreError> {
        months::ensure(self, from, to).await
    }

    async fn visitor_salt(
        &self,
        day: Timestamp,
        candidate: [u8; 16],
        oldest: Timestamp,
    ) -> Result<Option<[u8; 16]>, StoreError> {
        self.within(async |connection| salts::find_or_store(connection, day, candidate, oldest).await).await
    }

    async fn delete_salts(&self, oldest: Timestamp) -> Result<u64, StoreError> {
        self.within(async |connection| salts::delete(connection, oldest).await).await
    }
}
