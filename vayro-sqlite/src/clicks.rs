//! Writing clicks and the counters made of them.

use async_trait::async_trait;
use rusqlite::Transaction;
use uuid::Uuid;
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::day::Day;
use vayro_core::failpoint;
use vayro_core::ids::LinkId;
use vayro_core::ports::{ClickStore, StoreError, WriteError, WriteOutcome};
use vayro_core::rollup::ColumnError;
use vayro_core::stream::DeadReason;
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::error::{driver_error, write_error};
use crate::retention::NEWEST_REMOVED_MONTH;
use crate::{rollups, salts};

const RAISE_TOTALS: &str = "INSERT INTO link_totals (link_id, clicks, last_click_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (link_id) DO UPDATE
    SET clicks = clicks + excluded.clicks, last_click_at = max(last_click_at, excluded.last_click_at)";

/// A column of texts: its name, the most characters it may have, and where it comes from.
type TextColumn = (&'static str, usize, fn(&ClickRow) -> &str);

/// Every column of texts, with the lengths of the other engine's column types.
const TEXTS: [TextColumn; 19] = [
    ("domain", 253, |row| &row.domain),
    ("bot", 100, |row| &row.bot),
    ("user_agent", usize::MAX, |row| &row.user_agent),
    ("country_code", 2, |row| &row.country_code),
    ("region", 100, |row| &row.region),
    ("city", 100, |row| &row.city),
    ("device_type", 50, |row| &row.device_type),
    ("browser", 50, |row| &row.browser),
    ("os", 50, |row| &row.os),
    ("language", 16, |row| &row.language),
    ("referer", usize::MAX, |row| &row.referer),
    ("referer_host", 253, |row| &row.referer_host),
    ("ip_address", 45, |row| &row.ip_address),
    ("trigger", 8, |row| &row.trigger),
    ("utm_source", 100, |row| &row.utm_source),
    ("utm_medium", 100, |row| &row.utm_medium),
    ("utm_campaign", 100, |row| &row.utm_campaign),
    ("utm_term", 100, |row| &row.utm_term),
    ("utm_content", 100, |row| &row.utm_content),
];

/// What the other engine would find wrong with a row.
#[derive(Debug, thiserror::Error)]
enum BadClick {
    #[error("the time of click {0} is not the one inside its id")]
    Time(Uuid),
    #[error("`{0}` contains NUL")]
    Nul(&'static str),
    #[error("`{column}` is longer than {len_max} characters")]
    TooLong { column: &'static str, len_max: usize },
}

/// The click happened in a month that was removed by age.
#[derive(Debug, thiserror::Error)]
#[error("the month of click {0} was removed by age")]
pub(crate) struct RemovedMonth(Uuid);

/// SQLite keeps any text and any time; the two sets must refuse the same clicks.
fn check(row: &ClickRow) -> Result<(), BadClick> {
    if row.id.timestamp() != Some(row.timestamp) {
        return Err(BadClick::Time(row.id.as_uuid()));
    }
    for (column, len_max, text) in TEXTS {
        let text = text(row);
        if text.contains('\0') {
            return Err(BadClick::Nul(column));
        }
        // Bytes are never fewer than characters.
        if text.len() > len_max && text.chars().count() > len_max {
            return Err(BadClick::TooLong { column, len_max });
        }
    }
    Ok(())
}

/// Stores a click unless it is there.
fn insert_statement() -> String {
    let columns: Vec<&str> = ["id", "timestamp", "link_id", "workspace_id", "class", "visitor_id"]
        .into_iter()
        .chain(TEXTS.map(|(column, ..)| column))
        .collect();
    let places = vec!["?"; columns.len()].join(", ");
    format!(
        "INSERT INTO click_events ({}) VALUES ({places}) ON CONFLICT (id, timestamp) DO NOTHING",
        columns.join(", ")
    )
}

/// Stores those of the rows that are not there yet, and returns them.
fn insert<'a>(tx: &Transaction<'_>, rows: &'a [ClickRow]) -> Result<Vec<&'a ClickRow>, rusqlite::Error> {
    let mut insert = tx.prepare(&insert_statement())?;
    let mut stored = Vec::with_capacity(rows.len());
    for (number, row) in rows.iter().enumerate() {
        if number == rows.len() / 2 {
            failpoint::hit(failpoint::MID_COPY);
        }
        insert.raw_bind_parameter(1, &row.id.as_bytes()[..])?;
        insert.raw_bind_parameter(2, row.timestamp.as_micros())?;
        insert.raw_bind_parameter(3, &row.link_id.as_bytes()[..])?;
        insert.raw_bind_parameter(4, &row.workspace_id.as_bytes()[..])?;
        insert.raw_bind_parameter(5, row.class.as_str())?;
        insert.raw_bind_parameter(6, row.visitor_id)?;
        for (place, (_, _, column)) in (7..).zip(TEXTS) {
            let text = column(row);
            insert.raw_bind_parameter(place, (!text.is_empty()).then_some(text))?;
        }
        if insert.raw_execute()? > 0 {
            stored.push(row);
        }
    }
    Ok(stored)
}

/// Returns the links and times of counted clicks, sorted.
fn counted(rows: &[&ClickRow]) -> Vec<(LinkId, i64)> {
    let rows = rows.iter().filter(|row| row.class == ClickClass::Counted);
    let mut clicks: Vec<(LinkId, i64)> = rows.map(|row| (row.link_id, row.timestamp.as_micros())).collect();
    clicks.sort_unstable();
    clicks
}

fn raise_totals(tx: &Transaction<'_>, rows: &[&ClickRow]) -> Result<(), rusqlite::Error> {
    let mut raise = tx.prepare(RAISE_TOTALS)?;
    for clicks in counted(rows).chunk_by(|(a, _), (b, _)| a == b) {
        let (link_id, last) = clicks[clicks.len() - 1];
        raise.execute((&link_id.as_bytes()[..], i64::try_from(clicks.len()).unwrap_or(i64::MAX), last))?;
    }
    Ok(())
}

/// Why nothing of a batch was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteFailed {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Rollup(#[from] ColumnError),
    #[error(transparent)]
    Removed(#[from] RemovedMonth),
}

impl From<WriteFailed> for WriteError {
    fn from(failed: WriteFailed) -> Self {
        match failed {
            WriteFailed::Sqlite(error) => driver_error(error),
            // A bug or a newer program's writing, never the fault of the new clicks.
            WriteFailed::Rollup(error) => Self::Unavailable(Box::new(error)),
            WriteFailed::Removed(error) => {
                Self::Rejected { reason: DeadReason::OutOfRange, source: Box::new(error) }
            }
        }
    }
}

/// Stores rows and counts those that were not there yet.
fn write(tx: &Transaction<'_>, rows: &[ClickRow]) -> Result<WriteOutcome, WriteFailed> {
    let newest: Option<i32> = tx.query_row(NEWEST_REMOVED_MONTH, (), |row| row.get(0))?;
    let removed_until = newest.and_then(Day::from_number).map(Day::next_month);
    let is_removed = |row: &&ClickRow| removed_until.is_some_and(|until| row.timestamp < until.start());
    if let Some(row) = rows.iter().find(is_removed) {
        return Err(RemovedMonth(row.id.as_uuid()).into());
    }
    let stored = insert(tx, rows)?;
    raise_totals(tx, &stored)?;
    rollups::add(tx, &stored)?;
    let inserted = stored.len() as u64;
    Ok(WriteOutcome { inserted, duplicates: rows.len() as u64 - inserted })
}

#[async_trait]
impl ClickStore for SqliteStores {
    async fn write(&self, rows: &[ClickRow]) -> Result<WriteOutcome, WriteError> {
        if rows.is_empty() {
            return Ok(WriteOutcome::default());
        }
        for row in rows {
            check(row).map_err(|error| WriteError::Rejected {
                reason: DeadReason::Rejected,
                source: Box::new(error),
            })?;
        }
        // Whoever writes something else waits here, not for SQLite's lock.
        let _turn = self.writer.acquire().await.map_err(write_error)?;
        Ok(self.clicks.transaction(|tx| write(tx, rows))?)
    }

    /// Does nothing: the one table takes any time that was not removed by age.
    async fn ensure_partitions(&self, _from: Timestamp, _to: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn visitor_salt(
        &self,
        day: Timestamp,
        candidate: [u8; 16],
        oldest: Timestamp,
    ) -> Result<Option<[u8; 16]>, StoreError> {
        salts::visitor_salt(self, day, candidate, oldest).await
    }

    async fn delete_salts(&self, oldest: Timestamp) -> Result<u64, StoreError> {
        salts::delete_salts(self, oldest).await
    }
}
