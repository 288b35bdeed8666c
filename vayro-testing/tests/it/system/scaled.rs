//! Sentinel, Cluster and shards with the built executables.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection as _, Row as _};
use vayro_testing::cluster::{self, RedisCluster};
use vayro_testing::system::{Role, System};
use vayro_testing::{postgres, redis, sentinel, wait};

use super::{id, shown};

/// How long everything may take to catch up after a failover.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(90);
/// Links of a test: enough that every shard has some.
const LINKS: usize = 12;

async fn links(system: &System) -> Vec<Value> {
    let mut links = Vec::new();
    for n in 0..LINKS {
        links.push(system.create_link(&format!("link-{n}"), "https://example.com/").await);
    }
    links
}

async fn visit_all(system: &System) {
    for n in 0..LINKS {
        assert_eq!(system.visit(&format!("link-{n}")).await.0, 302);
    }
}

/// Waits until every link has this many rows, and none twice.
async fn stored(database: &str, links: &[Value], each: i64) {
    let expected: BTreeSet<_> = links.iter().map(|link| (id(link).to_owned(), each, each)).collect();
    wait::until("a row for every visit", CATCH_UP_LIMIT, async || {
        let mut connection = sqlx::PgConnection::connect(database).await.ok()?;
        let rows = sqlx::query(
            "SELECT link_id::text, count(*), count(DISTINCT id) FROM click_events GROUP BY link_id",
        )
        .fetch_all(&mut connection)
        .await
        .ok()?;
        let found: BTreeSet<_> =
            rows.iter().map(|row| (row.get(0), row.get::<i64, _>(1), row.get::<i64, _>(2))).collect();
        (found == expected).then_some(())
    })
    .await;
}

fn set_shards(system: &System, count: &str) {
    let output = system.vayro(&["stream", "shards", "set", count]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn shards(system: &System) -> Vec<Value> {
    let output = system.vayro(&["stream", "shards", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    shown["shards"].as_array().expect("a list").clone()
}

/// Waits until exactly these many shards are left, none of them retiring.
async fn settled(system: &System, count: usize) {
    wait::until("the old shards to go", CATCH_UP_LIMIT, async || {
        let shards = shards(system);
        (shards.len() == count && shards.iter().all(|shard| shard["is_retiring"] == false)).then_some(())
    })
    .await;
}

/// Old shards go as soon as they are empty.
const SOON_TRIMMED: [(&str, &str); 2] =
    [("VAYRO_WORKER__TRIM_WINDOW", "100ms"), ("VAYRO_WORKER__TRIM_EVERY", "1s")];

#[tokio::test]
async fn a_cluster_loses_a_master_and_no_click() {
    let database = postgres::database().await;
    let mut cluster: RedisCluster = cluster::six_nodes().await;
    let system = System::clustered_with(&database.url, &cluster.url, &SOON_TRIMMED).await;
    set_shards(&system, "3");
    let links = links(&system).await;
    visit_all(&system).await;
    stored(&database.url, &links, 1).await;
    settled(&system, 3).await;

    let path = format!("/v1/links/{}", id(&links[0]));
    let edit = serde_json::json!({ "target_url": "https://example.com/two" });
    assert_eq!(system.api("PATCH", &path, Some(edit)).await.0, 200);
    wait::until("the edit at the edge", CATCH_UP_LIMIT, async || {
        (system.visit("link-0").await.1.as_deref() == Some("https://example.com/two")).then_some(())
    })
    .await;

    let dead = cluster.owner("stream:clicks:{0}", None).await;
    let copied: i64 = cluster.tell(dead, &["WAIT", "1", "5000"]).await;
    assert_eq!(copied, 1);
    cluster.servers[dead].kill();
    for n in 1..LINKS {
        assert_eq!(system.visit(&format!("link-{n}")).await.0, 302, "redirects go on");
    }
    cluster.promoted(dead).await;
    for n in 1..LINKS {
        assert_eq!(system.visit(&format!("link-{n}")).await.0, 302);
    }
    stored_of(&database.url, &links[1..], 3).await;
    let lag = system.vayro(&["stream", "lag"]);
    let text = String::from_utf8_lossy(&lag.stdout).into_owned();
    assert!(text.contains("stream:clicks:{2} undelivered="), "{text}");
    let doctor = system.vayro(&["doctor", "--json"]);
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(text.contains("memory policy noeviction"), "{text}");
}

/// As [`stored`], whatever other links have.
async fn stored_of(database: &str, links: &[Value], each: i64) {
    for link in links {
        wait::until("a row for every visit", CATCH_UP_LIMIT, async || {
            let mut connection = sqlx::PgConnection::connect(database).await.ok()?;
            let query = "SELECT count(*), count(DISTINCT id) FROM click_events WHERE link_id = $1::uuid";
            let row = sqlx::query(query).bind(id(link)).fetch_one(&mut connection).await.ok()?;
            ((row.get::<i64, _>(0), row.get::<i64, _>(1)) == (each, each)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn shards_change_under_running_processes() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let mut system = System::clustered_with(&database.url, &cache.url, &SOON_TRIMMED).await;
    let links = links(&system).await;
    visit_all(&system).await;
    for (round, count) in (2..).zip([5_usize, 2, 1]) {
        set_shards(&system, &count.to_string());
        visit_all(&system).await;
        stored(&database.url, &links, round).await;
        settled(&system, count).await;
    }
    assert_eq!(shards(&system)[0]["name"], "stream:clicks");

    // Clicks that wait while no worker runs are found by the next one, in old shards and new ones.
    system.kill(Role::Worker);
    visit_all(&system).await;
    wait::until("the clicks in the stream", CATCH_UP_LIMIT, async || {
        let waiting: u64 = shards(&system).iter().filter_map(|shard| shard["length"].as_u64()).sum();
        (waiting >= LINKS as u64).then_some(())
    })
    .await;
    set_shards(&system, "4");
    visit_all(&system).await;
    system.start(Role::Worker).await;
    stored(&database.url, &links, 6).await;
    settled(&system, 4).await;
    let output = system.vayro(&["stream", "shards", "set", "65"]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_master_is_replaced_by_sentinels_while_clicks_flow() {
    let database = postgres::database().await;
    let mut trio = sentinel::trio().await;
    let system = System::clustered(&database.url, &trio.url).await;
    let link = system.create_link("main", "https://example.com/").await;
    assert_eq!(system.visit("main").await.0, 302);
    shown(&system, &link, 1).await;
    trio.servers[0].kill();
    for _ in 0..20 {
        assert_eq!(system.visit("main").await.0, 302, "redirects go on");
    }
    trio.promoted(1).await;
    for _ in 0..20 {
        assert_eq!(system.visit("main").await.0, 302);
    }
    stored_of(&database.url, std::slice::from_ref(&link), 41).await;
}
