//! Parts of busy days, counted once the day is over: hours of links and quarters of workspaces.

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;
use vayro_core::day::Day;
use vayro_core::ids::{LinkId, WorkspaceId};
use vayro_core::rollup::{RollupSet, RollupSpan, Subject, busy};
use vayro_core::timestamp::Timestamp;

use crate::error::Failure;
use crate::instant::Instant;
use crate::recount;
use crate::retention;
use crate::rollups::{self, damaged};

/// Days of workspaces, or of one; no link is busy on a day on which its workspace is not.
const WORKSPACES: &str = "SELECT r.workspace_id, r.start, r.quarters
    FROM workspaces w JOIN click_rollups r ON r.subject_id = w.id
    WHERE r.span = 'day' AND r.start >= $1 AND r.start < $2 AND ($3::uuid IS NULL OR w.id = $3)";

/// Links of a workspace on a day of which there are no hours.
const LINKS: &str = "SELECT r.subject_id, r.quarters FROM click_rollups r
    WHERE r.workspace_id = $1 AND r.span = 'day' AND r.start = $2 AND r.subject_id <> $1
      AND NOT EXISTS (SELECT 1 FROM click_rollups done
                      WHERE done.subject_id = r.subject_id AND done.span = 'busyhour'
                        AND done.start >= $2 AND done.start < $3)";

/// See [`RollupStore::roll_up_parts`](vayro_core::ports::RollupStore::roll_up_parts); of one workspace if it is named.
pub(crate) async fn roll_up(
    connection: &mut PgConnection,
    workspace_id: Option<WorkspaceId>,
    (from, to): (Timestamp, Timestamp),
) -> Result<u64, Failure> {
    let days: Vec<(Uuid, Instant, Vec<u8>)> = sqlx::query_as(WORKSPACES)
        .bind(Instant(RollupSpan::Day.ceil(from)))
        .bind(Instant(RollupSpan::Day.floor(to)))
        .bind(workspace_id.map(|id| id.as_uuid()))
        .fetch_all(&mut *connection)
        .await?;
    let days = || {
        days.iter().map(|(workspace, start, quarters)| ((*workspace, Day::of(start.0)), quarters.as_slice()))
    };
    let by_hour = busy(RollupSpan::Hour, days()).map_err(damaged)?;
    let mut made = 0;
    for (workspace, day) in busy(RollupSpan::Day, days()).map_err(damaged)? {
        let workspace_id = WorkspaceId::from_uuid(workspace);
        made += of_links(connection, workspace_id, day).await?;
        let subject = Subject::Workspace(workspace_id);
        if by_hour.contains(&(workspace, day)) && !are_there(connection, subject, day).await? {
            made += make(connection, workspace_id, day, subject).await?;
        }
    }
    Ok(made)
}

/// Counts the hours of the links of a workspace that were busy on a day and have none yet.
async fn of_links(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    day: Day,
) -> Result<u64, Failure> {
    let links: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(LINKS)
        .bind(workspace_id.as_uuid())
        .bind(Instant(day.start()))
        .bind(Instant(day.end()))
        .fetch_all(&mut *connection)
        .await?;
    let mut made = 0;
    let links = links.iter().map(|(link, quarters)| (*link, quarters.as_slice()));
    for link in busy(RollupSpan::Day, links).map_err(damaged)? {
        made += make(connection, workspace_id, day, Subject::Link(LinkId::from_uuid(link))).await?;
    }
    Ok(made)
}

/// Counts the parts of a subject's day, with no writer in between.
async fn make(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    day: Day,
    subject: Subject,
) -> Result<u64, Failure> {
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT set_config('statement_timeout', '0', true)").execute(&mut *tx).await?;
    rollups::shut_out_writers(&mut tx, &[(workspace_id, day)].into()).await?;
    if are_there(&mut tx, subject, day).await? {
        return Ok(0);
    }
    let set = RollupSet::parts_of(subject);
    let set = recount::count(&mut tx, workspace_id, day, subject.link_id(), set).await?;
    // Afterwards: horizons rise before clicks go, so whoever missed a click sees the horizon.
    if retention::horizon(&mut tx, workspace_id).await?.is_some_and(|horizon| day < horizon) {
        return Ok(0);
    }
    let parts = set.into_rollups();
    let made = parts.len() as u64;
    rollups::insert_all(&mut tx, parts).await?;
    tx.commit().await?;
    Ok(made)
}

async fn are_there(connection: &mut PgConnection, subject: Subject, day: Day) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM click_rollups
                        WHERE subject_id = $1 AND span = $2 AND start >= $3 AND start < $4)",
    )
    .bind(subject.as_uuid())
    .bind(subject.part().as_str())
    .bind(Instant(day.start()))
    .bind(Instant(day.end()))
    .fetch_one(connection)
    .await
}
