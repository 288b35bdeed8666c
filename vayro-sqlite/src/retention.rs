//! What goes by age: horizons of workspaces, clicks before them, rollups. There are no partitions, so a
//! month that nobody keeps is only closed; its clicks go like all others.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use uuid::Uuid;
use vayro_core::day::Day;
use vayro_core::ids::WorkspaceId;
use vayro_core::ledger::Removal;
use vayro_core::ports::{RetentionStore, StoreError};
use vayro_core::retention::{Cut, Detached, PlanReview, RemovedMonth, RetentionReview};

use crate::database::SqliteStores;
use crate::error::store_error;
use crate::ledger;
use crate::rollups::spans_of_a_day;
use crate::row::instant;
use crate::salts::DAY_MICROS;

/// Clicks removed in one transaction: edits wait for the write lock.
const CLICKS_PER_STEP: u32 = 2_000;
/// Workspaces with clicks that are too old, looked up at once.
const WORKSPACES_PER_CALL: u32 = 100;

/// The plan of each workspace: that of its oldest owner.
macro_rules! plans_of_workspaces {
    () => {
        "(SELECT w.id,
                 (SELECT u.plan FROM memberships m JOIN users u ON u.id = m.user_id
                  WHERE m.workspace_id = w.id AND m.role = 'owner'
                  ORDER BY m.created_at, m.user_id LIMIT 1) AS plan
          FROM workspaces w)"
    };
}

const RAISE_HORIZONS: &str = concat!(
    "INSERT INTO click_horizons (workspace_id, day)
     SELECT workspace.id, ?2 FROM ",
    plans_of_workspaces!(),
    " AS workspace WHERE coalesce(workspace.plan, '') = ?1
     ON CONFLICT (workspace_id) DO UPDATE SET day = max(day, excluded.day)"
);

const COUNT_WORKSPACES: &str =
    concat!("SELECT count(*) FROM ", plans_of_workspaces!(), " AS workspace WHERE workspace.plan = ?1");

const COUNT_CLICKS: &str = concat!(
    "SELECT count(*) FROM click_events c JOIN ",
    plans_of_workspaces!(),
    " AS workspace ON workspace.id = c.workspace_id WHERE workspace.plan = ?1 AND c.timestamp < ?2"
);

const WITH_OLD_CLICKS: &str = "SELECT workspace_id, day FROM click_horizons
     WHERE EXISTS (SELECT 1 FROM click_events c
                   WHERE c.workspace_id = click_horizons.workspace_id
                     AND c.timestamp < click_horizons.day * ?1)
     LIMIT ?2";

const REMOVE_CLICKS: &str = "DELETE FROM click_events
     WHERE rowid IN (SELECT rowid FROM click_events WHERE workspace_id = ?1 AND timestamp < ?2
                     ORDER BY timestamp LIMIT ?3)
     RETURNING timestamp";

const REMOVE_ROLLUPS: &str = concat!(
    "DELETE FROM click_rollups
     WHERE rowid IN (SELECT r.rowid FROM workspaces w CROSS JOIN click_rollups r
                     ON r.workspace_id = w.id AND r.start < ?1 AND r.span IN (",
    spans_of_a_day!(),
    ", 'week') LIMIT ?2)"
);

/// The newest month that was removed by age, by its first day; null if none was.
pub(crate) const NEWEST_REMOVED_MONTH: &str = "SELECT max(month) FROM removed_months";

/// Returns the first day after every month that was removed by age; `None` if none was.
pub(crate) async fn removed_until(connection: &mut SqliteConnection) -> Result<Option<Day>, sqlx::Error> {
    let newest: Option<i32> = sqlx::query_scalar(NEWEST_REMOVED_MONTH).fetch_one(connection).await?;
    Ok(newest.and_then(Day::from_number).map(Day::next_month))
}

/// Returns the first day of which a workspace keeps clicks.
pub(crate) async fn horizon(
    connection: &mut SqliteConnection,
    workspace_id: WorkspaceId,
) -> Result<Option<Day>, sqlx::Error> {
    let of_plan: Option<i32> = sqlx::query_scalar("SELECT day FROM click_horizons WHERE workspace_id = ?1")
        .bind(workspace_id.as_uuid())
        .fetch_optional(&mut *connection)
        .await?;
    Ok(of_plan.and_then(Day::from_number).max(removed_until(connection).await?))
}

/// Removes one step's clicks of a workspace.
async fn remove_some(
    stores: &SqliteStores,
    workspace: Uuid,
    horizon: Day,
    max: u32,
) -> Result<u64, StoreError> {
    let mut tx = stores.begin().await?;
    let times: Vec<i64> = sqlx::query_scalar(REMOVE_CLICKS)
        .bind(workspace)
        .bind(horizon.start().as_micros())
        .bind(max)
        .fetch_all(&mut *tx)
        .await
        .map_err(store_error)?;
    let count = times.len() as u64;
    let mut days: BTreeMap<Day, u64> = BTreeMap::new();
    for micros in times {
        *days.entry(Day::of(instant(micros, "click_events.timestamp")?)).or_default() += 1;
    }
    ledger::note(&mut tx, days, Removal::Expired).await?;
    tx.commit().await.map_err(store_error)?;
    Ok(count)
}

#[async_trait]
impl RetentionStore for SqliteStores {
    async fn review(&self, cut: &Cut) -> Result<RetentionReview, StoreError> {
        let mut tx = self.readers.begin().await.map_err(store_error)?;
        let mut review = RetentionReview::default();
        for (plan, first) in cut.plans() {
            let workspaces: i64 = sqlx::query_scalar(COUNT_WORKSPACES)
                .bind(plan.as_str())
                .fetch_one(&mut *tx)
                .await
                .map_err(store_error)?;
            let clicks: i64 = sqlx::query_scalar(COUNT_CLICKS)
                .bind(plan.as_str())
                .bind(first.start().as_micros())
                .fetch_one(&mut *tx)
                .await
                .map_err(store_error)?;
            let (workspaces, clicks) = (workspaces.unsigned_abs(), clicks.unsigned_abs());
            review.plans.push(PlanReview { plan, workspaces, clicks });
        }
        if let Some(first) = cut.rollups() {
            let rollups: i64 = sqlx::query_scalar("SELECT count(*) FROM click_rollups WHERE start < ?1")
                .bind(first.start().as_micros())
                .fetch_one(&mut *tx)
                .await
                .map_err(store_error)?;
            review.rollups = rollups.unsigned_abs();
        }
        tx.commit().await.map_err(store_error)?;
        Ok(review)
    }

    async fn raise_horizons(&self, cut: &Cut) -> Result<(), StoreError> {
        // The empty plan stands for workspaces that nobody owns.
        let plans = cut.plans().map(|(plan, day)| (plan.as_str(), day));
        let plans = plans.chain(cut.month().map(|month| ("", month)));
        let mut tx = self.begin().await?;
        for (plan, day) in plans {
            sqlx::query(RAISE_HORIZONS)
                .bind(plan)
                .bind(day.number())
                .execute(&mut *tx)
                .await
                .map_err(store_error)?;
        }
        tx.commit().await.map_err(store_error)
    }

    async fn horizon(&self, workspace_id: WorkspaceId) -> Result<Option<Day>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(store_error)?;
        horizon(&mut connection, workspace_id).await.map_err(store_error)
    }

    /// Closes the months; there is no storage to remove.
    async fn remove_months(&self, cut: &Cut, _detached: Detached) -> Result<Vec<RemovedMonth>, StoreError> {
        if let Some(before) = cut.month() {
            sqlx::query(
                "INSERT INTO removed_months (month, is_noted) VALUES (?1, TRUE) ON CONFLICT DO NOTHING",
            )
            .bind(before.minus(1).first_of_month().number())
            .execute(&self.writer)
            .await
            .map_err(store_error)?;
        }
        Ok(Vec::new())
    }

    async fn remove_clicks(&self, max: u32) -> Result<u64, StoreError> {
        let workspaces: Vec<(Uuid, i32)> = sqlx::query_as(WITH_OLD_CLICKS)
            .bind(DAY_MICROS)
            .bind(WORKSPACES_PER_CALL)
            .fetch_all(&self.readers)
            .await
            .map_err(store_error)?;
        let mut removed = 0;
        for (workspace, horizon) in workspaces {
            let Some(horizon) = Day::from_number(horizon) else { continue };
            while removed < u64::from(max) {
                let step = CLICKS_PER_STEP.min(max);
                let count = remove_some(self, workspace, horizon, step).await?;
                removed += count;
                if count < u64::from(step) {
                    break;
                }
            }
        }
        Ok(removed)
    }

    async fn remove_rollups(&self, first: Day, max: u32) -> Result<u64, StoreError> {
        sqlx::query(REMOVE_ROLLUPS)
            .bind(first.start().as_micros())
            .bind(max)
            .execute(&self.writer)
            .await
            .map(|done| done.rows_affected())
            .map_err(store_error)
    }
}
