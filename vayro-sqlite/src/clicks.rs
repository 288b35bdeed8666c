//! Writing clicks and the counters made of them.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite};
use uuid::Uuid;
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::failpoint;
use vayro_core::ports::{ClickStore, StoreError, WriteError, WriteOutcome};
use vayro_core::stream::DeadReason;
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::error::write_error;
use crate::{rollups, salts};

/// Rows per statement, largest first. Few sizes, so that the statements stay prepared whatever the
/// batch; the largest stays far below SQLite's limit of 32,766 parameters.
const PIECES: [usize; 3] = [100, 10, 1];

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

/// Cuts a batch into pieces of the sizes of [`PIECES`].
pub(crate) fn pieces<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = PIECES.into_iter().find(|size| *size <= items.len())?;
        let (piece, rest) = items.split_at(size);
        items = rest;
        Some(piece)
    })
}

fn insert_clicks(rows: &[ClickRow]) -> QueryBuilder<Sqlite> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut query = QueryBuilder::new(
        "INSERT INTO click_events (id, timestamp, link_id, workspace_id, class, visitor_id",
    );
    for (column, ..) in TEXTS {
        query.push(", ").push(column);
    }
    query.push(") ");
    query.push_values(rows, |mut values, row| {
        values.push_bind(row.id.as_uuid());
        values.push_bind(row.timestamp.as_micros());
        values.push_bind(row.link_id.as_uuid());
        values.push_bind(row.workspace_id.as_uuid());
        values.push_bind(row.class.as_str());
        values.push_bind(row.visitor_id);
        for (_, _, column) in TEXTS {
            values.push_bind(text(column(row)));
        }
    });
    query.push(" ON CONFLICT (id, timestamp) DO NOTHING RETURNING id");
    query
}

/// A link with what it gained: clicks, and the microseconds of the newest.
type Gain = (Uuid, (i64, i64));

/// Returns what each link gained, sorted by link.
fn gains_of(rows: &[&ClickRow]) -> Vec<Gain> {
    let mut gains: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.class == ClickClass::Counted) {
        let timestamp = row.timestamp.as_micros();
        let (clicks, last) = gains.entry(row.link_id.as_uuid()).or_insert((0, timestamp));
        *clicks += 1;
        *last = timestamp.max(*last);
    }
    gains.into_iter().collect()
}

fn raise_totals(gains: &[Gain]) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("INSERT INTO link_totals (link_id, clicks, last_click_at) ");
    query.push_values(gains, |mut values, (link, (clicks, last))| {
        values.push_bind(*link).push_bind(*clicks).push_bind(*last);
    });
    query.push(
        " ON CONFLICT (link_id) DO UPDATE
          SET clicks = clicks + excluded.clicks, last_click_at = max(last_click_at, excluded.last_click_at)",
    );
    query
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
        // Everything is encoded before the lock is taken: edits of links wait for it.
        let mut statements: Vec<_> = pieces(rows).map(insert_clicks).collect();
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(write_error)?;
        let mut outcome = WriteOutcome::default();
        let mut stored = HashSet::new();
        let middle = statements.len() / 2;
        for (index, statement) in statements.iter_mut().enumerate() {
            if index == middle {
                failpoint::hit(failpoint::MID_COPY);
            }
            let ids: Vec<Uuid> =
                statement.build_query_scalar().fetch_all(&mut *tx).await.map_err(write_error)?;
            stored.extend(ids);
        }
        outcome.inserted = stored.len() as u64;
        outcome.duplicates = rows.len() as u64 - outcome.inserted;
        // Of two rows with one id the first was stored.
        let stored: Vec<&ClickRow> = rows.iter().filter(|row| stored.remove(&row.id.as_uuid())).collect();
        let gains = gains_of(&stored);
        for gains in pieces(&gains) {
            raise_totals(gains).build().execute(&mut *tx).await.map_err(write_error)?;
        }
        rollups::add(&mut tx, &stored).await.map_err(write_error)?;
        failpoint::hit(failpoint::BEFORE_COMMIT);
        tx.commit().await.map_err(write_error)?;
        failpoint::hit(failpoint::AFTER_COMMIT);
        Ok(outcome)
    }

    /// Does nothing: the one table takes any time.
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
