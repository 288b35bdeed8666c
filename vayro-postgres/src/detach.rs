//! Taking whole months out of `click_events`.
//!
//! A month goes in steps, each of which may be the last one for now, and the next call goes on:
//!
//! 1. It is marked in `removed_months`. From then on nobody makes it again, and its rollups are not counted
//!    again.
//! 2. `DETACH PARTITION … CONCURRENTLY`, which waits for the transactions that use the table and keeps
//!    nobody from using it. If that takes too long the partition is left half detached, invisible to new
//!    transactions, and is detached with `FINALIZE` later.
//! 3. One transaction notes how many clicks it held, drops it (or leaves it beside the table), and unmarks it.

use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use vayro_core::day::Day;
use vayro_core::ledger::Removal;
use vayro_core::ports::StoreError;
use vayro_core::retention::{Detached, RemovedMonth};

use crate::database::PgStores;
use crate::error::{Failure, is_lock_timeout, store_error};
use crate::months::{self, Month};

/// First number of the advisory lock of whoever removes months: "vayrgone" in ASCII.
const LOCK_KEY: i64 = 0x7661_7972_676f_6e65;
/// How long each try waits for locks. Whoever wants a link's row while we wait for the lock on its table waits
/// behind us, so the tries are short at first.
const TRIES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
    Duration::from_millis(2_000),
];
/// Pause between tries, in which those who waited behind us go on.
const PAUSE: Duration = Duration::from_millis(300);
/// How long removing months may take; the clicks of each are counted.
const REMOVE_TIMEOUT: Duration = Duration::from_mins(30);

/// How a month's table stands to `click_events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Attached,
    HalfDetached,
    Beside,
    Gone,
}

/// Returns the months before `before` that are there, by their first days.
pub(crate) async fn due(connection: &mut PgConnection, before: Day) -> Result<Vec<Day>, Failure> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'click_events'::regclass",
    )
    .fetch_all(connection)
    .await?;
    let months = names.iter().filter_map(|name| Month::of_name(name)).map(|month| month.first_day());
    let mut months: Vec<Day> = months.filter(|first| *first < before).collect();
    months.sort_unstable();
    Ok(months)
}

/// Removes every month before `before`, the first day of a month, which nobody keeps.
pub(crate) async fn remove(
    stores: &PgStores,
    before: Day,
    detached: Detached,
) -> Result<Vec<RemovedMonth>, StoreError> {
    // Not a pooled connection: detaching needs one outside any transaction, with limits of its own, and a
    // lock that ends with its session.
    let mut connection = stores.connect.connect().await.map_err(|error| store_error(error.into()))?;
    let work = remove_on(&mut connection, before, detached);
    let removed = match tokio::time::timeout(REMOVE_TIMEOUT, work).await {
        Ok(removed) => removed,
        Err(elapsed) => Err(sqlx::Error::Io(elapsed.into()).into()),
    };
    if let Err(error) = connection.close().await {
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended badly");
    }
    removed.map_err(store_error)
}

async fn remove_on(
    connection: &mut PgConnection,
    before: Day,
    detached: Detached,
) -> Result<Vec<RemovedMonth>, Failure> {
    let is_ours: bool = sqlx::query_scalar(
        "SELECT set_config('TimeZone', 'UTC', false) IS NOT NULL AND pg_try_advisory_lock($1)",
    )
    .bind(LOCK_KEY)
    .fetch_one(&mut *connection)
    .await?;
    if !is_ours {
        // Another process is at it.
        return Ok(Vec::new());
    }
    mark(connection, before).await?;
    let marked: Vec<i32> = sqlx::query_scalar(
        "SELECT month - DATE '1970-01-01' FROM removed_months WHERE NOT is_noted ORDER BY month",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut removed = Vec::with_capacity(marked.len());
    for first in marked.into_iter().filter_map(Day::from_number) {
        let month = Month::of_day(first);
        take_out(connection, &month).await?;
        if let Some(clicks) = note(connection, &month, detached).await? {
            removed.push(RemovedMonth { first, clicks });
        }
    }
    Ok(removed)
}

/// Marks months to be removed, and the newest month that nobody keeps, so that none before is made again.
async fn mark(connection: &mut PgConnection, before: Day) -> Result<(), Failure> {
    let mut tx = connection.begin().await?;
    months::lock(&mut tx).await?;
    let months = due(&mut tx, before).await?;
    let newest = before.minus(1).first_of_month();
    let marks = months.into_iter().map(|month| (month, false)).chain([(newest, true)]);
    for (month, is_noted) in marks {
        sqlx::query(
            "INSERT INTO removed_months (month, is_noted) VALUES (DATE '1970-01-01' + $1, $2)
             ON CONFLICT DO NOTHING",
        )
        .bind(month.number())
        .bind(is_noted)
        .execute(&mut *tx)
        .await?;
    }
    Ok(tx.commit().await?)
}

async fn standing(connection: &mut PgConnection, month: &Month) -> Result<Standing, Failure> {
    let found: Option<Option<bool>> = sqlx::query_scalar(
        "SELECT (SELECT i.inhdetachpending FROM pg_inherits i
                 WHERE i.inhrelid = c.oid AND i.inhparent = 'click_events'::regclass)
         FROM pg_class c
         WHERE c.relname = $1
           AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'click_events'::regclass)",
    )
    .bind(&month.name)
    .fetch_optional(connection)
    .await?;
    Ok(match found {
        None => Standing::Gone,
        Some(None) => Standing::Beside,
        Some(Some(false)) => Standing::Attached,
        Some(Some(true)) => Standing::HalfDetached,
    })
}

/// Detaches a month, or what is left to do of that.
async fn take_out(connection: &mut PgConnection, month: &Month) -> Result<(), Failure> {
    let mut outcome = Ok(());
    for limit in TRIES {
        let how = match standing(connection, month).await? {
            Standing::Gone | Standing::Beside => return Ok(()),
            Standing::Attached => "CONCURRENTLY",
            Standing::HalfDetached => "FINALIZE",
        };
        set_lock_timeout(connection, limit).await?;
        // Made of a date alone. In a statement of its own: it refuses to run within a transaction.
        let detach = format!("ALTER TABLE click_events DETACH PARTITION {} {how}", month.name);
        outcome = sqlx::raw_sql(AssertSqlSafe(detach)).execute(&mut *connection).await.map(drop);
        match &outcome {
            Err(error) if is_lock_timeout(error) => tokio::time::sleep(PAUSE).await,
            _ => break,
        }
    }
    Ok(outcome?)
}

async fn set_lock_timeout(connection: &mut PgConnection, limit: Duration) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(limit.as_millis().to_string())
        .execute(connection)
        .await
        .map(drop)
}

/// Notes the clicks of a detached month and drops it, or leaves it, in one transaction. `None` if it was not
/// there.
async fn note(
    connection: &mut PgConnection,
    month: &Month,
    detached: Detached,
) -> Result<Option<u64>, Failure> {
    let is_there = standing(connection, month).await? == Standing::Beside;
    let mut tx = connection.begin().await?;
    let mut clicks = None;
    if is_there {
        let count = format!(
            "WITH counted AS (SELECT (timestamp AT TIME ZONE 'UTC')::date AS day, count(*) AS clicks
                              FROM {} GROUP BY 1),
                  noted AS (INSERT INTO click_removals (day, reason, clicks)
                            SELECT day, $1, clicks FROM counted ORDER BY day
                            ON CONFLICT (day, reason)
                            DO UPDATE SET clicks = click_removals.clicks + excluded.clicks)
             SELECT coalesce(sum(clicks), 0)::bigint FROM counted",
            month.name
        );
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count))
            .persistent(false)
            .bind(Removal::Expired.as_str())
            .fetch_one(&mut *tx)
            .await?;
        clicks = Some(count.unsigned_abs());
        if detached == Detached::Drop {
            drop_table(&mut tx, month).await?;
        }
    }
    sqlx::query("UPDATE removed_months SET is_noted = TRUE WHERE month = DATE '1970-01-01' + $1")
        .bind(month.first_day().number())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(clicks)
}

/// Drops a month. The foreign key makes this need the table of links for itself for a moment, so it gives way
/// to whoever holds it.
async fn drop_table(connection: &mut PgConnection, month: &Month) -> Result<(), Failure> {
    let mut outcome = Ok(());
    for limit in TRIES {
        set_lock_timeout(connection, limit).await?;
        // A savepoint: a try that failed must not undo the note.
        let mut attempt = connection.begin().await?;
        let statement = sqlx::query(AssertSqlSafe(format!("DROP TABLE {}", month.name)));
        outcome = statement.persistent(false).execute(&mut *attempt).await.map(drop);
        match &outcome {
            Ok(()) => {
                attempt.commit().await?;
                break;
            }
            Err(error) if is_lock_timeout(error) => {
                attempt.rollback().await?;
                tokio::time::sleep(PAUSE).await;
            }
            Err(_) => break,
        }
    }
    Ok(outcome?)
}
