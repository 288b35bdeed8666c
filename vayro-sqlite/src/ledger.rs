//! The edge's own count, and what it is compared with.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::sqlite::SqliteTransaction;
use vayro_core::day::Day;
use vayro_core::ledger::{DayCounts, DayTally, EdgeLedger, KEPT_DAYS, KnownEdge, Removal};
use vayro_core::ports::{LedgerStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::error::store_error;
use crate::row::{bad, instant};
use crate::salts::DAY_MICROS;

fn count(value: i64) -> u64 {
    value.unsigned_abs()
}

fn column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn day(number: i64) -> Result<Day, StoreError> {
    i32::try_from(number).ok().and_then(Day::from_number).ok_or_else(|| bad("edge_clicks.day"))
}

async fn record_one(tx: &mut SqliteTransaction<'_>, ledger: &EdgeLedger) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO edge_boots (edge, is_over, heard_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (edge) DO UPDATE
         SET is_over = max(is_over, excluded.is_over), heard_at = max(heard_at, excluded.heard_at)",
    )
    .bind(&ledger.edge)
    .bind(ledger.is_over)
    .bind(ledger.at.as_micros())
    .execute(&mut **tx)
    .await
    .map_err(store_error)?;
    for (day, counts) in &ledger.days {
        sqlx::query(
            "INSERT INTO edge_clicks (day, edge, accepted, shipped, ring_full, shutdown, disk)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (day, edge) DO UPDATE
             SET accepted = max(accepted, excluded.accepted), shipped = max(shipped, excluded.shipped),
                 ring_full = max(ring_full, excluded.ring_full),
                 shutdown = max(shutdown, excluded.shutdown), disk = max(disk, excluded.disk)",
        )
        .bind(day.number())
        .bind(&ledger.edge)
        .bind(column(counts.accepted))
        .bind(column(counts.shipped))
        .bind(column(counts.ring_full))
        .bind(column(counts.shutdown))
        .bind(column(counts.disk))
        .execute(&mut **tx)
        .await
        .map_err(store_error)?;
    }
    Ok(())
}

/// Adds to what was removed.
pub(crate) async fn note(
    tx: &mut SqliteTransaction<'_>,
    removed: impl IntoIterator<Item = (Day, u64)>,
    why: Removal,
) -> Result<(), StoreError> {
    for (day, clicks) in removed {
        sqlx::query(
            "INSERT INTO click_removals (day, reason, clicks) VALUES (?1, ?2, ?3)
             ON CONFLICT (day, reason) DO UPDATE SET clicks = clicks + excluded.clicks",
        )
        .bind(day.number())
        .bind(why.as_str())
        .bind(column(clicks))
        .execute(&mut **tx)
        .await
        .map_err(store_error)?;
    }
    Ok(())
}

#[async_trait]
impl LedgerStore for SqliteStores {
    async fn record(&self, ledgers: &[EdgeLedger]) -> Result<(), StoreError> {
        let Some(newest) = ledgers.iter().map(|ledger| ledger.at).max() else { return Ok(()) };
        let oldest = Day::of(newest).minus(KEPT_DAYS);
        let mut tx = self.begin().await?;
        for ledger in ledgers {
            record_one(&mut tx, ledger).await?;
        }
        sqlx::query("DELETE FROM edge_clicks WHERE day < ?1")
            .bind(oldest.number())
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        sqlx::query("DELETE FROM edge_boots WHERE heard_at < ?1")
            .bind(oldest.start().as_micros())
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        tx.commit().await.map_err(store_error)
    }

    async fn figures(&self, first: Day, last: Day) -> Result<Vec<(Day, String, DayCounts)>, StoreError> {
        let rows: Vec<(i64, String, i64, i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT day, edge, accepted, shipped, ring_full, shutdown, disk FROM edge_clicks
             WHERE day BETWEEN ?1 AND ?2 ORDER BY day, edge",
        )
        .bind(first.number())
        .bind(last.number())
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|(number, edge, accepted, shipped, ring_full, shutdown, disk)| {
                let counts = DayCounts {
                    accepted: count(accepted),
                    shipped: count(shipped),
                    ring_full: count(ring_full),
                    shutdown: count(shutdown),
                    disk: count(disk),
                };
                Ok((day(number)?, edge, counts))
            })
            .collect()
    }

    async fn edges(&self) -> Result<Vec<KnownEdge>, StoreError> {
        let rows: Vec<(String, bool, i64)> =
            sqlx::query_as("SELECT edge, is_over, heard_at FROM edge_boots ORDER BY edge")
                .fetch_all(&self.readers)
                .await
                .map_err(store_error)?;
        rows.into_iter()
            .map(|(edge, is_over, heard_at)| {
                Ok(KnownEdge { edge, is_over, heard_at: instant(heard_at, "edge_boots.heard_at")? })
            })
            .collect()
    }

    async fn tally(
        &self,
        first: Day,
        last: Day,
        late: Timestamp,
    ) -> Result<Vec<(Day, DayTally)>, StoreError> {
        // One snapshot for both; floors toward the day also before 1970.
        let mut tx = self.readers.begin().await.map_err(store_error)?;
        let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
            "SELECT (timestamp - (timestamp % ?4 + ?4) % ?4) / ?4, count(*), sum(timestamp >= ?3)
             FROM click_events WHERE timestamp >= ?1 AND timestamp < ?2 GROUP BY 1",
        )
        .bind(first.start().as_micros())
        .bind(last.end().as_micros())
        .bind(late.as_micros())
        .bind(DAY_MICROS)
        .fetch_all(&mut *tx)
        .await
        .map_err(store_error)?;
        let mut days: BTreeMap<Day, DayTally> = BTreeMap::new();
        for (number, stored, stored_late) in rows {
            let (stored, stored_late) = (count(stored), count(stored_late));
            days.insert(day(number)?, DayTally { stored, stored_late, removed: 0 });
        }
        let removals: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT day, sum(clicks) FROM click_removals WHERE day BETWEEN ?1 AND ?2 GROUP BY day",
        )
        .bind(first.number())
        .bind(last.number())
        .fetch_all(&mut *tx)
        .await
        .map_err(store_error)?;
        tx.commit().await.map_err(store_error)?;
        for (number, removed) in removals {
            days.entry(day(number)?).or_default().removed = count(removed);
        }
        Ok(days.into_iter().collect())
    }

    async fn note_removed(&self, removed: &[(Day, u64)], why: Removal) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        note(&mut tx, removed.iter().copied(), why).await?;
        tx.commit().await.map_err(store_error)
    }
}
