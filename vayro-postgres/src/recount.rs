//! Counting a day again: rollups compared with the clicks they were made of, or made anew.

use futures::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Row as _};
use uuid::Uuid;
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::day::Day;
use vayro_core::ids::{ClickId, LinkId, WorkspaceId};
use vayro_core::rollup::{RollupCheck, RollupKey, RollupSet, RollupSpan};

use crate::error::Failure;
use crate::instant::Instant;
use crate::retention;
use crate::rollups::{self, damaged, spans_of_a_day};
use crate::weeks;

/// Clicks held in memory at once.
const CHUNK: usize = 5_000;

/// Clicks of a workspace and time.
macro_rules! clicks {
    () => {
        "SELECT id, link_id, timestamp, class, country_code::text, region, city, device_type,
        browser, os, language, referer_host, domain, trigger, utm_source, utm_medium, utm_campaign,
        utm_term, utm_content, visitor_id
    FROM click_events WHERE workspace_id = $1 AND timestamp >= $2 AND timestamp < $3"
    };
}

/// Those of one link.
const OF_LINK: &str = concat!(clicks!(), " AND link_id = $4");

/// Removes every rollup of a workspace and its links that begins on a day.
const REMOVE_DAY: &str = concat!(
    "DELETE FROM click_rollups WHERE workspace_id = $1 AND start >= $2 AND start < $3 AND span IN (",
    spans_of_a_day!(),
    ")"
);

fn click(row: &PgRow, workspace_id: WorkspaceId) -> Result<ClickRow, sqlx::Error> {
    let text =
        |column: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<String>, _>(column)?.unwrap_or_default());
    Ok(ClickRow {
        id: ClickId::from_uuid(row.try_get(0)?),
        link_id: LinkId::from_uuid(row.try_get(1)?),
        workspace_id,
        timestamp: row.try_get::<Instant, _>(2)?.0,
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
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    day: Day,
    link_id: Option<LinkId>,
    mut set: RollupSet,
) -> Result<RollupSet, sqlx::Error> {
    let mut chunk = Vec::with_capacity(CHUNK);
    let statement = if link_id.is_some() { OF_LINK } else { clicks!() };
    let query = sqlx::query(statement)
        .bind(workspace_id.as_uuid())
        .bind(Instant(day.start()))
        .bind(Instant(day.end()));
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
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    day: Day,
) -> Result<RollupSet, sqlx::Error> {
    let rows = sqlx::query(rollups::OF_DAY)
        .bind(workspace_id.as_uuid())
        .bind(Instant(day.start()))
        .bind(Instant(day.end()))
        .fetch_all(connection)
        .await?;
    set_of(&rows, workspace_id)
}

/// Puts the rows of a statement together that begin with subject, span and start.
pub(crate) fn set_of(rows: &[PgRow], workspace_id: WorkspaceId) -> Result<RollupSet, sqlx::Error> {
    let mut set = RollupSet::default();
    for row in rows {
        let (subject, span, start): (Uuid, String, Instant) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let span = RollupSpan::from_name(&span)
            .ok_or_else(|| sqlx::Error::Decode("a rollup has a span unknown to this program".into()))?;
        let key = RollupKey::of(subject, workspace_id, span, start.0);
        set.add(key, rollups::rollup(row, 3)?).map_err(damaged)?;
    }
    Ok(set)
}

/// Forgets that a day is due.
async fn forget_due(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    day: Day,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM rollup_recounts WHERE workspace_id = $1 AND day >= $2 AND day < $3")
        .bind(workspace_id.as_uuid())
        .bind(Instant(day.start()))
        .bind(Instant(day.end()))
        .execute(connection)
        .await
        .map(drop)
}

async fn replace(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    day: Day,
    counted: RollupSet,
) -> Result<(), sqlx::Error> {
    sqlx::query(REMOVE_DAY)
        .bind(workspace_id.as_uuid())
        .bind(Instant(day.start()))
        .bind(Instant(day.end()))
        .execute(&mut *connection)
        .await?;
    weeks::remove(connection, workspace_id, day).await?;
    forget_due(connection, workspace_id, day).await?;
    rollups::insert_all(connection, counted.into_rollups()).await
}

/// See [`RollupStore::recount`](vayro_core::ports::RollupStore::recount).
pub(crate) async fn recount(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
    day: Day,
    is_repair: bool,
) -> Result<RollupCheck, Failure> {
    let mut tx = connection.begin().await?;
    if !is_repair {
        // Clicks and rollups as of one instant.
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
    }
    // The whole has a limit; a day of a large workspace takes longer than a statement may.
    sqlx::query("SELECT set_config('statement_timeout', '0', true)").execute(&mut *tx).await?;
    if is_repair {
        rollups::shut_out_writers(&mut tx, &[(workspace_id, day)].into()).await?;
    }
    let kept = stored(&mut tx, workspace_id, day).await?;
    let set = RollupSet::with_parts_of(kept.subjects_with_parts());
    let counted = count(&mut tx, workspace_id, day, None, set).await?;
    // Afterwards: horizons rise before clicks go, so whoever missed a click sees the horizon.
    if retention::horizon(&mut tx, workspace_id).await?.is_some_and(|horizon| day < horizon) {
        if is_repair {
            forget_due(&mut tx, workspace_id, day).await?;
        }
        tx.commit().await?;
        return Ok(RollupCheck { is_expired: true, ..RollupCheck::default() });
    }
    let mut check = counted.check(&kept);
    check.add(weeks::check(&mut tx, workspace_id, day).await?);
    if is_repair {
        replace(&mut tx, workspace_id, day, counted).await?;
    }
    tx.commit().await?;
    Ok(check)
}

/// Days of workspaces as the statements give them.
pub(crate) fn days(rows: Vec<(Uuid, Instant)>) -> Vec<(WorkspaceId, Day)> {
    rows.into_iter().map(|(workspace, day)| (WorkspaceId::from_uuid(workspace), Day::of(day.0))).collect()
}

/// See [`RollupStore::days`](vayro_core::ports::RollupStore::days).
pub(crate) async fn all_days(
    connection: &mut PgConnection,
    workspace_id: Option<WorkspaceId>,
    (first, last): (Day, Day),
) -> Result<Vec<(WorkspaceId, Day)>, Failure> {
    let found = sqlx::query_as(
        "SELECT workspace_id, date_trunc('day', timestamp, 'UTC') AS day FROM click_events
         WHERE ($1::uuid IS NULL OR workspace_id = $1) AND timestamp >= $2 AND timestamp < $3
         UNION
         SELECT workspace_id, start FROM click_rollups
         WHERE ($1::uuid IS NULL OR workspace_id = $1) AND span = 'day' AND start >= $2 AND start < $3
         ORDER BY 1, 2",
    )
    .bind(workspace_id.map(|id| id.as_uuid()))
    .bind(Instant(first.start()))
    .bind(Instant(last.end()))
    .fetch_all(connection)
    .await?;
    Ok(days(found))
}
