//! Lists of links.

use std::time::Duration;

use serde_json::json;

use crate::app::{Client, TestApp, column};

async fn three(client: &Client<'_>, app: &TestApp) {
    for (code, title) in [("aaa", "One"), ("bbb", "50% off"), ("ccc", "Three")] {
        let body = json!({ "target_url": format!("https://example.com/{code}"), "short_code": code, "title": title });
        client.make_link(body).await;
        app.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["links:read", "links:write"]).await;
    three(&client, &app).await;
    for (query, expected) in [
        ("", ["ccc", "bbb", "aaa"]),
        ("&order=asc", ["aaa", "bbb", "ccc"]),
        ("&sort=short_code", ["aaa", "bbb", "ccc"]),
        ("&sort=short_code&order=desc", ["ccc", "bbb", "aaa"]),
        ("&sort=updated_at", ["ccc", "bbb", "aaa"]),
    ] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = client.get(&format!("/v1/links?limit=1{query}{cursor}")).await.ok(200);
            seen.extend(column(&page, "short_code"));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
            assert!(seen.len() <= 3, "{query}: {seen:?}");
        }
        assert_eq!(seen, expected, "{query}");
    }
}

#[tokio::test]
async fn filters_narrow_and_are_taken_literally() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["links:read", "links:write", "domains:write"]).await;
    three(&client, &app).await;
    client.post("/v1/domains", json!({ "host": "go.example.com" })).await.ok(201);
    client
        .make_link(
            json!({ "target_url": "https://example.com/", "short_code": "aaa", "domain": "go.example.com" }),
        )
        .await;
    let archived = client.get("/v1/links?short_code=ccc").await.ok(200);
    let path = format!("/v1/links/{}", archived["items"][0]["id"].as_str().expect("an id"));
    client.patch(&path, json!({ "is_archived": true })).await.ok(200);

    for (query, expected) in [
        ("sort=short_code", vec!["aaa", "aaa", "bbb"]),
        ("search=50%25", vec!["bbb"]),
        ("search=%25", vec!["bbb"]),
        ("search=EXAMPLE.COM/B", vec!["bbb"]),
        ("search=_", vec![]),
        ("state=archived", vec!["ccc"]),
        ("state=active,archived&sort=short_code&order=desc&domain=vay.test", vec!["ccc", "bbb", "aaa"]),
        ("state=deleted", vec![]),
        ("domain=go.example.com", vec!["aaa"]),
        ("domain=unknown.example.com", vec![]),
        ("short_code=ccc", vec!["ccc"]),
        ("short_code=aaa&domain=vay.test", vec!["aaa"]),
        ("short_code=AAA", vec![]),
        ("user_id=01890000-0000-7000-8000-000000000001", vec![]),
    ] {
        let page = client.get(&format!("/v1/links?{query}")).await.ok(200);
        assert_eq!(column(&page, "short_code"), expected, "{query}");
    }
    let page = client.get(&format!("/v1/links?user_id={}", ada.user_id)).await.ok(200);
    assert_eq!(page["items"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["links:read", "links:write"]).await;
    three(&client, &app).await;
    for (query, names) in [
        ("limit=0", vec!["limit"]),
        ("limit=201", vec!["limit"]),
        ("sort=title&order=up&state=gone", vec!["sort", "order", "state"]),
        ("cursor=nonsense", vec!["cursor"]),
        ("short_code=a%20b", vec!["short_code"]),
        ("domain=a%20b", vec!["domain"]),
        ("user_id=me", vec!["user_id"]),
        ("page=2", vec!["page"]),
        ("limit=1&limit=2", vec!["limit"]),
        ("search=a%00b", vec!["search"]),
    ] {
        client.get(&format!("/v1/links?{query}")).await.problem_at("invalid_query", &names);
    }
    let long = "x".repeat(201);
    client.get(&format!("/v1/links?search={long}")).await.problem_at("invalid_query", &["search"]);

    let page = client.get("/v1/links?limit=1").await.ok(200);
    let cursor = page["next"].as_str().expect("more pages");
    let other_order = format!("/v1/links?limit=1&sort=clicks&cursor={cursor}");
    client.get(&other_order).await.problem_at("invalid_query", &["cursor"]);
}
