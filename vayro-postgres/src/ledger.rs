//! The edges' own count, and what it is compared with.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use vayro_core::day::Day;
use vayro_core::ledger::{DayCounts, DayTally, EdgeLedger, KEPT_DAYS, KnownEdge, Removal};
use vayro_core::ports::{LedgerStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::PgStores;
use crate::error::{Failure, store_error};
use crate::instant::Instant;
use crate::row::bad;

/// How long counting the rows of some days may take; it reads whole partitions.
const TALLY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);

fn count(value: i64) -> u64 {
    value.unsigned_abs()
}

fn column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn day(number: i32) -> Result<Day, Failure> {
    Ok(Day::from_number(number).ok_or_else(|| bad("edge_clicks.day"))?)
}

async fn record_one(connection: &mut PgConnection, ledger: &EdgeLedger) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO edge_boots (edge, is_over, heard_at) VALUES ($1, $2, $3)
         ON CONFLICT (edge) DO UPDATE
         SET is_over = edge_boots.is_over OR excluded.is_over,
             heard_at = GREATEST(edge_boots.heard_at, excluded.heard_at)",
    )
    .bind(&ledger.edge)
    .bind(ledger.is_over)
    .bind(Instant(ledger.at))
    .execute(&mut *connection)
    .await?;
    for (day, counts) in &ledger.days {
        sqlx::query(
            "INSERT INTO edge_clicks (day, edge, accepted, shipped, ring_full, shutdown, disk)
             VALUES (DATE '1970-01-01' + $1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (day, edge) DO UPDATE
             SET accepted = GREATEST(edge_clicks.accepted, excluded.accepted),
                 shipped = GREATEST(edge_clicks.shipped, excluded.shipped),
                 ring_full = GREATEST(edge_clicks.ring_full, excluded.ring_full),
                 shutdown = GREATEST(edge_clicks.shutdown, excluded.shutdown),
                 disk = GREATEST(edge_clicks.disk, excluded.disk)",
        )
        .bind(day.number())
        .bind(&ledger.edge)
        .bind(column(counts.accepted))
        .bind(column(counts.shipped))
        .bind(column(counts.ring_full))
        .bind(column(counts.shutdown))
        .bind(column(counts.disk))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn forget_old(connection: &mut PgConnection, now: Timestamp) -> Result<(), Failure> {
    let oldest = Day::of(now).minus(KEPT_DAYS);
    sqlx::query("DELETE FROM edge_clicks WHERE day < DATE '1970-01-01' + $1")
        .bind(oldest.number())
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM edge_boots WHERE heard_at < $1")
        .bind(Instant(oldest.start()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes rows that are about to be deleted with their link.
pub(crate) async fn note_deleted(connection: &mut PgConnection, link: uuid::Uuid) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO click_removals (day, reason, clicks)
         SELECT (timestamp AT TIME ZONE 'UTC')::date, $2, count(*) FROM click_events WHERE link_id = $1
         GROUP BY 1 ORDER BY 1
         ON CONFLICT (day, reason) DO UPDATE SET clicks = click_removals.clicks + excluded.clicks",
    )
    .bind(link)
    .bind(Removal::LinkDeleted.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds to what was removed.
pub(crate) async fn note(
    connection: &mut PgConnection,
    removed: impl IntoIterator<Item = (Day, u64)>,
    why: Removal,
) -> Result<(), sqlx::Error> {
    for (day, clicks) in removed {
        sqlx::query(
            "INSERT INTO click_removals (day, reason, clicks) VALUES (DATE '1970-01-01' + $1, $2, $3)
             ON CONFLICT (day, reason) DO UPDATE SET clicks = click_removals.clicks + excluded.clicks",
        )
        .bind(day.number())
        .bind(why.as_str())
        .bind(column(clicks))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

#[async_trait]
impl LedgerStore for PgStores {
    async fn record(&self, ledgers: &[EdgeLedger]) -> Result<(), StoreError> {
        let Some(newest) = ledgers.iter().map(|ledger| ledger.at).max() else { return Ok(()) };
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            for ledger in ledgers {
                record_one(&mut tx, ledger).await?;
            }
            forget_old(&mut tx, newest).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn figures(&self, first: Day, last: Day) -> Result<Vec<(Day, String, DayCounts)>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<(i32, String, i64, i64, i64, i64, i64)> = sqlx::query_as(
                "SELECT day - DATE '1970-01-01', edge, accepted, shipped, ring_full, shutdown, disk
                 FROM edge_clicks
                 WHERE day BETWEEN DATE '1970-01-01' + $1 AND DATE '1970-01-01' + $2
                 ORDER BY day, edge",
            )
            .bind(first.number())
            .bind(last.number())
            .fetch_all(connection)
            .await?;
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
        })
        .await
    }

    async fn edges(&self) -> Result<Vec<KnownEdge>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<(String, bool, Instant)> =
                sqlx::query_as("SELECT edge, is_over, heard_at FROM edge_boots ORDER BY edge")
                    .fetch_all(connection)
                    .await?;
            let known = |(edge, is_over, heard_at): (String, bool, Instant)| KnownEdge {
                edge,
                is_over,
                heard_at: heard_at.into(),
            };
            Ok(rows.into_iter().map(known).collect())
        })
        .await
    }

    async fn tally(
        &self,
        first: Day,
        last: Day,
        late: Timestamp,
    ) -> Result<Vec<(Day, DayTally)>, StoreError> {
        let work = async |connection: &mut PgConnection| {
            let mut tx = connection.begin().await?;
            sqlx::query("SELECT set_config('statement_timeout', $1, true)")
                .bind(TALLY_TIMEOUT.as_millis().to_string())
                .execute(&mut *tx)
                .await?;
            let rows: Vec<(i32, i64, i64)> = sqlx::query_as(
                "SELECT (timestamp AT TIME ZONE 'UTC')::date - DATE '1970-01-01', count(*),
                        count(*) FILTER (WHERE timestamp >= $3)
                 FROM click_events WHERE timestamp >= $1 AND timestamp < $2 GROUP BY 1",
            )
            .bind(Instant(first.start()))
            .bind(Instant(last.end()))
            .bind(Instant(late))
            .fetch_all(&mut *tx)
            .await?;
            let mut days: BTreeMap<Day, DayTally> = BTreeMap::new();
            for (number, stored, stored_late) in rows {
                let (stored, stored_late) = (count(stored), count(stored_late));
                days.insert(day(number)?, DayTally { stored, stored_late, removed: 0 });
            }
            let removals: Vec<(i32, i64)> = sqlx::query_as(
                "SELECT day - DATE '1970-01-01', sum(clicks)::bigint FROM click_removals
                 WHERE day BETWEEN DATE '1970-01-01' + $1 AND DATE '1970-01-01' + $2 GROUP BY day",
            )
            .bind(first.number())
            .bind(last.number())
            .fetch_all(&mut *tx)
            .await?;
            for (number, removed) in removals {
                days.entry(day(number)?).or_default().removed = count(removed);
            }
            tx.commit().await?;
            Ok(days.into_iter().collect())
        };
        self.lend(TALLY_TIMEOUT + self.work_timeout(), work).await.map_err(store_error)
    }

    async fn note_removed(&self, removed: &[(Day, u64)], why: Removal) -> Result<(), StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            note(&mut tx, removed.iter().copied(), why).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }
}
