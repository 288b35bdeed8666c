//! Changes of stored clicks.
//!
//! What is changed is locked in the order in which writers of clicks lock it: rows, counters by link, days.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Row as _};
use uuid::Uuid;
use vayro_core::amendment::{Amendment, Changes, ClassChange, PlaceChange, StoredClick};
use vayro_core::click::ClickClass;
use vayro_core::day::Day;
use vayro_core::ids::{ClickId, WorkspaceId};
use vayro_core::ports::{AmendmentStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::PgStores;
use crate::error::Failure;
use crate::instant::Instant;
use crate::rollups;
use crate::row::{bad, maybe_instant};

/// Of a kind there is one run; another one takes its place and goes on where it ended, if it may.
const BEGIN: &str =
    "INSERT INTO click_amendments AS old (kind, run_id, basis, workspace_id, since_day, until_day)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (kind) DO UPDATE
     SET run_id = excluded.run_id, basis = excluded.basis, workspace_id = excluded.workspace_id,
         since_day = excluded.since_day, until_day = excluded.until_day,
         after_id = CASE WHEN NOT $7 AND old.basis = excluded.basis
                             AND old.workspace_id IS NOT DISTINCT FROM excluded.workspace_id
                             AND old.since_day = excluded.since_day
                             AND old.until_day IS NOT DISTINCT FROM excluded.until_day
                         THEN old.after_id END
     RETURNING after_id";

macro_rules! select_clicks {
    () => {
        "SELECT id, workspace_id, class, bot, user_agent, ip_address, country_code::text, region, city
         FROM click_events WHERE timestamp >= $1 AND timestamp < $2 AND id >= $3 AND id < $4"
    };
}

/// The index of the primary key has them in order.
const CLICKS: &str = concat!(select_clicks!(), " ORDER BY id LIMIT $5");

/// The index of a workspace's times has them nearly in order: within a millisecond by id.
const CLICKS_OF_WORKSPACE: &str =
    concat!(select_clicks!(), " AND workspace_id = $6 ORDER BY timestamp, id LIMIT $5");

/// The times of the whole batch are in the statement so that other partitions are left alone.
const CHANGE_CLASSES: &str = "UPDATE click_events AS click SET class = new.class, bot = NULLIF(new.bot, '')
     FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[])
          AS new (id, timestamp, before, class, bot)
     WHERE click.id = new.id AND click.timestamp = new.timestamp AND click.class = new.before
       AND click.timestamp >= $6 AND click.timestamp <= $7
     RETURNING click.id, click.link_id, click.workspace_id";

const CHANGE_PLACES: &str = "UPDATE click_events AS click
     SET country_code = NULLIF(new.country_code, ''), region = NULLIF(new.region, ''),
         city = NULLIF(new.city, '')
     FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[])
          AS new (id, timestamp, country_code, region, city)
     WHERE click.id = new.id AND click.timestamp = new.timestamp
       AND click.timestamp >= $6 AND click.timestamp <= $7
     RETURNING click.id, click.link_id, click.workspace_id";

/// In the order of links, as writers of clicks do.
const CORRECT_TOTALS: &str = "INSERT INTO link_totals (link_id, clicks, last_click_at)
     SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[])
     ON CONFLICT (link_id) DO UPDATE
     SET clicks = link_totals.clicks + excluded.clicks,
         last_click_at = GREATEST(link_totals.last_click_at, excluded.last_click_at)";

/// Where the newest click does not count any more, another one is the newest.
const CORRECT_NEWEST: &str = "UPDATE link_totals AS total SET last_click_at = newest.timestamp
     FROM unnest($1::uuid[], $2::timestamptz[]) AS lost (link_id, timestamp),
          LATERAL (SELECT timestamp FROM click_events
                   WHERE link_id = lost.link_id AND class = 'counted'
                   ORDER BY timestamp DESC LIMIT 1) AS newest
     WHERE total.link_id = lost.link_id AND total.last_click_at <= lost.timestamp";

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

fn stored(row: &PgRow) -> Result<StoredClick, Failure> {
    let text =
        |column: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<String>, _>(column)?.unwrap_or_default());
    Ok(StoredClick {
        id: ClickId::from_uuid(row.try_get(0)?),
        workspace_id: WorkspaceId::from_uuid(row.try_get(1)?),
        class: ClickClass::from_name(&text(2)?).ok_or_else(|| bad("click_events.class"))?,
        bot: text(3)?,
        user_agent: text(4)?,
        ip_address: text(5)?,
        country_code: text(6)?,
        region: text(7)?,
        city: text(8)?,
    })
}

/// Runs one of the two changing statements with the columns of its three texts.
async fn change(
    connection: &mut PgConnection,
    statement: &'static str,
    ids: Vec<ClickId>,
    texts: [Vec<&str>; 3],
) -> Result<Vec<Changed>, sqlx::Error> {
    let times: Vec<Timestamp> = ids.iter().copied().map(time_of).collect();
    let (Some(first), Some(last)) = (times.iter().min().copied(), times.iter().max().copied()) else {
        return Ok(Vec::new());
    };
    let [first_text, second_text, third_text] = texts;
    let rows: Vec<(Uuid, Uuid, Uuid)> = sqlx::query_as(statement)
        .bind(ids.iter().map(ClickId::as_uuid).collect::<Vec<_>>())
        .bind(times.into_iter().map(Instant).collect::<Vec<_>>())
        .bind(first_text)
        .bind(second_text)
        .bind(third_text)
        .bind(Instant(first))
        .bind(Instant(last))
        .fetch_all(connection)
        .await?;
    let changed = |(id, link_id, workspace)| Changed {
        id: ClickId::from_uuid(id),
        link_id,
        workspace_id: WorkspaceId::from_uuid(workspace),
    };
    Ok(rows.into_iter().map(changed).collect())
}

async fn change_classes(
    connection: &mut PgConnection,
    changes: &[ClassChange],
) -> Result<Vec<Changed>, sqlx::Error> {
    let ids = changes.iter().map(|change| change.id).collect();
    let texts = [
        changes.iter().map(|change| change.before.as_str()).collect(),
        changes.iter().map(|change| change.class.as_str()).collect(),
        changes.iter().map(|change| &*change.bot).collect(),
    ];
    let rows = change(connection, CHANGE_CLASSES, ids, texts).await?;
    let classes: BTreeMap<ClickId, &ClassChange> = changes.iter().map(|change| (change.id, change)).collect();
    let mut corrections: BTreeMap<Uuid, Correction> = BTreeMap::new();
    for row in &rows {
        let Some(change) = classes.get(&row.id) else { continue };
        let (was, is) = (change.before == ClickClass::Counted, change.class == ClickClass::Counted);
        let correction = corrections.entry(row.link_id).or_default();
        correction.clicks += i64::from(is) - i64::from(was);
        if was != is {
            let newest = if is { &mut correction.gained } else { &mut correction.lost };
            *newest = (*newest).max(Some(time_of(row.id)));
        }
    }
    correct_totals(connection, corrections).await?;
    Ok(rows)
}

async fn change_places(
    connection: &mut PgConnection,
    changes: &[PlaceChange],
) -> Result<Vec<Changed>, sqlx::Error> {
    let ids = changes.iter().map(|change| change.id).collect();
    let texts = [
        changes.iter().map(|change| &*change.country_code).collect(),
        changes.iter().map(|change| &*change.region).collect(),
        changes.iter().map(|change| &*change.city).collect(),
    ];
    change(connection, CHANGE_PLACES, ids, texts).await
}

async fn correct_totals(
    connection: &mut PgConnection,
    mut corrections: BTreeMap<Uuid, Correction>,
) -> Result<(), sqlx::Error> {
    corrections.retain(|_, correction| correction.gained.is_some() || correction.lost.is_some());
    if corrections.is_empty() {
        return Ok(());
    }
    let links: Vec<Uuid> = corrections.keys().copied().collect();
    // What only loses has no newest click of its own to offer.
    let gained =
        corrections.values().map(|correction| Instant(correction.gained.unwrap_or(Timestamp::EPOCH)));
    sqlx::query(CORRECT_TOTALS)
        .bind(&links)
        .bind(corrections.values().map(|correction| correction.clicks).collect::<Vec<_>>())
        .bind(gained.collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    let (losers, lost): (Vec<Uuid>, Vec<Instant>) =
        corrections.iter().filter_map(|(link, correction)| Some((*link, Instant(correction.lost?)))).unzip();
    if !losers.is_empty() {
        sqlx::query(CORRECT_NEWEST).bind(losers).bind(lost).execute(&mut *connection).await?;
    }
    sqlx::query("DELETE FROM link_totals WHERE link_id = ANY($1) AND clicks <= 0")
        .bind(links)
        .execute(connection)
        .await
        .map(drop)
}

async fn amend(
    connection: &mut PgConnection,
    run: &Amendment,
    changes: &Changes,
    after: ClickId,
) -> Result<Option<u64>, Failure> {
    let mut tx = connection.begin().await?;
    let noted = sqlx::query("UPDATE click_amendments SET after_id = $3 WHERE kind = $1 AND run_id = $2")
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
    // Whoever counts such a day again at this moment has not seen the change, and takes the mark away.
    rollups::stand_beside_writers(&mut tx, &days).await?;
    let (workspaces, days): (Vec<Uuid>, Vec<Instant>) =
        days.iter().map(|(workspace, day)| (workspace.as_uuid(), Instant(day.start()))).unzip();
    sqlx::query(
        "INSERT INTO rollup_recounts (workspace_id, day)
         SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) ON CONFLICT DO NOTHING",
    )
    .bind(workspaces)
    .bind(days)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Some(rows.len() as u64))
}

#[async_trait]
impl AmendmentStore for PgStores {
    async fn begin(&self, run: &Amendment, is_anew: bool) -> Result<Option<ClickId>, StoreError> {
        let scope = &run.scope;
        self.within(async |connection| {
            let after: Option<Uuid> = sqlx::query_scalar(BEGIN)
                .bind(run.kind.as_str())
                .bind(run.run_id.as_uuid())
                .bind(&run.basis)
                .bind(scope.workspace_id.map(|id| id.as_uuid()))
                .bind(Instant(scope.since.start()))
                .bind(maybe_instant(scope.until.map(Day::start)))
                .bind(is_anew)
                .fetch_one(connection)
                .await?;
            Ok(after.map(ClickId::from_uuid))
        })
        .await
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
        self.within(async |connection| {
            let statement = if workspace_id.is_some() { CLICKS_OF_WORKSPACE } else { CLICKS };
            let mut query = sqlx::query(statement)
                .bind(Instant(start))
                .bind(Instant(day.end()))
                .bind(from)
                .bind(first_id(day.end()))
                .bind(i64::from(max));
            if let Some(workspace_id) = workspace_id {
                query = query.bind(workspace_id.as_uuid());
            }
            query.fetch_all(connection).await?.iter().map(stored).collect()
        })
        .await
    }

    async fn amend(
        &self,
        run: &Amendment,
        changes: &Changes,
        after: ClickId,
    ) -> Result<Option<u64>, StoreError> {
        self.within(async |connection| amend(connection, run, changes, after).await).await
    }

    async fn finish(&self, run: &Amendment) -> Result<(), StoreError> {
        self.within(async |connection| {
            sqlx::query("DELETE FROM click_amendments WHERE kind = $1 AND run_id = $2")
                .bind(run.kind.as_str())
                .bind(run.run_id.as_uuid())
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }
}
