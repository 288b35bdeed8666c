//! Parts of busy days, counted once the day is over: hours of links and quarters of workspaces.

use sqlx::SqliteConnection;
use uuid::Uuid;
use vayro_core::day::Day;
use vayro_core::ids::{LinkId, WorkspaceId};
use vayro_core::rollup::{Rollup, RollupKey, RollupSet, RollupSpan, Subject, busy};
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

/// See [`RollupStore::roll_up_parts`](vayro_core::ports::RollupStore::roll_up_parts); of one workspace if it is named.
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
    let days = || days.iter().map(|(workspace, start, quarters)| ((*workspace, *start), quarters.as_slice()));
    let by_hour = busy(RollupSpan::Hour, days()).map_err(damaged)?;
    let mut made = 0;
    for (workspace, start) in busy(RollupSpan::Day, days()).map_err(damaged)? {
        let (workspace_id, day) = (WorkspaceId::from_uuid(workspace), Day::of(instant(start)?));
        made += of_links(stores, workspace_id, day).await?;
        let subject = Subject::Workspace(workspace_id);
        if by_hour.contains(&(workspace, start))
            && !are_there(&mut *stores.readers.acquire().await?, subject, day).await?
        {
            made += make(stores, workspace_id, day, subject).await?;
        }
    }
    Ok(made)
}

/// Counts the hours of the links of a workspace that were busy on a day and have none yet.
async fn of_links(stores: &SqliteStores, workspace_id: WorkspaceId, day: Day) -> Result<u64, sqlx::Error> {
    let links: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(LINKS)
        .bind(workspace_id.as_uuid())
        .bind(day.start().as_micros())
        .bind(day.end().as_micros())
        .fetch_all(&stores.readers)
        .await?;
    let mut made = 0;
    let links = links.iter().map(|(link, quarters)| (*link, quarters.as_slice()));
    for link in busy(RollupSpan::Day, links).map_err(damaged)? {
        made += make(stores, workspace_id, day, Subject::Link(LinkId::from_uuid(link))).await?;
    }
    Ok(made)
}

/// Counts the parts of a subject's day and stores them, unless clicks came meanwhile: then a later round counts again.
async fn make(
    stores: &SqliteStores,
    workspace_id: WorkspaceId,
    day: Day,
    subject: Subject,
) -> Result<u64, sqlx::Error> {
    let counted = count(stores, workspace_id, day, subject).await?;
    store(stores, workspace_id, day, subject, counted).await
}

/// Parts of a day and the day's rollup that was there when they were counted.
struct Counted {
    parts: Vec<(RollupKey, Rollup)>,
    of_day: Option<Rollup>,
}

/// Reads one state of the file throughout and keeps no writer waiting; a day may have millions of clicks.
async fn count(
    stores: &SqliteStores,
    workspace_id: WorkspaceId,
    day: Day,
    subject: Subject,
) -> Result<Counted, sqlx::Error> {
    let mut tx = stores.readers.begin().await?;
    let of_day = of_day(&mut tx, subject, day).await?;
    let set = RollupSet::parts_of(subject);
    let set = recount::count(&mut tx, workspace_id, day, subject.link_id(), set).await?;
    tx.commit().await?;
    Ok(Counted { parts: set.into_rollups().into_iter().collect(), of_day })
}

/// Whatever stores, changes or removes a click changes the day's rollup, at once or by counting the day again; the
/// latter corrects its hours as well.
async fn store(
    stores: &SqliteStores,
    workspace_id: WorkspaceId,
    day: Day,
    subject: Subject,
    counted: Counted,
) -> Result<u64, sqlx::Error> {
    let mut tx = stores.writer.begin_with("BEGIN IMMEDIATE").await?;
    // Of an expired day some clicks may have been gone. Horizons rise before clicks go.
    let is_expired = retention::horizon(&mut tx, workspace_id).await?.is_some_and(|horizon| day < horizon);
    if is_expired
        || are_there(&mut tx, subject, day).await?
        || of_day(&mut tx, subject, day).await? != counted.of_day
    {
        return Ok(0);
    }
    rollups::replace(&mut tx, &counted.parts).await?;
    tx.commit().await?;
    Ok(counted.parts.len() as u64)
}

async fn of_day(
    connection: &mut SqliteConnection,
    subject: Subject,
    day: Day,
) -> Result<Option<Rollup>, sqlx::Error> {
    let row = sqlx::query(rollups::FIND)
        .bind(subject.as_uuid())
        .bind(RollupSpan::Day.as_str())
        .bind(day.start().as_micros())
        .fetch_optional(connection)
        .await?;
    row.map(|row| rollups::rollup(&row, 1)).transpose()
}

async fn are_there(
    connection: &mut SqliteConnection,
    subject: Subject,
    day: Day,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM click_rollups
                        WHERE subject_id = ?1 AND span = ?2 AND start >= ?3 AND start < ?4)",
    )
    .bind(subject.as_uuid())
    .bind(subject.part().as_str())
    .bind(day.start().as_micros())
    .bind(day.end().as_micros())
    .fetch_one(connection)
    .await
}

#[cfg(test)]
mod tests {
    use vayro_core::contract::stores::{at, click};
    use vayro_core::ports::ClickStore;

    use super::*;
    use crate::cast::{Cast, cast};

    #[tokio::test]
    async fn parts_are_counted_beside_a_writer_and_forgotten_if_it_wrote() {
        let Cast { stores, owner, link, .. } = &cast().await;
        let (workspace_id, day) = (owner.workspace_id, Day::of(at(0)));
        let rows: Vec<_> = (0..3).map(|second| click(link, at(second))).collect();
        ClickStore::write(stores, &rows).await.unwrap();

        for subject in [Subject::Link(link.id), Subject::Workspace(workspace_id)] {
            let busy = stores.writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
            let counted = count(stores, workspace_id, day, subject).await.unwrap();
            busy.rollback().await.unwrap();
            assert_eq!(counted.parts.len(), 1);
            ClickStore::write(stores, &[click(link, at(3))]).await.unwrap();
            assert_eq!(
                store(stores, workspace_id, day, subject, counted).await.unwrap(),
                0,
                "one is missing"
            );

            let counted = count(stores, workspace_id, day, subject).await.unwrap();
            assert_eq!(store(stores, workspace_id, day, subject, counted).await.unwrap(), 1);
        }
    }
}
