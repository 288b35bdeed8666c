//! Clicks that are removed because somebody asked for it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::sqlite::{SqliteRow, SqliteTransaction};
use sqlx::{QueryBuilder, Row as _, SqliteConnection};
use uuid::Uuid;
use vayro_core::change::ChangeContext;
use vayro_core::click::ClickClass;
use vayro_core::day::Day;
use vayro_core::ids::{ClickId, LinkId, PurgeId, WorkspaceId};
use vayro_core::ledger::Removal;
use vayro_core::ports::{PurgeStore, StoreError};
use vayro_core::purge::{ClickSelector, NewPurge, Purge, PurgeState};
use vayro_core::timestamp::Timestamp;

use crate::audit::{Change, json, record};
use crate::database::SqliteStores;
use crate::error::store_error;
use crate::row::{bad, instant, maybe_instant, maybe_micros};
use crate::{ledger, retention};

const COLUMNS: &str =
    "SELECT id, link_id, from_at, to_at, network, created_at, forget_at, state, done_at, clicks
     FROM click_purges ";

/// Ids of one statement.
const IDS_PER_STATEMENT: usize = 500;

/// When nothing is left to tell by, it is when the link was made.
const SET_LAST_CLICK: &str = "UPDATE link_totals SET last_click_at = coalesce(
         (SELECT max(timestamp) FROM click_events c WHERE c.link_id = link_totals.link_id AND c.class = 'counted'),
         (SELECT created_at FROM links l WHERE l.id = link_totals.link_id))
     WHERE link_id = ?1";

const FORGET_EMPTY_TOTAL: &str = "DELETE FROM link_totals WHERE link_id = ?1 AND clicks = 0";

fn purge(row: &SqliteRow) -> Result<Purge, StoreError> {
    let number = |column| row.try_get::<Option<i64>, _>(column).map_err(store_error);
    let text = |column| row.try_get::<Option<String>, _>(column).map_err(store_error);
    let link_id: Option<Uuid> = row.try_get("link_id").map_err(store_error)?;
    let needed = |column, name| number(column)?.ok_or_else(|| bad(name));
    let state = text("state")?.and_then(|name| PurgeState::from_name(&name));
    let network = text("network")?;
    Ok(Purge {
        id: PurgeId::from_uuid(row.try_get("id").map_err(store_error)?),
        selector: ClickSelector {
            link_id: link_id.map(LinkId::from_uuid),
            from: maybe_instant(number("from_at")?, "click_purges.from_at")?,
            to: maybe_instant(number("to_at")?, "click_purges.to_at")?,
            network: network.map(|text| text.parse().map_err(|_| bad("click_purges.network"))).transpose()?,
        },
        created_at: instant(needed("created_at", "click_purges.created_at")?, "click_purges.created_at")?,
        forget_at: instant(needed("forget_at", "click_purges.forget_at")?, "click_purges.forget_at")?,
        state: state.ok_or_else(|| bad("click_purges.state"))?,
        done_at: maybe_instant(number("done_at")?, "click_purges.done_at")?,
        clicks: needed("clicks", "click_purges.clicks")?.unsigned_abs(),
    })
}

/// A row that was removed.
#[derive(sqlx::FromRow)]
struct Removed {
    id: Uuid,
    timestamp: i64,
    link_id: Uuid,
    workspace_id: Uuid,
    class: String,
}

/// Takes removed rows out of everything that was counted of them; days of rollups become due.
async fn uncount(tx: &mut SqliteTransaction<'_>, rows: &[Removed]) -> Result<(), StoreError> {
    let mut totals: BTreeMap<Uuid, i64> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.class == ClickClass::Counted.as_str()) {
        *totals.entry(row.link_id).or_default() += 1;
    }
    for (link, clicks) in totals {
        sqlx::query("UPDATE link_totals SET clicks = max(clicks - ?2, 0) WHERE link_id = ?1")
            .bind(link)
            .bind(clicks)
            .execute(&mut **tx)
            .await
            .map_err(store_error)?;
        for statement in [SET_LAST_CLICK, FORGET_EMPTY_TOTAL] {
            sqlx::query(statement).bind(link).execute(&mut **tx).await.map_err(store_error)?;
        }
    }
    let mut days: BTreeSet<(Uuid, Day)> = BTreeSet::new();
    for row in rows {
        days.insert((row.workspace_id, Day::of(instant(row.timestamp, "click_events.timestamp")?)));
    }
    for (workspace, day) in days {
        sqlx::query("INSERT INTO rollup_recounts (workspace_id, day) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(workspace)
            .bind(day.start().as_micros())
            .execute(&mut **tx)
            .await
            .map_err(store_error)?;
    }
    Ok(())
}

/// Notes clicks as removed, those that may come again by their ids and only once. Returns how many.
async fn note(
    tx: &mut SqliteTransaction<'_>,
    purge: &Purge,
    clicks: impl IntoIterator<Item = (Uuid, Timestamp)>,
) -> Result<u64, StoreError> {
    let mut days: BTreeMap<Day, u64> = BTreeMap::new();
    for (id, at) in clicks {
        let is_new = at < purge.recent_from()
            || sqlx::query(
                "INSERT INTO purged_clicks (click_id, purge_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            )
            .bind(id)
            .bind(purge.id.as_uuid())
            .execute(&mut **tx)
            .await
            .map_err(store_error)?
            .rows_affected()
                > 0;
        if is_new {
            *days.entry(Day::of(at)).or_default() += 1;
        }
    }
    let noted = days.values().sum::<u64>();
    sqlx::query("UPDATE click_purges SET clicks = clicks + ?2 WHERE id = ?1")
        .bind(purge.id.as_uuid())
        .bind(i64::try_from(noted).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await
        .map_err(store_error)?;
    ledger::note(tx, days, Removal::Requested).await?;
    Ok(noted)
}

/// Of a whole link also what its clicks added up to goes, of days that cannot be counted again too.
async fn uncount_link(connection: &mut SqliteConnection, link: Uuid) -> Result<(), StoreError> {
    for statement in [
        "UPDATE link_totals SET clicks = (SELECT count(*) FROM click_events c
                                          WHERE c.link_id = link_totals.link_id AND c.class = 'counted')
         WHERE link_id = ?1",
        SET_LAST_CLICK,
        FORGET_EMPTY_TOTAL,
    ] {
        sqlx::query(statement).bind(link).execute(&mut *connection).await.map_err(store_error)?;
    }
    // What can still be counted is counted again by itself.
    let workspace: Option<Uuid> =
        sqlx::query_scalar("SELECT workspace_id FROM click_rollups WHERE subject_id = ?1 LIMIT 1")
            .bind(link)
            .fetch_optional(&mut *connection)
            .await
            .map_err(store_error)?;
    let Some(workspace) = workspace else { return Ok(()) };
    let horizon = retention::horizon(connection, WorkspaceId::from_uuid(workspace)).await;
    let Some(horizon) = horizon.map_err(store_error)? else { return Ok(()) };
    sqlx::query("DELETE FROM click_rollups WHERE subject_id = ?1 AND start < ?2")
        .bind(link)
        .bind(horizon.start().as_micros())
        .execute(connection)
        .await
        .map(drop)
        .map_err(store_error)
}

#[async_trait]
impl PurgeStore for SqliteStores {
    async fn insert(&self, new: &NewPurge, context: &ChangeContext) -> Result<Purge, StoreError> {
        let ClickSelector { link_id, from, to, network } = new.selector;
        let mut tx = self.begin().await?;
        let workspace: Option<Uuid> = sqlx::query_scalar("SELECT workspace_id FROM links WHERE id = ?1")
            .bind(link_id.map(|id| id.as_uuid()))
            .fetch_optional(&mut *tx)
            .await
            .map_err(store_error)?;
        sqlx::query(
            "INSERT INTO click_purges (id, link_id, from_at, to_at, network, created_at, forget_at, state, clicks)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
        )
        .bind(new.id.as_uuid())
        .bind(link_id.map(|id| id.as_uuid()))
        .bind(maybe_micros(from))
        .bind(maybe_micros(to))
        .bind(network.map(|network| network.to_string()))
        .bind(context.at.as_micros())
        .bind(new.forget_at.as_micros())
        .bind(PurgeState::Waiting.as_str())
        .execute(&mut *tx)
        .await
        .map_err(store_error)?;
        let change = Change {
            workspace_id: workspace.map(WorkspaceId::from_uuid),
            action: "clicks.purge",
            subject_id: new.id.as_uuid(),
            before: serde_json::Value::Null,
            after: json(&new.selector)?,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(Purge {
            id: new.id,
            selector: new.selector,
            created_at: context.at,
            forget_at: new.forget_at,
            state: PurgeState::Waiting,
            done_at: None,
            clicks: 0,
        })
    }

    async fn find(&self, id: PurgeId) -> Result<Option<Purge>, StoreError> {
        let mut query = QueryBuilder::new(COLUMNS);
        query.push("WHERE id = ").push_bind(id.as_uuid());
        let found = query.build().fetch_optional(&self.readers).await.map_err(store_error)?;
        found.map(|row| purge(&row)).transpose()
    }

    async fn list(&self, max: u32) -> Result<Vec<Purge>, StoreError> {
        let mut query = QueryBuilder::new(COLUMNS);
        query.push("ORDER BY created_at, id LIMIT ").push_bind(max);
        let rows = query.build().fetch_all(&self.readers).await.map_err(store_error)?;
        rows.iter().map(purge).collect()
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
            "DELETE FROM click_events WHERE rowid IN (SELECT rowid FROM click_events WHERE timestamp >= ",
        );
        query.push_bind(from.as_micros()).push(" AND timestamp < ").push_bind(to.as_micros());
        if let Some(link_id) = link_id {
            query.push(" AND link_id = ").push_bind(link_id.as_uuid());
        }
        if let Some(network) = network {
            query.push(" AND ip_address = ").push_bind(network.to_string());
        }
        query.push(" LIMIT ").push_bind(max);
        query.push(") RETURNING id, timestamp, link_id, workspace_id, class");
        let mut tx = self.begin().await?;
        let rows: Vec<Removed> = query.build_query_as().fetch_all(&mut *tx).await.map_err(store_error)?;
        uncount(&mut tx, &rows).await?;
        let mut removed = Vec::with_capacity(rows.len());
        for row in &rows {
            removed.push((row.id, instant(row.timestamp, "click_events.timestamp")?));
        }
        note(&mut tx, purge, removed).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(rows.len() as u64)
    }

    async fn remove_clicks(&self, purge: &Purge, clicks: &[ClickId]) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        for some in clicks.chunks(IDS_PER_STATEMENT) {
            let mut query = QueryBuilder::new("DELETE FROM click_events WHERE id IN (");
            let mut ids = query.separated(", ");
            for id in some {
                ids.push_bind(id.as_uuid());
            }
            query.push(") RETURNING id, timestamp, link_id, workspace_id, class");
            let rows: Vec<Removed> = query.build_query_as().fetch_all(&mut *tx).await.map_err(store_error)?;
            uncount(&mut tx, &rows).await?;
        }
        let clicks: Vec<(Uuid, Timestamp)> =
            clicks.iter().filter_map(|id| Some((id.as_uuid(), id.timestamp()?))).collect();
        let noted = note(&mut tx, purge, clicks).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(noted)
    }

    async fn advance(&self, purge: &Purge, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let advanced =
            sqlx::query("UPDATE click_purges SET state = ?3, done_at = ?4 WHERE id = ?1 AND state = ?2")
                .bind(purge.id.as_uuid())
                .bind(purge.state.as_str())
                .bind(purge.state.next().as_str())
                .bind(at.as_micros())
                .execute(&mut *tx)
                .await
                .map_err(store_error)?;
        if advanced.rows_affected() > 0
            && let Some(link) = purge.selector.whole_link()
        {
            uncount_link(&mut tx, link.as_uuid()).await?;
        }
        tx.commit().await.map_err(store_error)
    }

    async fn forget(&self, id: PurgeId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for statement in
            ["DELETE FROM purged_clicks WHERE purge_id = ?1", "DELETE FROM click_purges WHERE id = ?1"]
        {
            sqlx::query(statement).bind(id.as_uuid()).execute(&mut *tx).await.map_err(store_error)?;
        }
        tx.commit().await.map_err(store_error)
    }
}
