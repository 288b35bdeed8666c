use serde_json::Value;
use sqlx::{Connection as _, Row as _};
use vayro_testing::system::System;
use vayro_testing::{postgres, redis, wait};

use super::{REPEATS, SHOWN_LIMIT, id, shown, the_second_of_two_quick_visits_is_a_repeat};

async fn ask<T: ::redis::FromRedisValue>(url: &str, command: &[&str]) -> T {
    let client = ::redis::Client::open(url).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let mut request = ::redis::cmd(command[0]);
    request.arg(&command[1..]);
    request.query_async(&mut connection).await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

#[tokio::test]
async fn key_stream_and_rows_are_as_the_specification_has_them() {
    let (database, cache) = (postgres::database().await, redis::server().await);
    let system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("spec", "https://example.com/long-url").await;

    // The API set the key; a visit refreshes it.
    let text: String = ask(&cache.url, &["GET", "url:spec"]).await;
    let value: Value = serde_json::from_str(&text).expect("the value is JSON");
    assert_eq!(value["target"], "https://example.com/long-url");
    assert_eq!(value["active"], true);
    assert_eq!(value["id"], link["id"]);
    let _: i64 = ask(&cache.url, &["EXPIRE", "url:spec", "1000"]).await;
    assert_eq!(system.visit("spec").await, (302, Some("https://example.com/long-url".to_owned())));
    let ttl: i64 = ask(&cache.url, &["TTL", "url:spec"]).await;
    assert!((86_390..=86_400).contains(&ttl), "the visit set the time to live to 24 hours, not {ttl} s");

    shown(&system, &link, 1).await;
    let entries: ::redis::streams::StreamRangeReply =
        ask(&cache.url, &["XRANGE", "stream:clicks", "-", "+"]).await;
    let entry = entries.ids.first().expect("the stream keeps settled entries for a while");
    let field = |name: &str| entry.get::<String>(name).unwrap_or_else(|| panic!("no {name} in {entry:?}"));
    assert_eq!(field("link_id"), id(&link));
    assert_eq!(field("ip"), "127.0.0.1");
    assert_eq!(field("referer"), "");
    assert!(field("user_agent").contains("Firefox/145.0"));
    assert!(field("timestamp").ends_with('Z') && field("timestamp").contains('T'));

    let mut connection = sqlx::PgConnection::connect(&database.url).await.expect("PostgreSQL answers");
    let row = sqlx::query(
        "SELECT link_id::text, browser, os, device_type, ip_address, id::text, timestamp::text FROM click_events",
    )
    .fetch_one(&mut connection)
    .await
    .expect("one row");
    assert_eq!(row.get::<String, _>(0), id(&link));
    assert_eq!(row.get::<String, _>(1), "Firefox");
    assert_eq!(row.get::<String, _>(2), "Linux");
    assert_eq!(row.get::<String, _>(3), "desktop");
    assert_eq!(row.get::<String, _>(4), "127.0.0.0", "addresses are truncated before they are stored");
    assert_eq!(row.get::<String, _>(5), field("id"));
}

#[tokio::test]
async fn a_double_click_counts_once() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let system = System::clustered_with(&database.url, &cache.url, &[REPEATS]).await;
    the_second_of_two_quick_visits_is_a_repeat(&system).await;
    let marks: Vec<String> = ask(&cache.url, &["KEYS", "vayro:visit:*"]).await;
    assert_eq!(marks.len(), 1);
}

#[tokio::test]
async fn edits_and_deletes_reach_redis_and_the_edge_at_once() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("edited", "https://example.com/one").await;
    assert_eq!(system.visit("edited").await.1.as_deref(), Some("https://example.com/one"));

    let path = format!("/v1/links/{}", id(&link));
    let body = serde_json::json!({ "target_url": "https://example.com/two" });
    assert_eq!(system.api("PATCH", &path, Some(body)).await.0, 200);
    let text: String = ask(&cache.url, &["GET", "url:edited"]).await;
    assert!(text.contains("https://example.com/two"), "{text}");
    wait::until("the edit at the edge", SHOWN_LIMIT, async || {
        (system.visit("edited").await.1.as_deref() == Some("https://example.com/two")).then_some(())
    })
    .await;

    assert_eq!(system.api("DELETE", &path, None).await.0, 204);
    let exists: i64 = ask(&cache.url, &["EXISTS", "url:edited"]).await;
    assert_eq!(exists, 0);
    wait::until("the deletion at the edge", SHOWN_LIMIT, async || {
        (system.visit("edited").await.0 == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_poison_entry_alone_becomes_a_dead_letter_and_can_be_replayed_after_repair() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("poison", "https://example.com/").await;
    // A click on a link that does not exist yet, in the middle of a thousand good ones.
    let workspace = link["workspace_id"].as_str().expect("a link has a workspace").to_owned();
    let late = "01890000-0000-7000-9000-00000000dead";
    vayro_testing::fixture::push_clicks_of(&cache.url, id(&link), &workspace, 500).await;
    vayro_testing::fixture::push_clicks_of(&cache.url, late, &workspace, 1).await;
    vayro_testing::fixture::push_clicks_of(&cache.url, id(&link), &workspace, 499).await;

    shown(&system, &link, 999).await;
    let letters = wait::until("the dead letter", SHOWN_LIMIT, async || {
        let (_, letters) = system.api("GET", "/v1/ops/dead-letters", None).await;
        (letters["items"].as_array()?.len() == 1).then_some(letters)
    })
    .await;
    assert_eq!(letters["items"][0]["reason"], "unknown_link");

    // The repair: the link comes into being. Then the letter is put back with its own click id.
    let mut connection = sqlx::PgConnection::connect(&database.url).await.expect("PostgreSQL answers");
    sqlx::query(
        "INSERT INTO links (id, workspace_id, user_id, domain_id, short_code, target_url, revision)
         SELECT $1::uuid, workspace_id, user_id, domain_id, 'late', target_url, nextval('link_revision')
         FROM links WHERE short_code = 'poison'",
    )
    .bind(late)
    .execute(&mut connection)
    .await
    .expect("the link can be made");
    let output = system.vayro(&["dlq", "replay", "--all", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let late = serde_json::json!({ "id": late, "short_code": "late" });
    shown(&system, &late, 1).await;
    let (_, letters) = system.api("GET", "/v1/ops/dead-letters", None).await;
    assert_eq!(letters["items"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn damaged_sums_are_found_and_made_anew_beside_the_running_system() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("sums", "https://example.com/").await;
    for _ in 0..3 {
        assert_eq!(system.visit("sums").await.0, 302);
    }
    shown(&system, &link, 3).await;
    assert_eq!(system.vayro(&["rollup", "verify"]).status.code(), Some(0));

    let mut connection = sqlx::PgConnection::connect(&database.url).await.expect("PostgreSQL answers");
    sqlx::query("DELETE FROM click_rollups WHERE subject_id = $1::uuid")
        .bind(id(&link))
        .execute(&mut connection)
        .await
        .expect("rollups can be lost");
    let verified = system.vayro(&["rollup", "verify", "--json"]);
    assert_eq!(verified.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!((&found["different"], &found["days"][0]["clicks"]), (&Value::from(1), &Value::from(3)));

    assert_eq!(system.vayro(&["rollup", "rebuild"]).status.code(), Some(0));
    assert_eq!(system.vayro(&["rollup", "verify"]).status.code(), Some(0));
    assert_eq!(system.clicks(id(&link)).await, 3);
}

#[tokio::test]
async fn a_newer_list_of_robots_is_applied_to_stored_clicks() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("late", "https://example.com/").await;
    for _ in 0..3 {
        assert_eq!(system.visit("late").await.0, 302);
    }
    shown(&system, &link, 3).await;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (rules, config) = (dir.path().join("robots.json"), dir.path().join("vayro.toml"));
    std::fs::write(&rules, r#"[{"pattern":"Firefox"}]"#).expect("written");
    std::fs::write(&config, format!("[worker]\nbot_rules = \"{}\"\n", rules.display())).expect("written");
    let config = config.to_str().expect("a plain path");

    let output = system.vayro(&["reclassify", "--since", "2020-01-01", "--config", config, "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&summary["changed"], &summary["new_robots"]), (&Value::from(3), &Value::from(3)));
    assert_eq!(system.clicks(id(&link)).await, 0);
    assert_eq!(system.vayro(&["rollup", "verify"]).status.code(), Some(0));
    let output = system.vayro(&["reclassify", "--since", "2020-01-01"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(system.clicks(id(&link)).await, 3);
    assert_eq!(system.vayro(&["rollup", "verify"]).status.code(), Some(0));
}
