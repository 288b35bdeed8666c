//! What must hold when a part is away: redirects go on, no click is missing, none is there twice.

use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection as _, Row as _};
use vayro_testing::load::{Load, LoadResult};
use vayro_testing::system::{Role, System};
use vayro_testing::{postgres, redis, wait};

use super::id;

/// How long a part is away.
const OUTAGE: Duration = Duration::from_secs(30);
/// How long everything may take to catch up afterwards.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(90);

/// Waits until rows stop arriving and compares them with what visitors got.
///
/// A visitor without an answer may have been counted or not; nobody else may.
pub(super) async fn rows_match(database: &str, link: &Value, result: LoadResult) {
    let mut last = (0, 0);
    wait::until("a row for every answered visit", CATCH_UP_LIMIT, async || {
        last = rows(database, link).await?;
        (last.0 >= i64::try_from(result.redirected).ok()?).then_some(())
    })
    .await;
    // Anything that comes late must not be a duplicate.
    tokio::time::sleep(Duration::from_secs(2)).await;
    last = rows(database, link).await.expect("PostgreSQL answers");
    let (rows, distinct) = last;
    assert_eq!(rows, distinct, "no click is there twice");
    let redirected = i64::try_from(result.redirected).expect("few visits");
    let failed = i64::try_from(result.failed).expect("few visits");
    assert!((redirected..=redirected + failed).contains(&rows), "{rows} rows for {result:?}");
}

/// Rows of a link and distinct click ids among them.
async fn rows(database: &str, link: &Value) -> Option<(i64, i64)> {
    let mut connection = sqlx::PgConnection::connect(database).await.ok()?;
    let row = sqlx::query("SELECT count(*), count(DISTINCT id) FROM click_events WHERE link_id = $1::uuid")
        .bind(id(link))
        .fetch_one(&mut connection)
        .await
        .ok()?;
    Some((row.get(0), row.get(1)))
}

async fn dead_letters(system: &System) -> usize {
    // Right after an outage the API may still be finding its way back.
    wait::until("the list of dead letters", CATCH_UP_LIMIT, async || {
        let (_, letters) = system.api("GET", "/v1/ops/dead-letters", None).await;
        letters["items"].as_array().map(Vec::len)
    })
    .await
}

async fn warm(system: &System, code: &str) {
    assert_eq!(system.visit(code).await.0, 302);
}

#[tokio::test]
async fn redis_away_for_half_a_minute_under_load() {
    let (database, mut cache) = (postgres::database().await, redis::server().await);
    let system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("redisless", "https://example.com/").await;
    let cold = system.create_link("cold", "https://example.com/cold").await;
    let load = Load::start(vec![format!("{}/redisless", system.edge_url)], 4, Duration::from_millis(5));
    tokio::time::sleep(Duration::from_secs(3)).await;

    cache.stop();
    tokio::time::sleep(OUTAGE / 2).await;
    assert_eq!(system.visit("cold").await.0, 302, "a link that is not in memory comes from the database");
    tokio::time::sleep(OUTAGE / 2).await;
    cache.restart().await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let result = load.stop().await;
    assert_eq!((result.refused, result.failed), (0, 0), "redirects went on");
    rows_match(&database.url, &link, result).await;
    rows_match(&database.url, &cold, LoadResult { redirected: 1, refused: 0, failed: 0 }).await;
    assert_eq!(dead_letters(&system).await, 0);
}

#[tokio::test]
async fn postgres_away_for_half_a_minute_under_load() {
    let (mut database, cache) = (postgres::server().await, redis::database().await);
    let system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("rowless", "https://example.com/").await;
    let load = Load::start(vec![format!("{}/rowless", system.edge_url)], 4, Duration::from_millis(5));
    tokio::time::sleep(Duration::from_secs(3)).await;

    database.kill();
    tokio::time::sleep(OUTAGE).await;
    database.restart().await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let result = load.stop().await;
    assert_eq!((result.refused, result.failed), (0, 0), "redirects went on");
    rows_match(&database.url, &link, result).await;
    assert_eq!(dead_letters(&system).await, 0, "an outage never makes a dead letter");
}

#[tokio::test]
async fn an_edge_starts_while_postgres_is_away() {
    let (mut database, cache) = (postgres::server().await, redis::database().await);
    let settings = [("VAYRO_BACKEND__CONNECT_TIMEOUT", "1s")];
    let mut system = System::clustered_with(&database.url, &cache.url, &settings).await;
    let link = system.create_link("early", "https://example.com/").await;
    warm(&system, "early").await;

    system.stop(Role::Edge);
    database.kill();
    system.start(Role::Edge).await;
    assert_eq!(system.visit("early").await.0, 302, "Redis knows the link");
    assert_eq!(system.visit("unheard-of").await.0, 503, "nobody knows whether that link exists");
    database.restart().await;
    rows_match(&database.url, &link, LoadResult { redirected: 2, refused: 0, failed: 0 }).await;
}

#[tokio::test]
async fn an_edge_starts_while_redis_and_postgres_are_away() {
    let (mut database, mut cache) = (postgres::server().await, redis::server().await);
    let settings = [("VAYRO_BACKEND__CONNECT_TIMEOUT", "1s")];
    let mut system = System::clustered_with(&database.url, &cache.url, &settings).await;
    let link = system.create_link("known", "https://example.com/").await;
    let late = system.create_link("late", "https://example.com/late").await;
    warm(&system, "known").await;

    system.stop(Role::Edge);
    database.kill();
    cache.kill();
    system.start(Role::Edge).await;
    assert_eq!(system.visit("known").await, (302, Some("https://example.com/".to_owned())));
    assert_eq!(system.visit("late").await.0, 503, "no edge has seen that link");
    cache.restart().await;
    database.restart().await;
    wait::until("the other link", CATCH_UP_LIMIT, async || {
        (system.visit("late").await.0 == 302).then_some(())
    })
    .await;
    rows_match(&database.url, &link, LoadResult { redirected: 2, refused: 0, failed: 0 }).await;
    rows_match(&database.url, &late, LoadResult { redirected: 1, refused: 0, failed: 0 }).await;
}

#[tokio::test]
async fn worker_killed_again_and_again_mid_batch() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let settings = [("VAYRO_WORKER__RECLAIM_IDLE", "2s"), ("VAYRO_WORKER__RECLAIM_EVERY", "1s")];
    let mut system = System::clustered_with(&database.url, &cache.url, &settings).await;
    let link = system.create_link("killed", "https://example.com/").await;
    let load = Load::start(vec![format!("{}/killed", system.edge_url)], 8, Duration::from_millis(1));
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        system.kill(Role::Worker);
        system.start(Role::Worker).await;
    }
    let result = load.stop().await;
    assert_eq!((result.refused, result.failed), (0, 0));
    rows_match(&database.url, &link, result).await;
    assert_eq!(dead_letters(&system).await, 0);
}

#[tokio::test]
async fn edge_stopped_under_load() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let mut system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("stopped", "https://example.com/").await;
    warm(&system, "stopped").await;
    let load = Load::start(vec![format!("{}/stopped", system.edge_url)], 8, Duration::from_millis(1));
    tokio::time::sleep(Duration::from_secs(3)).await;
    system.stop(Role::Edge);
    let mut result = load.stop().await;
    result.redirected += 1;
    assert!(result.redirected > 100, "{result:?}");
    rows_match(&database.url, &link, result).await;
}

#[tokio::test]
async fn worker_stopped_in_an_orderly_way_leaves_nothing_pending() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let mut system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("pending", "https://example.com/").await;
    let load = Load::start(vec![format!("{}/pending", system.edge_url)], 4, Duration::from_millis(2));
    tokio::time::sleep(Duration::from_secs(2)).await;
    system.stop(Role::Worker);
    let (_, stream) = system.api("GET", "/v1/ops/stream", None).await;
    assert_eq!(stream["pending"], 0, "{stream}");
    system.start(Role::Worker).await;
    let result = load.stop().await;
    rows_match(&database.url, &link, result).await;
}
