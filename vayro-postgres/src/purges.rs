//! Clicks that are removed because somebody asked for it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, QueryBuilder, Row as _};
use uuid::Uuid;
use vayro_core::change::ChangeContext;
use vayro_core::click::ClickClass;
use vayro_core::day::Day;
use vayro_core::ids::{ClickId, LinkId, PurgeId, WorkspaceId};
use vayro_core::ledger::Removal;
use vayro_core::ports::{PurgeStore, StoreError};
use vayro_core::purge::{ClickSelector, NewPurge, Purge, PurgeState};
use vayro_core::timestamp::Timestamp;

use crate::audit::{Change, record};
use crate::database::PgStores;
use crate::error::Failure;
use crate::instant::Instant;
use crate::row::bad;
use crate::{ledger, retention};

const COLUMNS: &str =
    "SELECT id, link_id, from_at, to_at, network, created_at, forget_at, state, done_at, clicks
     FROM click_purges ";

/// The counters of links, as what remains says. Rows were removed before, and whoever stores clicks of these
/// links waits for the counter.
const LOWER_TOTALS: &str = "UPDATE link_totals SET clicks = greatest(link_totals.clicks - removed.clicks, 0)
     FROM unnest($1::uuid[], $2::bigint[]) AS removed (link_id, clicks)
     WHERE link_totals.link_id = removed.link_id";

const LOCK_TOTALS: &str = "SELECT 1 FROM link_totals WHERE link_id = ANY($1) ORDER BY link_id FOR UPDATE";

/// When nothing is left to tell by, it is when the link was made.
const SET_LAST_CLICKS: &str = "UPDATE link_totals SET last_click_at = coalesce(
         (SELECT max(timestamp) FROM click_events c WHERE c.link_id = link_totals.link_id AND c.class = 'counted'),
         (SELECT created_at FROM links l WHERE l.id = link_totals.link_id))
     WHERE link_id = ANY($1)";

fn purge(row: &PgRow) -> Result<Purge, Failure> {
    let network: Option<String> = row.try_get("network")?;
    let state: String = row.try_get("state")?;
    let instant = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<Instant>, _>(column)?.map(|at| at.0));
    Ok(Purge {
        id: PurgeId::from_uuid(row.try_get("id")?),
        selector: ClickSelector {
            link_id: row.try_get::<Option<Uuid>, _>("link_id")?.map(LinkId::from_uuid),
            from: instant("from_at")?,
            to: instant("to_at")?,
            network: network.map(|text| text.parse().map_err(|_| bad("click_purges.network"))).transpose()?,
        },
        created_at: row.try_get::<Instant, _>("created_at")?.0,
        forget_at: row.try_get::<Instant, _>("forget_at")?.0,
        state: PurgeState::from_name(&state).ok_or_else(|| bad("click_purges.state"))?,
        done_at: instant("done_at")?,
        clicks: row.try_get::<i64, _>("clicks")?.unsigned_abs(),
    })
}

/// A row that was removed.
#[derive(sqlx::FromRow)]
struct Removed {
    id: Uuid,
    timestamp: Instant,
    link_id: Uuid,
    workspace_id: Uuid,
    class: String,
}

/// Takes removed rows out of everything that was counted of them; days of rollups become due.
async fn uncount(connection: &mut PgConnection, rows: &[Removed]) -> Result<(), Failure> {
    let mut totals: BTreeMap<Uuid, i64> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.class == ClickClass::Counted.as_str()) {
        *totals.entry(row.link_id).or_default() += 1;
    }
    if !totals.is_empty() {
        let (links, clicks): (Vec<Uuid>, Vec<i64>) = totals.into_iter().unzip();
        sqlx::query(LOCK_TOTALS).bind(&links).execute(&mut *connection).await?;
        sqlx::query(LOWER_TOTALS).bind(&links).bind(clicks).execute(&mut *connection).await?;
        sqlx::query(SET_LAST_CLICKS).bind(&links).execute(&mut *connection).await?;
        forget_empty_totals(connection, &links).await?;
    }
    let days: BTreeSet<(Uuid, Day)> =
        rows.iter().map(|row| (row.workspace_id, Day::of(row.timestamp.0))).collect();
    let (workspaces, days): (Vec<Uuid>, Vec<Instant>) =
        days.into_iter().map(|(workspace, day)| (workspace, Instant(day.start()))).unzip();
    sqlx::query(
        "INSERT INTO rollup_recounts (workspace_id, day)
         SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) ON CONFLICT DO NOTHING",
    )
    .bind(workspaces)
    .bind(days)
    .execute(connection)
    .await?;
    Ok(())
}

async fn forget_empty_totals(connection: &mut PgConnection, links: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM link_totals WHERE link_id = ANY($1) AND clicks = 0")
        .bind(links)
        .execute(connection)
        .await
        .map(drop)
}

/// Notes clicks as removed, those that may come again by their ids and only once. Returns how many.
async fn note(
    connection: &mut PgConnection,
    purge: &Purge,
    clicks: impl IntoIterator<Item = (Uuid, Timestamp)>,
) -> Result<u64, Failure> {
    let (recent, old): (Vec<_>, Vec<_>) = clicks.into_iter().partition(|(_, at)| *at >= purge.recent_from());
    let mut days: BTreeMap<Day, u64> = BTreeMap::new();
    for (_, at) in &old {
        *days.entry(Day::of(*at)).or_default() += 1;
    }
    let mut ids: Vec<Uuid> = recent.into_iter().map(|(id, _)| id).collect();
    // In one order, so that two who note the same clicks never wait for each other in a circle.
    ids.sort_unstable();
    let new: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO purged_clicks (click_id, purge_id) SELECT click_id, $2 FROM unnest($1::uuid[]) AS click_id
         ON CONFLICT DO NOTHING RETURNING click_id",
    )
    .bind(ids)
    .bind(purge.id.as_uuid())
    .fetch_all(&mut *connection)
    .await?;
    for at in new.into_iter().filter_map(|id| ClickId::from_uuid(id).timestamp()) {
        *days.entry(Day::of(at)).or_default() += 1;
    }
    let noted = days.values().sum::<u64>();
    sqlx::query("UPDATE click_purges SET clicks = clicks + $2 WHERE id = $1")
        .bind(purge.id.as_uuid())
        .bind(i64::try_from(noted).unwrap_or(i64::MAX))
        .execute(&mut *connection)
        .await?;
    ledger::note(connection, days, Removal::Requested).await?;
    Ok(noted)
}

/// Of a whole link also what its clicks added up to goes, of days that cannot be counted again too.
async fn uncount_link(connection: &mut PgConnection, link: Uuid) -> Result<(), Failure> {
    sqlx::query(LOCK_TOTALS).bind([link]).execute(&mut *connection).await?;
    sqlx::query(
        "UPDATE link_totals SET clicks = (SELECT count(*) FROM click_events c
                                          WHERE c.link_id = link_totals.link_id AND c.class = 'counted')
         WHERE link_id = $1",
    )
    .bind(link)
    .execute(&mut *connection)
    .await?;
    sqlx::query(SET_LAST_CLICKS).bind([link]).execute(&mut *connection).await?;
    forget_empty_totals(connection, &[link]).await?;
    // What can still be counted is counted again by itself.
    let workspace: Option<Uuid> =
        sqlx::query_scalar("SELECT workspace_id FROM click_rollups WHERE subject_id = $1 LIMIT 1")
            .bind(link)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(workspace) = workspace else { return Ok(()) };
    let horizon = retention::horizon(connection, WorkspaceId::from_uuid(workspace)).await?;
    let Some(horizon) = horizon else { return Ok(()) };
    sqlx::query("DELETE FROM click_rollups WHERE subject_id = $1 AND start < $2")
        .bind(link)
        .bind(Instant(horizon.start()))
        .execute(connection)
        .await?;
    Ok(())
}

#[async_trait]
impl PurgeStore for PgStores {
    async fn insert(&self, new: &NewPurge, context: &ChangeContext) -> Result<Purge, StoreError> {
        let purge = Purge {
            id: new.id,
            selector: new.selector,
            created_at: context.at,
            forget_at: new.forget_at,
            state: PurgeState::Waiting,
            done_at: None,
            clicks: 0,
        };
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let workspace: Option<Uuid> = sqlx::query_scalar("SELECT workspace_id FROM links WHERE id = $1")
                .bind(new.selector.link_id.map(|id| id.as_uuid()))
                .fetch_optional(&mut *tx)
                .await?;
            sqlx::query(
                "INSERT INTO click_purges
                     (id, link_id, from_at, to_at, network, created_at, forget_at, state, clicks)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)",
            )
            .bind(new.id.as_uuid())
            .bind(new.selector.link_id.map(|id| id.as_uuid()))
            .bind(new.selector.from.map(Instant))
            .bind(new.selector.to.map(Instant))
            .bind(new.selector.network.map(|network| network.to_string()))
            .bind(Instant(context.at))
            .bind(Instant(new.forget_at))
            .bind(PurgeState::Waiting.as_str())
            .execute(&mut *tx)
            .await?;
            let change = Change {
                workspace: workspace.map(WorkspaceId::from_uuid),
                action: "clicks.purge",
                subject: new.id.as_uuid(),
                before: None,
                after: Some(&new.selector),
            };
            record(&mut tx, change, context).await?;
            tx.commit().await?;
            Ok(purge)
        })
        .await
    }

    async fn find(&self, id: PurgeId) -> Result<Option<Purge>, StoreError> {
        self.within(async |connection| {
            let mut query = QueryBuilder::new(COLUMNS);
            query.push("WHERE id = ").push_bind(id.as_uuid());
            query.build().fetch_optional(connection).await?.map(|row| purge(&row)).transpose()
        })
        .await
    }

    async fn list(&self, max: u32) -> Result<Vec<Purge>, StoreError> {
        self.within(async |connection| {
            let mut query = QueryBuilder::new(COLUMNS);
            query.push("ORDER BY created_at, id LIMIT ").push_bind(i64::from(max));
            query.build().fetch_all(connection).await?.iter().map(purge).collect()
        })
        .await
    }

    async fn remove_rows(
        &self,
        purge: &Purge,
        from: Timestamp,
        to: Timestamp,
        max: u32,
    ) -> Result<u64, StoreError> {
        let ClickSelector { link_id, network, .. } = purge.selector;
        let from = purge.selector.from.map_or(from, |begin| begin.max(from));
        let to = purge.selector.to.map_or(to, |end| end.min(to));
        let mut query = QueryBuilder::new(
            "DELETE FROM click_events WHERE (id, timestamp) IN (SELECT id, timestamp FROM click_events WHERE ",
        );
        query.push("timestamp >= ").push_bind(Instant(from));
        query.push(" AND timestamp < ").push_bind(Instant(to));
        if let Some(link_id) = link_id {
            query.push(" AND link_id = ").push_bind(link_id.as_uuid());
        }
        if let Some(network) = network {
            query.push(" AND ip_address = ").push_bind(network.to_string());
        }
        query.push(" LIMIT ").push_bind(i64::from(max));
        query.push(") RETURNING id, timestamp, link_id, workspace_id, class");
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            // Planned anew each time: what is given decides which index is right.
            let rows: Vec<Removed> = query.build_query_as().persistent(false).fetch_all(&mut *tx).await?;
            uncount(&mut tx, &rows).await?;
            note(&mut tx, purge, rows.iter().map(|row| (row.id, row.timestamp.0))).await?;
            tx.commit().await?;
            Ok(rows.len() as u64)
        })
        .await
    }

    async fn remove_clicks(&self, purge: &Purge, clicks: &[ClickId]) -> Result<u64, StoreError> {
        let clicks: Vec<(Uuid, Timestamp)> =
            clicks.iter().filter_map(|id| Some((id.as_uuid(), id.timestamp()?))).collect();
        let (ids, times): (Vec<Uuid>, Vec<Instant>) =
            clicks.iter().map(|(id, at)| (*id, Instant(*at))).unzip();
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let rows: Vec<Removed> = sqlx::query_as(
                "DELETE FROM click_events
                 WHERE (id, timestamp) IN (SELECT * FROM unnest($1::uuid[], $2::timestamptz[]))
                 RETURNING id, timestamp, link_id, workspace_id, class",
            )
            .bind(ids)
            .bind(times)
            .fetch_all(&mut *tx)
            .await?;
            uncount(&mut tx, &rows).await?;
            let noted = note(&mut tx, purge, clicks).await?;
            tx.commit().await?;
            Ok(noted)
        })
        .await
    }

    async fn advance(&self, purge: &Purge, at: Timestamp) -> Result<(), StoreError> {
        let state = purge.state.next();
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            // Only from the state that was seen: several processes may be at it.
            let advanced =
                sqlx::query("UPDATE click_purges SET state = $3, done_at = $4 WHERE id = $1 AND state = $2")
                    .bind(purge.id.as_uuid())
                    .bind(purge.state.as_str())
                    .bind(state.as_str())
                    .bind(Instant(at))
                    .execute(&mut *tx)
                    .await?;
            if advanced.rows_affected() > 0
                && let Some(link) = purge.selector.whole_link()
            {
                uncount_link(&mut tx, link.as_uuid()).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn forget(&self, id: PurgeId) -> Result<(), StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            for statement in
                ["DELETE FROM purged_clicks WHERE purge_id = $1", "DELETE FROM click_purges WHERE id = $1"]
            {
                sqlx::query(statement).bind(id.as_uuid()).execute(&mut *tx).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }
}
