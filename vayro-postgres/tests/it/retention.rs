//! Months are taken out beside readers and writers, whatever comes in between.

use std::time::Duration;

use sqlx::postgres::PgPool;
use vayro_core::contract::stores::{Owner, at, click};
use vayro_core::link::Link;
use vayro_core::ports::{ClickStore, RetentionStore, StoreError, WriteError};
use vayro_core::retention::{Cut, Detached, Keep, RemovedMonth, Retention};
use vayro_core::stream::DeadReason;
use vayro_testing::wait;

use crate::fixture::{Fixture, fixture};

const DAY: i64 = 86_400;
/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest that somebody may be held up who has nothing to do with the month.
const HARDLY: Duration = Duration::from_secs(2);

/// Nobody keeps anything from before the second of May.
fn cut() -> Cut {
    let keep = Keep::For(Duration::from_secs(8 * 86_400));
    Retention { free: keep, pro: keep, enterprise: keep, ..Retention::default() }.cut(at(0))
}

fn april(clicks: u64) -> RemovedMonth {
    RemovedMonth { first: "2026-04-01".parse().expect("a day"), clicks }
}

/// A link with three clicks in April and one in May.
async fn cast(fixture: &Fixture) -> (Owner, Link) {
    let owner = fixture.stores.owner("ada").await;
    fixture.stores.prepare_months().await;
    let link = fixture.stores.link(&owner, "launch").await;
    let rows = [-20, -15, -10, 0].map(|day| click(&link, at(day * DAY)));
    fixture.pg.write(&rows).await.expect("stored");
    (owner, link)
}

async fn is_half_detached(sql: &PgPool) -> bool {
    sqlx::query_scalar(
        "SELECT bool_or(inhdetachpending) FROM pg_inherits WHERE inhparent = 'click_events'::regclass",
    )
    .fetch_one(sql)
    .await
    .expect("answers")
}

async fn exists(sql: &PgPool, table: &str) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = $1)")
        .bind(table)
        .fetch_one(sql)
        .await
        .expect("answers")
}

async fn noted(sql: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT coalesce(sum(clicks), 0)::bigint FROM click_removals WHERE reason = 'expired'")
        .fetch_one(sql)
        .await
        .expect("answers")
}

/// Writes and reads as workers and the API do, and says that it hardly took any time.
async fn assert_nobody_waits(fixture: &Fixture, owner: &Owner, link: &Link) {
    let work = async {
        fixture.pg.write(&[click(link, at(5))]).await.expect("stored");
        let scope = vayro_core::analytics::ClickScope {
            workspace_id: owner.workspace_id,
            link_id: Some(link.id),
            start: at(-40 * DAY),
            end: at(DAY),
            classes: vec![vayro_core::click::ClickClass::Counted],
            filters: Vec::new(),
        };
        fixture.stores.analytics.totals(&scope).await.expect("answers");
        fixture.stores.reload(link).await;
    };
    tokio::time::timeout(HARDLY, work).await.expect("nobody waits for the month to go");
}

fn removing(fixture: &Fixture) -> tokio::task::JoinHandle<Result<Vec<RemovedMonth>, StoreError>> {
    let pg = fixture.pg.clone();
    tokio::spawn(async move { pg.remove_months(&cut(), Detached::Drop).await })
}

#[tokio::test]
async fn a_month_goes_while_one_writes_and_another_reads() {
    let fixture = fixture().await;
    let (owner, link) = cast(&fixture).await;
    let sql = fixture.sql().await;
    let mut writer = sql.begin().await.expect("begins");
    sqlx::query(
        "INSERT INTO click_events (id, link_id, workspace_id, timestamp, class)
         VALUES ($1, $2, $3, '2026-05-10T12:00:00Z', 'counted')",
    )
    .bind(uuid::Uuid::from_u128(1))
    .bind(link.id.as_uuid())
    .bind(link.workspace_id.as_uuid())
    .execute(&mut *writer)
    .await
    .expect("stored");
    let mut reader = sql.begin().await.expect("begins");
    let seen: i64 =
        sqlx::query_scalar("SELECT count(*) FROM click_events").fetch_one(&mut *reader).await.expect("reads");
    assert_eq!(seen, 4);

    let removing = removing(&fixture);
    wait::until("the month is half detached", PATIENCE, async || is_half_detached(&sql).await.then_some(()))
        .await;
    assert_nobody_waits(&fixture, &owner, &link).await;
    assert!(!removing.is_finished(), "it waits for those who began before it");
    writer.commit().await.expect("commits");
    reader.commit().await.expect("commits");
    assert_eq!(removing.await.expect("does not panic").expect("removed"), [april(3)]);
    assert!(!exists(&sql, "click_events_202604").await);
    assert_eq!(noted(&sql).await, 3);
}

/// Somebody reads for longer than anybody waits.
#[tokio::test]
async fn a_half_detached_month_is_finished_by_the_next_call() {
    let fixture = fixture().await;
    let (owner, link) = cast(&fixture).await;
    let sql = fixture.sql().await;
    let mut reader = sql.begin().await.expect("begins");
    sqlx::query("SELECT count(*) FROM click_events").execute(&mut *reader).await.expect("reads");
    let given_up = fixture.pg.remove_months(&cut(), Detached::Drop).await;
    assert!(matches!(given_up, Err(StoreError::Unavailable(_))), "{given_up:?}");
    assert!(is_half_detached(&sql).await);
    assert_nobody_waits(&fixture, &owner, &link).await;
    fixture.stores.prepare_months().await;
    let late = fixture.pg.write(&[click(&link, at(-12 * DAY))]).await;
    assert!(matches!(late, Err(WriteError::Rejected { reason: DeadReason::OutOfRange, .. })), "{late:?}");
    // What goes as a whole is not removed click by click.
    fixture.pg.raise_horizons(&cut()).await.expect("raised");
    assert_eq!(fixture.pg.remove_clicks(100).await.expect("answers"), 0);
    assert_eq!(noted(&sql).await, 0);

    reader.rollback().await.expect("ends");
    assert_eq!(fixture.pg.remove_months(&cut(), Detached::Drop).await.expect("removed"), [april(3)]);
    assert!(!exists(&sql, "click_events_202604").await);
    assert_eq!(noted(&sql).await, 3);
    assert_eq!(fixture.pg.remove_months(&cut(), Detached::Drop).await.expect("nothing to do"), []);
}

/// Dropping needs the table of links for a moment; whoever reads it goes first, and nobody waits for long.
#[tokio::test]
async fn dropping_gives_way_to_readers_of_links() {
    let fixture = fixture().await;
    let (owner, link) = cast(&fixture).await;
    let sql = fixture.sql().await;
    let mut reader = sql.begin().await.expect("begins");
    sqlx::query("SELECT count(*) FROM links").execute(&mut *reader).await.expect("reads");
    let removing = removing(&fixture);
    let is_detached =
        "SELECT NOT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = 'click_events_202604'::regclass)";
    wait::until("the month is detached", PATIENCE, async || {
        let is_detached: bool = sqlx::query_scalar(is_detached).fetch_one(&sql).await.expect("answers");
        is_detached.then_some(())
    })
    .await;
    assert_nobody_waits(&fixture, &owner, &link).await;
    reader.commit().await.expect("ends");
    assert_eq!(removing.await.expect("does not panic").expect("removed"), [april(3)]);
    assert_eq!(noted(&sql).await, 3);
}

#[tokio::test]
async fn a_month_kept_aside_is_never_attached_again() {
    let fixture = fixture().await;
    let (_, link) = cast(&fixture).await;
    let sql = fixture.sql().await;
    for expected in [vec![april(3)], vec![]] {
        assert_eq!(fixture.pg.remove_months(&cut(), Detached::Keep).await.expect("removed"), expected);
        fixture.stores.prepare_months().await;
        let aside: i64 = sqlx::query_scalar("SELECT count(*) FROM click_events_202604")
            .fetch_one(&sql)
            .await
            .expect("it is beside the table");
        let inside: i64 =
            sqlx::query_scalar("SELECT count(*) FROM click_events").fetch_one(&sql).await.expect("answers");
        assert_eq!((aside, inside, noted(&sql).await), (3, 1, 3));
    }
    let late = fixture.pg.write(&[click(&link, at(-12 * DAY))]).await;
    assert!(matches!(late, Err(WriteError::Rejected { reason: DeadReason::OutOfRange, .. })), "{late:?}");
    // Nor does a later call that drops touch what an earlier one left.
    assert_eq!(fixture.pg.remove_months(&cut(), Detached::Drop).await.expect("nothing to do"), []);
    assert!(exists(&sql, "click_events_202604").await);
}

/// An operator may have a month beside the table for reasons of their own.
#[tokio::test]
async fn a_month_that_somebody_else_detached_is_left_alone() {
    let fixture = fixture().await;
    cast(&fixture).await;
    let sql = fixture.sql().await;
    sqlx::query("ALTER TABLE click_events DETACH PARTITION click_events_202604")
        .execute(&sql)
        .await
        .expect("detached by hand");
    assert_eq!(fixture.pg.remove_months(&cut(), Detached::Drop).await.expect("nothing to do"), []);
    assert!(exists(&sql, "click_events_202604").await);
    assert_eq!(noted(&sql).await, 0);
}
