//! Removing deleted links for good, with their clicks.

use std::collections::BTreeMap;

use uuid::Uuid;
use vayro_core::day::Day;
use vayro_core::ids::LinkId;
use vayro_core::ledger::Removal;
use vayro_core::ports::StoreError;
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::error::store_error;
use crate::ledger;
use crate::row::instant;

/// Clicks removed in one transaction: a link may have millions, and edits wait for the write lock.
const CLICKS_PER_STEP: u32 = 2_000;

/// How far one step came.
enum Step {
    /// The link is gone.
    Removed,
    /// There are more clicks.
    Unfinished,
    /// It was restored or removed by somebody else meanwhile.
    NotOurs,
}

/// Returns links that were deleted before `deadline`, those first that were deleted first.
pub(crate) async fn deleted_before(
    stores: &SqliteStores,
    deadline: Timestamp,
    max: u16,
) -> Result<Vec<LinkId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM links WHERE deleted_at IS NOT NULL AND deleted_at < ?1
         ORDER BY deleted_at, id LIMIT ?2",
    )
    .bind(deadline.as_micros())
    .bind(max)
    .fetch_all(&stores.readers)
    .await
    .map_err(store_error)?;
    Ok(ids.into_iter().map(LinkId::from_uuid).collect())
}

/// Removes links one after the other, each in as many short transactions as its clicks need. Until the
/// last of them the link stays deleted and keeps its code.
pub(crate) async fn purge_deleted(
    stores: &SqliteStores,
    deadline: Timestamp,
    max: u16,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    for id in deleted_before(stores, deadline, max).await? {
        removed += loop {
            match step(stores, id.as_uuid(), deadline).await? {
                Step::Removed => break 1,
                Step::NotOurs => break 0,
                Step::Unfinished => {}
            }
        };
    }
    Ok(removed)
}

async fn step(stores: &SqliteStores, id: Uuid, deadline: Timestamp) -> Result<Step, StoreError> {
    let mut tx = stores.begin().await?;
    let is_ours: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM links WHERE id = ?1 AND deleted_at < ?2)")
            .bind(id)
            .bind(deadline.as_micros())
            .fetch_one(&mut *tx)
            .await
            .map_err(store_error)?;
    if !is_ours {
        return Ok(Step::NotOurs);
    }
    let times: Vec<i64> = sqlx::query_scalar(
        "DELETE FROM click_events
         WHERE rowid IN (SELECT rowid FROM click_events WHERE link_id = ?1 LIMIT ?2)
         RETURNING timestamp",
    )
    .bind(id)
    .bind(CLICKS_PER_STEP)
    .fetch_all(&mut *tx)
    .await
    .map_err(store_error)?;
    let is_last = times.len() < CLICKS_PER_STEP as usize;
    let mut days: BTreeMap<Day, u64> = BTreeMap::new();
    for micros in times {
        *days.entry(Day::of(instant(micros, "click_events.timestamp")?)).or_default() += 1;
    }
    ledger::note(&mut tx, days, Removal::LinkDeleted).await?;
    if is_last {
        for statement in [
            // What the workspace counted of it has to be counted again.
            "INSERT INTO rollup_recounts (workspace_id, day)
             SELECT DISTINCT workspace_id, start FROM click_rollups WHERE subject_id = ?1 AND span = 'day'
             ON CONFLICT DO NOTHING",
            "DELETE FROM click_rollups WHERE subject_id = ?1",
            "DELETE FROM link_totals WHERE link_id = ?1",
            "DELETE FROM links WHERE id = ?1",
        ] {
            sqlx::query(statement).bind(id).execute(&mut *tx).await.map_err(store_error)?;
        }
    }
    tx.commit().await.map_err(store_error)?;
    Ok(if is_last { Step::Removed } else { Step::Unfinished })
}
