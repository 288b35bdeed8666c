//! Hours of links on busy days, counted once the day is over.

use sqlx::SqliteConnection;
use uuid::Uuid;
use vayro_core::day::Day;
use vayro_core::ids::{LinkId, WorkspaceId};
use vayro_core::rollup::{RollupSet, RollupSpan, busy};
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::recount::{self, instant};
use crate::retention;
use crate::rollups::{self, damaged};

/// Days of workspaces, or of one; no link is busy on a day on which its workspace is not.
const WORKSPACES: &str = "SELECT r.workspace_id, r.start, r.quarters
    FROM workspaces w CROSS JOIN click_rollups r
    WHERE r.subject_id = w.id AND r.span = 'day' AND r.start >= ?1 AND r.start < ?2
      AND (?3 IS NULL OR w.id = ?3)";

/// Links of a workspace on a day of which there are no hours.
const LINKS: &str = "SELECT r.subject_id, r.quarters FROM click_rollups r
    WHERE r.workspace_id = ?1 AND r.span = 'day' AND r.start = ?2 AND r.subject_id <> ?1
      AND NOT EXISTS (SELECT 1 FROM click_rollups done
                      WHERE done.subject_id = r.subject_id AND done.span = 'busyhour'
                        AND done.start >= ?2 AND done.start < ?3)";

/// See [`RollupStore::roll_up_hours`](vayro_core::ports::RollupStore::roll_up_hours); of one workspace if it is named.
pub(crate) async fn roll_up(
    stores: &SqliteStores,
    workspace_id: Option<WorkspaceId>,
    (from, to): (Timestamp, Timestamp),
) -> Result<u64, sqlx::Error> {
    let days: Vec<(Uuid, i64, Vec<u8>)> = sqlx::query_as(WORKSPACES)
        .bind(RollupSpan::Day.ceil(from).as_micros())
        .bind(RollupSpan::Day.floor(to).as_micros())
        .bind(workspace_id.map(|id| id.as_uuid()))
        .fetch_all(&stores.readers)
        .await?;
    let days = days.into_iter().map(|(workspace, start, quarters)| ((workspace, start), quarters));
    let mut made = 0;
    for (workspace, start) in busy(days).map_err(damaged)? {
        made += make_all(stores, WorkspaceId::from_uuid(workspace), Day::of(instant(start)?)).await?;
    }
    Ok(made)
}

/// Counts the hours of the links of a workspace that were busy on a day and have none yet.
async fn make_all(stores: &SqliteStores, workspace_id: WorkspaceId, day: Day) -> Result<u64, sqlx::Error> {
    let links: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(LINKS)
        .bind(workspace_id.as_uuid())
        .bind(day.start().as_micros())
        .bind(day.end().as_micros())
        .fetch_all(&stores.readers)
        .await?;
    let mut made = 0;
    for link in busy(links).map_err(damaged)? {
        made += make(stores, workspace_id, day, LinkId::from_uuid(link)).await?;
    }
    Ok(made)
}

/// Counts the hours of a link, with no writer in between.
async fn make(
    stores: &SqliteStores,
    workspace_id: WorkspaceId,
    day: Day,
    link_id: LinkId,
) -> Result<u64, sqlx::Error> {
    let mut tx = stores.writer.begin_with("BEGIN IMMEDIATE").await?;
    // Of an expired day some clicks may be gone.
    let is_expired = retention::horizon(&mut tx, workspace_id).await?.is_some_and(|horizon| day < horizon);
    if is_expired || are_there(&mut tx, link_id, day).await? {
        return Ok(0);
    }
    let set = RollupSet::with_hours_of([link_id]);
    let set = recount::count(&mut tx, workspace_id, day, Some(link_id), set).await?;
    let hours: Vec<_> = set.into_busy_hours().into_iter().collect();
    rollups::replace(&mut tx, &hours).await?;
    tx.commit().await?;
    Ok(hours.len() as u64)
}

async fn are_there(
    connection: &mut SqliteConnection,
    link_id: LinkId,
    day: Day,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM click_rollups
                        WHERE subject_id = ?1 AND span = 'busyhour' AND start >= ?2 AND start < ?3)",
    )
    .bind(link_id.as_uuid())
    .bind(day.start().as_micros())
    .bind(day.end().as_micros())
    .fetch_one(connection)
    .await
}
