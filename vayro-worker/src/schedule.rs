//! Work that comes around: trimming, partitions, old data, the GeoIP file.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use vayro_backends::causes;
use vayro_core::day::Day;
use vayro_core::dead_letters::{self, Pages};
use vayro_core::ids::LinkId;
use vayro_core::ports::{BoxError, StoreError};
use vayro_core::stream::DeadLetterFilter;
use vayro_core::timestamp::Timestamp;

use crate::enrich::Refresh;
use crate::ingest::Pipeline;
use crate::purges::LETTERS_PAGE;
use crate::retention::{Expired, expire};
use crate::stop::Stop;

/// How far partitions reach into past and future. Two months never have more days, so every click from
/// the month before last to the one after next has a place.
const PARTITION_REACH: Duration = Duration::from_secs(62 * 86_400);
/// Deleted links removed in one transaction.
const PURGE_BATCH: u16 = 100;
/// Expired idempotency keys removed in one transaction.
const PURGE_KEYS_BATCH: u16 = 1000;
/// Days looked up at once to be counted again.
const RECOUNT_BATCH: u16 = 100;
/// Such look-ups of one round; the rest waits for the next round.
const RECOUNT_ROUNDS_MAX: usize = 20;
/// How long ago a week must have ended before its days are put together. Most clicks that come late have come
/// by then; those that come later cost their links' weeks being put together again.
const WEEK_SETTLES: Duration = Duration::from_hours(24);
/// How long ago a day must have ended before the parts of busy ones are counted.
const DAY_SETTLES: Duration = Duration::from_mins(10);
/// Days before that are looked at together with their weeks.
const PARTS_REACH: Duration = Duration::from_hours(10 * 24);
/// Weeks of workspaces put together by one call.
const WEEKS_BATCH: u16 = 20;
/// Such calls of one round; the rest waits for the next round.
const WEEK_ROUNDS_MAX: usize = 50;
/// Transactions of one round of removing links, or keys; the rest waits for the next round.
const PURGE_ROUNDS_MAX: usize = 50;

/// Makes partitions, trying until it works. No click is read before that: it might have no place.
///
/// Returns false if stopping was asked for.
pub(crate) async fn make_partitions(pipeline: &Pipeline, stop: &mut Stop) -> bool {
    let mut backoff = pipeline.backoff();
    loop {
        let now = (pipeline.deps.clock)();
        let (from, to) = (now.minus(PARTITION_REACH), now.plus(PARTITION_REACH));
        match pipeline.deps.clicks.ensure_partitions(from, to).await {
            Ok(()) => {
                pipeline.database.up();
                return true;
            }
            Err(error) => {
                pipeline.database.down(&error);
                pipeline.metrics.database_retries.inc();
            }
        }
        if !backoff.wait(stop).await {
            return false;
        }
    }
}

/// Keeps partitions ahead of the time and removes what is too old.
pub(crate) async fn keep_house(pipeline: Arc<Pipeline>, mut stop: Stop) {
    loop {
        if !make_partitions(&pipeline, &mut stop).await {
            return;
        }
        let removed = tokio::select! {
            removed = async { [remove_links(&pipeline).await, remove_old(&pipeline).await] } => removed,
            () = stop.requested() => return,
        };
        for error in removed.into_iter().filter_map(Result::err) {
            let cause = causes(&*error);
            tracing::warn!(error = cause, "old data could not be removed and stays until next time: {cause}");
        }
        if !stop.pause(pipeline.settings.housekeeping_every).await {
            return;
        }
    }
}

/// Removes deleted links for good, with everything of theirs.
async fn remove_links(pipeline: &Pipeline) -> Result<(), BoxError> {
    let deps = &pipeline.deps;
    let deadline = (deps.clock)().minus(pipeline.settings.restore_window);
    let mut links = 0;
    for _ in 0..PURGE_ROUNDS_MAX {
        let doomed = deps.links.deleted_before(deadline, PURGE_BATCH).await?;
        if doomed.is_empty() {
            break;
        }
        // First, since nobody knows of these links any more once they are gone.
        remove_letters(pipeline, &doomed).await?;
        let purged = deps.links.purge_deleted(deadline, PURGE_BATCH).await?;
        links += purged;
        if purged < u64::from(PURGE_BATCH) {
            break;
        }
    }
    if links > 0 {
        tracing::info!(links, "removed {links} deleted links");
    }
    Ok(())
}

/// Removes the dead letters of these links.
async fn remove_letters(pipeline: &Pipeline, links: &[LinkId]) -> Result<(), BoxError> {
    let deps = &pipeline.deps;
    let links: HashSet<String> = links.iter().map(LinkId::to_string).collect();
    let everything = DeadLetterFilter::default();
    let mut pages = Pages::new(&*deps.dead_letters, &everything, LETTERS_PAGE);
    while let Some(mut letters) = pages.next().await? {
        letters.retain(|letter| letter.link_id().is_some_and(|id| links.contains(id)));
        dead_letters::purge::<BoxError>(&letters, &*deps.dead_letters, &*deps.ledger).await?;
    }
    Ok(())
}

async fn remove_old(pipeline: &Pipeline) -> Result<(), BoxError> {
    let now = (pipeline.deps.clock)();
    // Salts first: keeping them too long is a broken promise, the rest is only space.
    let salts = pipeline.deps.clicks.delete_salts(now.minus(pipeline.settings.salt_retention)).await?;
    let sessions = pipeline.deps.sessions.delete_expired(now).await?;
    let mut keys = 0;
    for _ in 0..PURGE_ROUNDS_MAX {
        let purged = pipeline.deps.idempotency.purge(now, PURGE_KEYS_BATCH).await?;
        keys += purged;
        if purged < u64::from(PURGE_KEYS_BATCH) {
            break;
        }
    }
    recount_due(pipeline).await?;
    expire_old(pipeline).await?;
    roll_up(pipeline).await?;
    if salts + sessions + keys > 0 {
        tracing::info!(
            salts,
            sessions,
            keys,
            "removed {salts} salts, {sessions} expired sessions and {keys} expired idempotency keys"
        );
    }
    Ok(())
}

/// Removes clicks and rollups that are older than they are kept.
async fn expire_old(pipeline: &Pipeline) -> Result<(), StoreError> {
    let now = (pipeline.deps.clock)();
    let expired = expire(&*pipeline.deps.retention, &pipeline.settings.retention, now).await?;
    if !expired.is_empty() {
        let Expired { months, clicks, rollups } = &expired;
        let (months, in_months) = (months.len(), months.iter().map(|month| month.clicks).sum::<u64>());
        tracing::info!(
            months,
            clicks = in_months + clicks,
            rollups,
            "removed by age: {months} months with {in_months} clicks, {clicks} other clicks, {rollups} rollups"
        );
    }
    Ok(())
}

/// Counts the parts of days that were busy lately, and puts the days of weeks that are over together.
async fn roll_up(pipeline: &Pipeline) -> Result<(), StoreError> {
    let now = (pipeline.deps.clock)();
    let store = &pipeline.deps.rollups;
    // Rollups before that go by age, those of a week that is kept in part too.
    let kept = pipeline.settings.retention.cut(now).rollups().map_or(Timestamp::EPOCH, Day::start);
    let mut rollups = store.roll_up_parts(kept.max(now.minus(PARTS_REACH)), now.minus(DAY_SETTLES)).await?;
    for _ in 0..WEEK_ROUNDS_MAX {
        let made = store.roll_up_weeks(kept, now.minus(WEEK_SETTLES), WEEKS_BATCH).await?;
        rollups += made;
        if made == 0 {
            break;
        }
    }
    if rollups > 0 {
        tracing::info!(
            rollups,
            "counted parts of busy days and put the days of weeks together: {rollups} rollups"
        );
    }
    Ok(())
}

/// Counts the days again of which clicks were removed.
pub(crate) async fn recount_due(pipeline: &Pipeline) -> Result<(), StoreError> {
    let rollups = &pipeline.deps.rollups;
    for _ in 0..RECOUNT_ROUNDS_MAX {
        let due = rollups.due(RECOUNT_BATCH).await?;
        for (workspace_id, day) in &due {
            let check = rollups.recount(*workspace_id, *day, true).await?;
            tracing::debug!(clicks = check.clicks, rollups = check.rollups, "counted a day again");
        }
        if due.len() < usize::from(RECOUNT_BATCH) {
            break;
        }
    }
    Ok(())
}

/// Removes settled clicks from the stream.
pub(crate) async fn trim(pipeline: Arc<Pipeline>, mut stop: Stop) {
    while stop.pause(pipeline.settings.trim_every).await {
        let now = (pipeline.deps.clock)();
        let trimmed = tokio::select! {
            trimmed = pipeline.deps.stream.trim(pipeline.settings.trim_window, now) => trimmed,
            () = stop.requested() => return,
        };
        match trimmed {
            Ok(count) => pipeline.metrics.trimmed.inc_by(count),
            Err(error) => {
                pipeline.stream.down(&error);
                pipeline.metrics.stream_retries.inc();
            }
        }
    }
}

/// Takes a changed GeoIP file into use.
pub(crate) async fn watch_geoip(pipeline: Arc<Pipeline>, mut stop: Stop) {
    while stop.pause(pipeline.settings.geoip_poll).await {
        let geoip = Arc::clone(pipeline.enricher.geoip());
        match tokio::task::spawn_blocking(move || geoip.refresh()).await {
            Ok(Refresh::Unchanged) => {}
            Ok(Refresh::Loaded(info)) => tracing::info!(
                geoip.database = info.database_type,
                geoip.built_at = %info.built_at,
                "took GeoIP database {} of {} into use",
                info.database_type,
                info.built_at
            ),
            Ok(Refresh::Gone) => {
                tracing::warn!("the GeoIP file is gone; what was read from it stays in use");
            }
            Ok(Refresh::Failed(error)) => {
                pipeline.metrics.geoip_failures.inc();
                tracing::error!(error = %error, "the new GeoIP file cannot be used; the old one stays: {error}");
            }
            Err(error) => tracing::error!(error = %error, "reading the GeoIP file failed: {error}"),
        }
    }
}
