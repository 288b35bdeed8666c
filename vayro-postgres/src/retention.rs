//! What goes by age: horizons of workspaces, clicks before them, rollups. Whole months are in `detach.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;
use vayro_core::day::Day;
use vayro_core::ids::WorkspaceId;
use vayro_core::ledger::Removal;
use vayro_core::ports::{RetentionStore, StoreError};
use vayro_core::retention::{Cut, Detached, PlanReview, RemovedMonth, RetentionReview};

use crate::database::PgStores;
use crate::error::{Failure, store_error};
use crate::instant::Instant;
use crate::rollups::spans_of_a_day;
use crate::{detach, ledger, months};

/// Clicks removed in one transaction.
const CLICKS_PER_STEP: u32 = 5_000;
/// Workspaces with clicks that are too old, looked up at once.
const WORKSPACES_PER_CALL: i32 = 100;
/// How long counting what is too old may take; it reads whole partitions.
const REVIEW_TIMEOUT: Duration = Duration::from_mins(10);

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
     SELECT workspace.id, DATE '1970-01-01' + kept.day
     FROM ",
    plans_of_workspaces!(),
    " AS workspace JOIN unnest($1::text[], $2::integer[]) AS kept (plan, day)
          ON kept.plan = coalesce(workspace.plan, '')
     ORDER BY workspace.id
     ON CONFLICT (workspace_id) DO UPDATE SET day = excluded.day WHERE click_horizons.day < excluded.day"
);

const COUNT_WORKSPACES: &str =
    concat!("SELECT count(*) FROM ", plans_of_workspaces!(), " AS workspace WHERE workspace.plan = $1");

const COUNT_CLICKS: &str = concat!(
    "SELECT count(*) FROM click_events c JOIN ",
    plans_of_workspaces!(),
    " AS workspace ON workspace.id = c.workspace_id WHERE workspace.plan = $1 AND c.timestamp < $2"
);

/// Workspaces with clicks that are too old. Each is asked for one of them: nothing else is read.
const WITH_OLD_CLICKS: &str = "SELECT horizon.workspace_id, horizon.day - DATE '1970-01-01'
     FROM click_horizons AS horizon,
          LATERAL (SELECT 1 FROM click_events c
                   WHERE c.workspace_id = horizon.workspace_id AND c.timestamp >= $2
                     AND c.timestamp < horizon.day::timestamp AT TIME ZONE 'UTC'
                   ORDER BY c.timestamp LIMIT 1) AS click
     LIMIT $1";

const REMOVE_CLICKS: &str = "DELETE FROM click_events
     WHERE (id, timestamp) IN (SELECT id, timestamp FROM click_events
                               WHERE workspace_id = $1 AND timestamp >= $2 AND timestamp < $3
                               ORDER BY timestamp LIMIT $4)
     RETURNING timestamp";

/// By workspace, since that is what the index begins with.
const REMOVE_ROLLUPS: &str = concat!(
    "DELETE FROM click_rollups
     WHERE (subject_id, span, start, slot) IN (
         SELECT old.* FROM workspaces w,
             LATERAL (SELECT subject_id, span, start, slot FROM click_rollups
                      WHERE workspace_id = w.id AND start < $1 AND span IN (",
    spans_of_a_day!(),
    ", 'week')
                      LIMIT $2) AS old
         LIMIT $2)"
);

/// Returns the first day of which a workspace keeps clicks.
pub(crate) async fn horizon(
    connection: &mut PgConnection,
    workspace_id: WorkspaceId,
) -> Result<Option<Day>, Failure> {
    let of_plan: Option<i32> =
        sqlx::query_scalar("SELECT day - DATE '1970-01-01' FROM click_horizons WHERE workspace_id = $1")
            .bind(workspace_id.as_uuid())
            .fetch_optional(&mut *connection)
            .await?;
    Ok(of_plan.and_then(Day::from_number).max(months::removed_until(connection).await?))
}

/// Removes one step's clicks of a workspace.
async fn remove_some(
    connection: &mut PgConnection,
    workspace: Uuid,
    (first, horizon): (Day, Day),
    max: u32,
) -> Result<u64, Failure> {
    let mut tx = connection.begin().await?;
    let times: Vec<Instant> = sqlx::query_scalar(REMOVE_CLICKS)
        .bind(workspace)
        .bind(Instant(first.start()))
        .bind(Instant(horizon.start()))
        .bind(i64::from(max))
        .fetch_all(&mut *tx)
        .await?;
    let mut days: BTreeMap<Day, u64> = BTreeMap::new();
    for at in &times {
        *days.entry(Day::of(at.0)).or_default() += 1;
    }
    ledger::note(&mut tx, days, Removal::Expired).await?;
    tx.commit().await?;
    Ok(times.len() as u64)
}

async fn review(connection: &mut PgConnection, cut: &Cut) -> Result<RetentionReview, Failure> {
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT set_config('statement_timeout', $1, true)")
        .bind(REVIEW_TIMEOUT.as_millis().to_string())
        .execute(&mut *tx)
        .await?;
    let mut review = RetentionReview::default();
    for (plan, first) in cut.plans() {
        let workspaces: i64 =
            sqlx::query_scalar(COUNT_WORKSPACES).bind(plan.as_str()).fetch_one(&mut *tx).await?;
        let clicks: i64 = sqlx::query_scalar(COUNT_CLICKS)
            .bind(plan.as_str())
            .bind(Instant(first.start()))
            .fetch_one(&mut *tx)
            .await?;
        let (workspaces, clicks) = (workspaces.unsigned_abs(), clicks.unsigned_abs());
        review.plans.push(PlanReview { plan, workspaces, clicks });
    }
    if let Some(before) = cut.month() {
        review.months = detach::due(&mut tx, before).await?;
    }
    if let Some(first) = cut.rollups() {
        let rollups: i64 = sqlx::query_scalar("SELECT count(*) FROM click_rollups WHERE start < $1")
            .bind(Instant(first.start()))
            .fetch_one(&mut *tx)
            .await?;
        review.rollups = rollups.unsigned_abs();
    }
    tx.commit().await?;
    Ok(review)
}

#[async_trait]
impl RetentionStore for PgStores {
    async fn review(&self, cut: &Cut) -> Result<RetentionReview, StoreError> {
        let work = async |connection: &mut PgConnection| review(connection, cut).await;
        self.lend(REVIEW_TIMEOUT + self.work_timeout(), work).await.map_err(store_error)
    }

    async fn raise_horizons(&self, cut: &Cut) -> Result<(), StoreError> {
        let (mut plans, mut days): (Vec<&str>, Vec<i32>) =
            cut.plans().map(|(plan, day)| (plan.as_str(), day.number())).unzip();
        if let Some(month) = cut.month() {
            // Workspaces that nobody owns.
            plans.push("");
            days.push(month.number());
        }
        self.within(async |connection| {
            sqlx::query(RAISE_HORIZONS).bind(plans).bind(days).execute(connection).await?;
            Ok(())
        })
        .await
    }

    async fn horizon(&self, workspace_id: WorkspaceId) -> Result<Option<Day>, StoreError> {
        self.within(async |connection| horizon(connection, workspace_id).await).await
    }

    async fn remove_months(&self, cut: &Cut, detached: Detached) -> Result<Vec<RemovedMonth>, StoreError> {
        match cut.month() {
            Some(before) => detach::remove(self, before, detached).await,
            None => Ok(Vec::new()),
        }
    }

    async fn remove_clicks(&self, max: u32) -> Result<u64, StoreError> {
        // Months that were removed go as a whole, also those that somebody still reads.
        let (first, workspaces) = self
            .within(async |connection| {
                let first = months::removed_until(connection).await?;
                let first = first.unwrap_or(Day::of(vayro_core::timestamp::Timestamp::EPOCH));
                let found: Vec<(Uuid, i32)> = sqlx::query_as(WITH_OLD_CLICKS)
                    .bind(WORKSPACES_PER_CALL)
                    .bind(Instant(first.start()))
                    .fetch_all(connection)
                    .await?;
                Ok((first, found))
            })
            .await?;
        let mut removed = 0;
        for (workspace, horizon) in workspaces {
            let Some(horizon) = Day::from_number(horizon) else { continue };
            while removed < u64::from(max) {
                let step = CLICKS_PER_STEP.min(max);
                let count = self
                    .within(async |connection| {
                        remove_some(connection, workspace, (first, horizon), step).await
                    })
                    .await?;
                removed += count;
                if count < u64::from(step) {
                    break;
                }
            }
        }
        Ok(removed)
    }

    async fn remove_rollups(&self, first: Day, max: u32) -> Result<u64, StoreError> {
        self.within(async |connection| {
            let removed = sqlx::query(REMOVE_ROLLUPS)
                .bind(Instant(first.start()))
                .bind(i64::from(max))
                .execute(connection)
                .await?;
            Ok(removed.rows_affected())
        })
        .await
    }
}
