//! Counting a day again: rollups compared with the clicks they were made of, or made anew.

use futures::TryStreamExt as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use uuid::Uuid;
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::day::Day;
use vayro_core::ids::{ClickId, LinkId, WorkspaceId};
use vayro_core::rollup::{RollupCheck, RollupKey, RollupSet, RollupSpan};
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::retention;
use crate::rollups::{self, damaged, spans_of_a_day};
use crate::weeks;

/// Clicks held in memory at once.
const CHUNK: usize = 5_000;

/// Clicks of a workspace and time.
macro_rules! clicks {
    () => {
        "SELECT id, link_id, timestamp, class, country_code, region, city, device_type, browser, os,
        language, referer_host, domain, trigger, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
        visitor_id
    FROM click_events WHERE workspace_id = ?1 AND timestamp >= ?2 AND timestamp < ?3"
    };
}

/// Those of one link.
const OF_LINK: &str = concat!(clicks!(), " AND link_id = ?4");

/// Removes every rollup of a workspace and its links that begins on a day.
const REMOVE_DAY: &str = concat!(
    "DELETE FROM click_rollups WHERE workspace_id = ?1 AND start >= ?2 AND start < ?3 AND span IN (",
    spans_of_a_day!(),
    ")"
);

pub(crate) fn instant(micros: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_micros(micros).ok_or_else(|| sqlx::Error::Decode("an instant outside all time".into()))
}

fn click(row: &SqliteRow, workspace_id: WorkspaceId) -> Result<ClickRow, sqlx::Error> {
    let text =
        |column: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<String>, _>(column)?.unwrap_or_default());
    Ok(ClickRow {
        id: ClickId::from_uuid(row.try_get(0)?),
        link_id: LinkId::from_uuid(row.try_get(1)?),
        workspace_id,
        timestamp: instant(row.try_get(2)?)?,
        class: ClickClass::from_name(&text(3)?)
            .ok_or_else(|| sqlx::Error::Decode("a click has a class unknown to this program".into()))?,
        country_code: text(4)?,
        region: text(5)?,
        city: text(6)?,
        device_type: text(7)?,
        browser: text(8)?,
        os: text(9)?,
        language: text(10)?,
        referer_host: text(11)?,
        domain: text(12)?,
        trigger: text(13)?,
        utm_source: text(14)?,
        utm_medium: text(15)?,
        utm_campaign: text(16)?,
        utm_term: text(17)?,
        utm_content: text(18)?,
        visitor_id: row.try_get(19)?,
        bot: String::new(),
        user_agent: String::new(),
        referer: String::new(),
        ip_address: String::new(),
    })
}

/// Adds the clicks of a day of a workspace, or of one link of it, to `set`.
pub(crate) async fn count(
    connection: &mut SqliteConnection,
    workspace_id: WorkspaceId,
    day: Day,
    link_id: Option<LinkId>,
    mut set: RollupSet,
) -> Result<RollupSet, sqlx::Error> {
    let mut chunk = Vec::with_capacity(CHUNK);
    let statement = if link_id.is_some() { OF_LINK } else { clicks!() };
    let query = sqlx::query(statement)
        .bind(workspace_id.as_uuid())
        .bind(day.start().as_micros())
        .bind(day.end().as_micros());
    let query = match link_id {
        None => query,
        Some(link_id) => query.bind(link_id.as_uuid()),
    };
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await? {
        chunk.push(click(&row, workspace_id)?);
        if chunk.len() == CHUNK {
            set.count(&chunk).map_err(damaged)?;
            chunk.clear();
        }
    }
    set.count(&chunk).map_err(damaged)?;
    Ok(set)
}

async fn stored(
    connection: &mut SqliteConnection,
    workspace_id: WorkspaceId,
    day: Day,
) -> Result<RollupSet, sqlx::Error> {
    let rows = sqlx::query(rollups::OF_DAY)
        .bind(workspace_id.as_uuid())
        .bind(day.start().as_micros())
        .bind(day.end().as_micros())
        .fetch_all(connection)
        .await?;
    let mut set = RollupSet::default();
    add_rows(&mut set, &rows, workspace_id)?;
    Ok(set)
}

/// Adds the rows of a statement that begin with subject, span and start.
pub(crate) fn add_rows(
    set: &mut RollupSet,
    rows: &[SqliteRow],
    workspace_id: WorkspaceId,
) -> Result<(), sqlx::Error> {
    for row in rows {
        let (subject, span, start): (Uuid, String, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let span = RollupSpan::from_name(&span)
            .ok_or_else(|| sqlx::Error::Decode("a rollup has a span unknown to this program".into()))?;
        let key = RollupKey::of(subject, workspace_id, span, instant(start)?);
        set.add(key, rollups::rollup(row, 3)?).map_err(damaged)?;
    }
    Ok(())
}

/// Forgets that a day is due.
async fn forget_due(
    connection: &mut SqliteConnection,
    workspace_id: WorkspaceId,
    day: Day,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM rollup_recounts WHERE workspace_id = ?1 AND day >= ?2 AND day < ?3")
        .bind(workspace_id.as_uuid())
        .bind(day.start().as_micros())
        .bind(day.end().as_micros())
        .execute(connection)
        .await
        .map(drop)
}

async fn replace(
    connection: &mut SqliteConnection,
    workspace_id: WorkspaceId,
    day: Day,
    counted: RollupSet,
) -> Result<(), sqlx::Error> {
    sqlx::query(REMOVE_DAY)
        .bind(workspace_id.as_uuid())
        .bind(day.start().as_micros())
        .bind(day.end().as_micros())
        .execute(&mut *connection)
        .await?;
    weeks::remove(connection, workspace_id, day).await?;
    forget_due(connection, workspace_id, day).await?;
    rollups::replace(connection, &counted.into_rollups().into_iter().collect::<Vec<_>>()).await
}

/// See [`RollupStore::recount`](vayro_core::ports::RollupStore::recount).
pub(crate) async fn recount(
    stores: &SqliteStores,
    workspace_id: WorkspaceId,
    day: Day,
    is_repair: bool,
) -> Result<RollupCheck, sqlx::Error> {
    // Reading sees one state of the file throughout; the writer is the only one.
    let mut tx = if is_repair {
        stores.writer.begin_with("BEGIN IMMEDIATE").await?
    } else {
        stores.readers.begin().await?
    };
    if retention::horizon(&mut tx, workspace_id).await?.is_some_and(|horizon| day < horizon) {
        if is_repair {
            forget_due(&mut tx, workspace_id, day).await?;
        }
        tx.commit().await?;
        return Ok(RollupCheck { is_expired: true, ..RollupCheck::default() });
    }
    let kept = stored(&mut tx, workspace_id, day).await?;
    let set = RollupSet::with_parts_of(kept.subjects_with_parts());
    let counted = count(&mut tx, workspace_id, day, None, set).await?;
    let mut check = counted.check(&kept);
    check.add(weeks::check(&mut tx, workspace_id, day).await?);
    if is_repair {
        replace(&mut tx, workspace_id, day, counted).await?;
    }
    tx.commit().await?;
    Ok(check)
}

/// Days of workspaces as the statements give them.
fn days(rows: Vec<(Uuid, i64)>) -> Result<Vec<(WorkspaceId, Day)>, sqlx::Error> {
    rows.into_iter()
        .map(|(workspace, day)| Ok((WorkspaceId::from_uuid(workspace), Day::of(instant(day)?))))
        .collect()
}

/// See [`RollupStore::days`](vayro_core::ports::RollupStore::days).
pub(crate) async fn all_days(
    stores: &SqliteStores,
    workspace_id: Option<WorkspaceId>,
    (first, last): (Day, Day),
) -> Result<Vec<(WorkspaceId, Day)>, sqlx::Error> {
    let found = sqlx::query_as(
        "SELECT workspace_id, timestamp / 86400000000 * 86400000000 AS day FROM click_events
         WHERE (?1 IS NULL OR workspace_id = ?1) AND timestamp >= ?2 AND timestamp < ?3
         UNION
         SELECT workspace_id, start FROM click_rollups
         WHERE (?1 IS NULL OR workspace_id = ?1) AND span = 'day' AND start >= ?2 AND start < ?3
         ORDER BY 1, 2",
    )
    .bind(workspace_id.map(|id| id.as_uuid()))
    .bind(first.start().as_micros())
    .bind(last.end().as_micros())
    .fetch_all(&stores.readers)
    .await?;
    days(found)
}

/// See [`RollupStore::due`](vayro_core::ports::RollupStore::due).
pub(crate) async fn due(stores: &SqliteStores, max: u16) -> Result<Vec<(WorkspaceId, Day)>, sqlx::Error> {
    let found =
        sqlx::query_as("SELECT workspace_id, day FROM rollup_recounts ORDER BY day, workspace_id LIMIT ?1")
            .bind(max)
            .fetch_all(&stores.readers)
            .await?;
    days(found)
}
