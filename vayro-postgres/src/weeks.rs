//! Rollups of weeks that are over, put together from their days.

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;
use vayro_core::day::Day;
use vayro_core::ids::WorkspaceId;
use vayro_core::rollup::{RollupCheck, RollupSet, RollupSpan, WorkspaceWeek};
use vayro_core::timestamp::Timestamp;

use crate::error::Failure;
use crate::instant::Instant;
use crate::parts;
use crate::recount::set_of;
use crate::rollups::{self, byte_columns, damaged};

/// Links whose week is put together in one transaction.
const LINKS_PER_STEP: usize = 200;

/// Weeks of workspaces that have days and no rollup, the latest first. The workspace's own is made last, so it
/// tells whether all are there.
const DUE: &str = "SELECT day.workspace_id, day.week
    FROM (SELECT DISTINCT w.id AS workspace_id, date_bin('7 days', r.start, TIMESTAMPTZ 'epoch') AS week
          FROM workspaces w JOIN click_rollups r ON r.subject_id = w.id
          WHERE r.span = 'day' AND r.start >= $1 AND r.start < $2) AS day
    WHERE NOT EXISTS (SELECT 1 FROM click_rollups done
                      WHERE done.subject_id = day.workspace_id AND done.span = 'week'
                        AND done.start = day.week)
    ORDER BY day.week DESC, day.workspace_id LIMIT $3";

/// Links of a workspace that have days in a week and no rollup of it.
const MISSING: &str = "SELECT DISTINCT r.subject_id FROM click_rollups r
    WHERE r.workspace_id = $1 AND r.span = 'day' AND r.start >= $2 AND r.start < $3
      AND r.subject_id <> $1
      AND NOT EXISTS (SELECT 1 FROM click_rollups done
                      WHERE done.subject_id = r.subject_id AND done.span = 'week' AND done.start = $2)";

/// The days of those of the named subjects that have no rollup of the week.
const DAYS_OF_MISSING: &str = concat!(
    "SELECT subject_id, span, start, ",
    byte_columns!(),
    " FROM click_rollups r
      WHERE subject_id = ANY($1) AND span = 'day' AND start >= $2 AND start < $3 AND workspace_id = $4
        AND NOT EXISTS (SELECT 1 FROM click_rollups done
                        WHERE done.subject_id = r.subject_id AND done.span = 'week' AND done.start = $2)"
);

/// Rollups of one length of the named subjects.
const OF_SUBJECTS: &str = concat!(
    "SELECT subject_id, span, start, ",
    byte_columns!(),
    " FROM click_rollups
      WHERE subject_id = ANY($1) AND span = $5 AND start >= $2 AND start < $3 AND workspace_id = $4"
);

/// What this database knows of a week.
struct Week(WorkspaceWeek);

impl Week {
    /// Returns the links whose rollup is missing.
    async fn missing(&self, connection: &mut PgConnection) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar(MISSING)
            .bind(self.0.workspace_id.as_uuid())
            .bind(Instant(self.0.start))
            .bind(Instant(self.0.end()))
            .fetch_all(connection)
            .await
    }

    /// Makes what is missing for the named subjects, with no writer in between; those of a workspace only when
    /// nothing else is missing. Returns how many rollups were made.
    async fn make(&self, connection: &mut PgConnection, subjects: &[Uuid]) -> Result<u64, Failure> {
        let mut tx = connection.begin().await?;
        sqlx::query("SELECT set_config('statement_timeout', '0', true)").execute(&mut *tx).await?;
        rollups::shut_out_writers(&mut tx, &self.0.days()).await?;
        if subjects.contains(&self.0.workspace_id.as_uuid()) && !self.missing(&mut tx).await?.is_empty() {
            return Ok(0);
        }
        let days = sqlx::query(DAYS_OF_MISSING)
            .bind(subjects)
            .bind(Instant(self.0.start))
            .bind(Instant(self.0.end()))
            .bind(self.0.workspace_id.as_uuid())
            .fetch_all(&mut *tx)
            .await?;
        let weeks = set_of(&days, self.0.workspace_id)?.weeks().map_err(damaged)?.into_rollups();
        let made = weeks.len() as u64;
        rollups::insert_all(&mut tx, weeks).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Reads rollups of one length.
    async fn read(
        &self,
        connection: &mut PgConnection,
        subjects: &[Uuid],
        span: RollupSpan,
    ) -> Result<RollupSet, sqlx::Error> {
        let rows = sqlx::query(OF_SUBJECTS)
            .bind(subjects)
            .bind(Instant(self.0.start))
            .bind(Instant(self.0.end()))
            .bind(self.0.workspace_id.as_uuid())
            .bind(span.as_str())
            .fetch_all(connection)
            .await?;
        set_of(&rows, self.0.workspace_id)
    }
}

/// See [`RollupStore::roll_up_weeks`](vayro_core::ports::RollupStore::roll_up_weeks).
pub(crate) async fn roll_up(
    connection: &mut PgConnection,
    (from, to): (Timestamp, Timestamp),
    max: u16,
) -> Result<u64, Failure> {
    let due: Vec<(Uuid, Instant)> = sqlx::query_as(DUE)
        .bind(Instant(RollupSpan::Week.ceil(from)))
        .bind(Instant(RollupSpan::Week.floor(to)))
        .bind(i64::from(max))
        .fetch_all(&mut *connection)
        .await?;
    let mut made = 0;
    for (workspace, start) in due {
        let week = Week(WorkspaceWeek { workspace_id: WorkspaceId::from_uuid(workspace), start: start.0 });
        made += parts::roll_up(connection, Some(week.0.workspace_id), (week.0.start, week.0.end())).await?;
        for links in week.missing(connection).await?.chunks(LINKS_PER_STEP) {
            made += week.make(connection, links).await?;
        }
        made += week.make(connection, &[workspace]).await?;
    }
    Ok(made)
}

/// Removes all rollups of the week that a day of a workspace lies in.
pub(crate) async fn remove(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    day: Day,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM click_rollups WHERE workspace_id = $1 AND span = 'week' AND start = $2")
        .bind(workspace_id.as_uuid())
        .bind(Instant(WorkspaceWeek::of(workspace_id, day).start))
        .execute(connection)
        .await
        .map(drop)
}

/// Compares the rollups of a week with those of its days, when `day` is the last one of it that has any.
pub(crate) async fn check(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    day: Day,
) -> Result<RollupCheck, sqlx::Error> {
    let week = Week(WorkspaceWeek::of(workspace_id, day));
    let is_last: bool = sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT 1 FROM click_rollups
                            WHERE subject_id = $1 AND span = 'day' AND start >= $2 AND start < $3)",
    )
    .bind(workspace_id.as_uuid())
    .bind(Instant(day.end()))
    .bind(Instant(week.0.end()))
    .fetch_one(&mut *connection)
    .await?;
    let mut sum = RollupCheck::default();
    if !is_last {
        return Ok(sum);
    }
    let subjects: Vec<Uuid> = sqlx::query_scalar(
        "SELECT subject_id FROM click_rollups WHERE workspace_id = $1 AND span = 'week' AND start = $2",
    )
    .bind(workspace_id.as_uuid())
    .bind(Instant(week.0.start))
    .fetch_all(&mut *connection)
    .await?;
    for subjects in subjects.chunks(LINKS_PER_STEP) {
        let days = week.read(connection, subjects, RollupSpan::Day).await?;
        let stored = week.read(connection, subjects, RollupSpan::Week).await?;
        sum.add(days.weeks().map_err(damaged)?.check(&stored));
    }
    Ok(sum)
}
