//! Rollups of weeks that are over, put together from their days.

use sqlx::SqliteConnection;
use uuid::Uuid;
use vayro_core::day::Day;
use vayro_core::ids::WorkspaceId;
use vayro_core::rollup::{RollupCheck, RollupSet, RollupSpan, WorkspaceWeek};
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::parts;
use crate::recount::{add_rows, instant};
use crate::rollups::{self, byte_columns, damaged};

/// Links whose week is put together in one transaction; no click is stored meanwhile.
const LINKS_PER_STEP: usize = 100;

/// Weeks of workspaces that have days and no rollup, the latest first. The workspace's own is made last, so it
/// tells whether all are there.
const DUE: &str = "SELECT day.workspace_id, day.week
    FROM (SELECT DISTINCT w.id AS workspace_id, r.start / 604800000000 * 604800000000 AS week
          FROM workspaces w CROSS JOIN click_rollups r
          WHERE r.subject_id = w.id AND r.span = 'day' AND r.start >= ?1 AND r.start < ?2) AS day
    WHERE NOT EXISTS (SELECT 1 FROM click_rollups done
                      WHERE done.subject_id = day.workspace_id AND done.span = 'week'
                        AND done.start = day.week)
    ORDER BY day.week DESC, day.workspace_id LIMIT ?3";

/// Links of a workspace that have days in a week and no rollup of it.
const MISSING: &str = "SELECT DISTINCT r.subject_id FROM click_rollups r
    WHERE r.workspace_id = ?1 AND r.span = 'day' AND r.start >= ?2 AND r.start < ?3
      AND r.subject_id <> ?1
      AND NOT EXISTS (SELECT 1 FROM click_rollups done
                      WHERE done.subject_id = r.subject_id AND done.span = 'week' AND done.start = ?2)";

/// Rollups of one length of a subject.
const OF_SUBJECT: &str = concat!(
    "SELECT subject_id, span, start, ",
    byte_columns!(),
    " FROM click_rollups
      WHERE subject_id = ?1 AND span = ?2 AND start >= ?3 AND start < ?4 AND +workspace_id = ?5"
);

/// What this database knows of a week.
struct Week(WorkspaceWeek);

impl Week {
    /// Returns the links whose rollup is missing.
    async fn missing(&self, connection: &mut SqliteConnection) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar(MISSING)
            .bind(self.0.workspace_id.as_uuid())
            .bind(self.0.start.as_micros())
            .bind(self.0.end().as_micros())
            .fetch_all(connection)
            .await
    }

    /// Makes the rollups of the named subjects, with no writer in between; those of a workspace only when
    /// nothing is missing. Returns how many were made.
    async fn make(&self, stores: &SqliteStores, subjects: &[Uuid]) -> Result<u64, sqlx::Error> {
        let mut tx = stores.writer.begin_with("BEGIN IMMEDIATE").await?;
        if subjects.contains(&self.0.workspace_id.as_uuid()) && !self.missing(&mut tx).await?.is_empty() {
            return Ok(0);
        }
        let days = self.read(&mut tx, subjects, RollupSpan::Day).await?;
        let weeks: Vec<_> = days.weeks().map_err(damaged)?.into_rollups().into_iter().collect();
        rollups::replace(&mut tx, &weeks).await?;
        tx.commit().await?;
        Ok(weeks.len() as u64)
    }

    /// Reads rollups of one length.
    async fn read(
        &self,
        connection: &mut SqliteConnection,
        subjects: &[Uuid],
        span: RollupSpan,
    ) -> Result<RollupSet, sqlx::Error> {
        let mut set = RollupSet::default();
        for subject in subjects {
            let rows = sqlx::query(OF_SUBJECT)
                .bind(subject)
                .bind(span.as_str())
                .bind(self.0.start.as_micros())
                .bind(self.0.end().as_micros())
                .bind(self.0.workspace_id.as_uuid())
                .fetch_all(&mut *connection)
                .await?;
            add_rows(&mut set, &rows, self.0.workspace_id)?;
        }
        Ok(set)
    }
}

/// See [`RollupStore::roll_up_weeks`](vayro_core::ports::RollupStore::roll_up_weeks).
pub(crate) async fn roll_up(
    stores: &SqliteStores,
    (from, to): (Timestamp, Timestamp),
    max: u16,
) -> Result<u64, sqlx::Error> {
    let due: Vec<(Uuid, i64)> = sqlx::query_as(DUE)
        .bind(RollupSpan::Week.ceil(from).as_micros())
        .bind(RollupSpan::Week.floor(to).as_micros())
        .bind(max)
        .fetch_all(&stores.readers)
        .await?;
    let mut made = 0;
    for (workspace, start) in due {
        let week =
            Week(WorkspaceWeek { workspace_id: WorkspaceId::from_uuid(workspace), start: instant(start)? });
        made += parts::roll_up(stores, Some(week.0.workspace_id), (week.0.start, week.0.end())).await?;
        let missing = week.missing(&mut *stores.readers.acquire().await?).await?;
        for links in missing.chunks(LINKS_PER_STEP) {
            made += week.make(stores, links).await?;
        }
        made += week.make(stores, &[workspace]).await?;
    }
    Ok(made)
}

/// Removes all rollups of the week that a day of a workspace lies in.
pub(crate) async fn remove(
    connection: &mut SqliteConnection,
    workspace_id: WorkspaceId,
    day: Day,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM click_rollups WHERE workspace_id = ?1 AND span = 'week' AND start = ?2")
        .bind(workspace_id.as_uuid())
        .bind(WorkspaceWeek::of(workspace_id, day).start.as_micros())
        .execute(connection)
        .await
        .map(drop)
}

/// Compares the rollups of a week with those of its days, when `day` is the last one of it that has any.
pub(crate) async fn check(
    connection: &mut SqliteConnection,
    workspace_id: WorkspaceId,
    day: Day,
) -> Result<RollupCheck, sqlx::Error> {
    let week = Week(WorkspaceWeek::of(workspace_id, day));
    let is_last: bool = sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT 1 FROM click_rollups
                            WHERE subject_id = ?1 AND span = 'day' AND start >= ?2 AND start < ?3)",
    )
    .bind(workspace_id.as_uuid())
    .bind(day.end().as_micros())
    .bind(week.0.end().as_micros())
    .fetch_one(&mut *connection)
    .await?;
    let mut sum = RollupCheck::default();
    if !is_last {
        return Ok(sum);
    }
    let subjects: Vec<Uuid> = sqlx::query_scalar(
        "SELECT subject_id FROM click_rollups WHERE workspace_id = ?1 AND span = 'week' AND start = ?2",
    )
    .bind(workspace_id.as_uuid())
    .bind(week.0.start.as_micros())
    .fetch_all(&mut *connection)
    .await?;
    for subjects in subjects.chunks(LINKS_PER_STEP) {
        let days = week.read(connection, subjects, RollupSpan::Day).await?;
        let stored = week.read(connection, subjects, RollupSpan::Week).await?;
        sum.add(days.weeks().map_err(damaged)?.check(&stored));
    }
    Ok(sum)
}
