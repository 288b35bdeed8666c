//! Changes of stored clicks. The transaction holds the file's only write lock.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use uuid::Uuid;
use vayro_core::amendment::{Amendment, Changes, ClassChange, PlaceChange, StoredClick};
use vayro_core::click::ClickClass;
use vayro_core::day::Day;
use vayro_core::ids::{ClickId, WorkspaceId};
use vayro_core::ports::{AmendmentStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::error::store_error;

/// Of a kind there is one run; another one takes its place and goes on where it ended, if it may.
const BEGIN: &str = "INSERT INTO click_amendments (kind, run_id, basis, workspace_id, since_day, until_day)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
     ON CONFLICT (kind) DO UPDATE
     SET run_id = excluded.run_id, basis = excluded.basis, workspace_id = excluded.workspace_id,
         since_day = excluded.since_day, until_day = excluded.until_day,
         after_id = CASE WHEN NOT ?7 AND basis = excluded.basis AND workspace_id IS excluded.workspace_id
                             AND since_day = excluded.since_day AND until_day IS excluded.until_day
                         THEN after_id END
     RETURNING after_id";

macro_rules! select_clicks {
    () => {
        "SELECT id, workspace_id, class, bot, user_agent, ip_address, country_code, region, city
         FROM click_events WHERE "
    };
}

/// The index of the primary key has them in order.
const CLICKS: &str = concat!(select_clicks!(), "id >= ?3 AND id < ?4 ORDER BY id LIMIT ?5");

/// The index of a workspace's times has them nearly in order: within a millisecond by id.
const CLICKS_OF_WORKSPACE: &str = concat!(
    select_clicks!(),
    "workspace_id = ?6 AND timestamp >= ?1 AND timestamp < ?2 AND id >= ?3 AND id < ?4
     ORDER BY timestamp, id LIMIT ?5"
);

/// A row that was changed.
struct Changed {
    id: ClickId,
    link_id: Uuid,
    workspace_id: WorkspaceId,
}

/// What a link counts more or less, and the newest click it gained and lost.
#[derive(Default)]
struct Correction {
    clicks: i64,
    gained: Option<Timestamp>,
    lost: Option<Timestamp>,
}

/// The time inside an id; every stored id has one.
fn time_of(id: ClickId) -> Timestamp {
    id.timestamp().unwrap_or(Timestamp::EPOCH)
}

/// The least id of a millisecond.
fn first_id(at: Timestamp) -> Uuid {
    ClickId::from_parts(at, [0; 10]).as_uuid()
}

fn stored(row: &SqliteRow) -> Result<StoredClick, sqlx::Error> {
    let text =
        |column: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<String>, _>(column)?.unwrap_or_default());
    let class = ClickClass::from_name(&text(2)?);
    Ok(StoredClick {
        id: ClickId::from_uuid(row.try_get(0)?),
        workspace_id: WorkspaceId::from_uuid(row.try_get(1)?),
        class: class
            .ok_or_else(|| sqlx::Error::Decode("a click has a class unknown to this program".into()))?,
        bot: text(3)?,
        user_agent: text(4)?,
        ip_address: text(5)?,
        country_code: text(6)?,
        region: text(7)?,
        city: text(8)?,
    })
}

fn changed(id: ClickId, (link_id, workspace_id): (Uuid, Uuid)) -> Changed {
    Changed { id, link_id, workspace_id: WorkspaceId::from_uuid(workspace_id) }
}

async fn change_classes(
    connection: &mut SqliteConnection,
    changes: &[ClassChange],
) -> Result<Vec<Changed>, sqlx::Error> {
    let mut rows = Vec::with_capacity(changes.len());
    let mut corrections: BTreeMap<Uuid, Correction> = BTreeMap::new();
    for change in changes {
        let row = sqlx::query_as(
            "UPDATE click_events SET class = ?3, bot = NULLIF(?4, '')
             WHERE id = ?1 AND timestamp = ?2 AND class = ?5 RETURNING link_id, workspace_id",
        )
        .bind(change.id.as_uuid())
        .bind(time_of(change.id).as_micros())
        .bind(change.class.as_str())
        .bind(&change.bot)
        .bind(change.before.as_str())
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row.map(|row| changed(change.id, row)) else { continue };
        let (was, is) = (change.before == ClickClass::Counted, change.class == ClickClass::Counted);
        if was != is {
            let correction = corrections.entry(row.link_id).or_default();
            correction.clicks += i64::from(is) - i64::from(was);
            let newest = if is { &mut correction.gained } else { &mut correction.lost };
            *newest = (*newest).max(Some(time_of(change.id)));
        }
        rows.push(row);
    }
    for (link, correction) in &corrections {
        correct_total(connection, *link, correction).await?;
    }
    Ok(rows)
}

async fn correct_total(
    connection: &mut SqliteConnection,
    link: Uuid,
    correction: &Correction,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO link_totals (link_id, clicks, last_click_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (link_id) DO UPDATE
         SET clicks = clicks + excluded.clicks, last_click_at = max(last_click_at, excluded.last_click_at)",
    )
    .bind(link)
    .bind(correction.clicks)
    // What only loses has no newest click of its own to offer.
    .bind(correction.gained.unwrap_or(Timestamp::EPOCH).as_micros())
    .execute(&mut *connection)
    .await?;
    if let Some(lost) = correction.lost {
        // Where the newest click does not count any more, another one is the newest.
        sqlx::query(
            "UPDATE link_totals
             SET last_click_at = COALESCE((SELECT timestamp FROM click_events
                                           WHERE link_id = ?1 AND class = 'counted'
                                           ORDER BY timestamp DESC LIMIT 1), last_click_at)
             WHERE link_id = ?1 AND last_click_at <= ?2",
        )
        .bind(link)
        .bind(lost.as_micros())
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query("DELETE FROM link_totals WHERE link_id = ?1 AND clicks <= 0")
        .bind(link)
        .execute(connection)
        .await
        .map(drop)
}

async fn change_places(
    connection: &mut SqliteConnection,
    changes: &[PlaceChange],
) -> Result<Vec<Changed>, sqlx::Error> {
    let mut rows = Vec::with_capacity(changes.len());
    for change in changes {
        let row = sqlx::query_as(
            "UPDATE click_events
             SET country_code = NULLIF(?3, ''), region = NULLIF(?4, ''), city = NULLIF(?5, '')
             WHERE id = ?1 AND timestamp = ?2 RETURNING link_id, workspace_id",
        )
        .bind(change.id.as_uuid())
        .bind(time_of(change.id).as_micros())
        .bind(&change.country_code)
        .bind(&change.region)
        .bind(&change.city)
        .fetch_optional(&mut *connection)
        .await?;
        rows.extend(row.map(|row| changed(change.id, row)));
    }
    Ok(rows)
}

async fn amend(
    stores: &SqliteStores,
    run: &Amendment,
    changes: &Changes,
    after: ClickId,
) -> Result<Option<u64>, sqlx::Error> {
    let mut tx = stores.writer.begin_with("BEGIN IMMEDIATE").await?;
    let noted = sqlx::query("UPDATE click_amendments SET after_id = ?3 WHERE kind = ?1 AND run_id = ?2")
        .bind(run.kind.as_str())
        .bind(run.run_id.as_uuid())
        .bind(after.as_uuid())
        .execute(&mut *tx)
        .await?;
    if noted.rows_affected() == 0 {
        return Ok(None);
    }
    let rows = match changes {
        Changes::Classes(changes) => change_classes(&mut tx, changes).await?,
        Changes::Places(changes) => change_places(&mut tx, changes).await?,
    };
    let days: BTreeSet<(WorkspaceId, Day)> =
        rows.iter().map(|row| (row.workspace_id, Day::of(time_of(row.id)))).collect();
    for (workspace_id, day) in days {
        sqlx::query("INSERT INTO rollup_recounts (workspace_id, day) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(workspace_id.as_uuid())
            .bind(day.start().as_micros())
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(Some(rows.len() as u64))
}

#[async_trait]
impl AmendmentStore for SqliteStores {
    async fn begin(&self, run: &Amendment, is_anew: bool) -> Result<Option<ClickId>, StoreError> {
        let scope = &run.scope;
        let mut tx = self.begin().await?;
        let after: Option<Uuid> = sqlx::query_scalar(BEGIN)
            .bind(run.kind.as_str())
            .bind(run.run_id.as_uuid())
            .bind(&run.basis)
            .bind(scope.workspace_id.map(|id| id.as_uuid()))
            .bind(scope.since.start().as_micros())
            .bind(scope.until.map(|day| day.start().as_micros()))
            .bind(is_anew)
            .fetch_one(&mut *tx)
            .await
            .map_err(store_error)?;
        tx.commit().await.map_err(store_error)?;
        Ok(after.map(ClickId::from_uuid))
    }

    async fn clicks(
        &self,
        workspace_id: Option<WorkspaceId>,
        day: Day,
        after: Option<ClickId>,
        max: u16,
    ) -> Result<Vec<StoredClick>, StoreError> {
        let next = after.map(|id| Uuid::from_u128(id.as_uuid().as_u128().saturating_add(1)));
        let from = next.map_or(first_id(day.start()), |next| next.max(first_id(day.start())));
        // The time of the first one is enough to find it in the index of times.
        let start = after.map_or(day.start(), |id| time_of(id).max(day.start()));
        let statement = if workspace_id.is_some() { CLICKS_OF_WORKSPACE } else { CLICKS };
        let mut query = sqlx::query(statement)
            .bind(start.as_micros())
            .bind(day.end().as_micros())
            .bind(from)
            .bind(first_id(day.end()))
            .bind(max);
        if let Some(workspace_id) = workspace_id {
            query = query.bind(workspace_id.as_uuid());
        }
        let rows = query.fetch_all(&self.readers).await.map_err(store_error)?;
        rows.iter().map(stored).collect::<Result<_, _>>().map_err(store_error)
    }

    async fn amend(
        &self,
        run: &Amendment,
        changes: &Changes,
        after: ClickId,
    ) -> Result<Option<u64>, StoreError> {
        amend(self, run, changes, after).await.map_err(store_error)
    }

    async fn finish(&self, run: &Amendment) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM click_amendments WHERE kind = ?1 AND run_id = ?2")
            .bind(run.kind.as_str())
            .bind(run.run_id.as_uuid())
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        tx.commit().await.map_err(store_error)
    }
}
