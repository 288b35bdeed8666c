//! Domains.

use std::time::Duration;

use serde_json::json;
use vayro_core::change::Invalidation;

use crate::app::{TestApp, column};

const ALL: &[&str] = &["domains:read", "domains:write", "links:write"];

#[tokio::test]
async fn a_domain_is_added_used_and_removed() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, ALL).await;
    let domain = client.post("/v1/domains", json!({ "host": "Go.Example.com" })).await.ok(201);
    assert_eq!(domain["host"], "go.example.com");
    assert_eq!(domain["is_default"], false);
    let path = format!("/v1/domains/{}", domain["id"].as_str().expect("an id"));
    assert_eq!(client.get(&path).await.ok(200), domain);
    let list = client.get("/v1/domains").await.ok(200);
    assert_eq!(column(&list, "host"), ["vay.test", "go.example.com"]);

    let body = json!({ "target_url": "https://example.com/", "domain": "go.example.com", "short_code": "x" });
    let link = client.make_link(body).await;
    assert_eq!(link["short_url"], "https://go.example.com/x");
    client.delete(&path).await.problem("domain_in_use");

    let other = client.post("/v1/domains", json!({ "host": "b.example.com" })).await.ok(201);
    let other = format!("/v1/domains/{}", other["id"].as_str().expect("an id"));
    client.delete(&other).await.ok(204);
    client.delete(&other).await.problem("not_found");
    client.get(&other).await.problem("not_found");
}

#[tokio::test]
async fn hosts_that_are_taken_or_our_own_are_refused() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let client = app.key(&ada, ALL).await;
    let domain = client.post("/v1/domains", json!({ "host": "go.example.com" })).await.ok(201);
    let stranger = app.key(&bob, ALL).await;
    for host in ["go.example.com", "vay.test", "api.vay.test"] {
        stranger.post("/v1/domains", json!({ "host": host })).await.problem_at("domain_taken", &["/host"]);
    }
    for host in ["", "a b", "go.example.com:80", "https://go.example.com"] {
        client.post("/v1/domains", json!({ "host": host })).await.problem_at("invalid_fields", &["/host"]);
    }
    let path = format!("/v1/domains/{}", domain["id"].as_str().expect("an id"));
    stranger.get(&path).await.problem("not_found");
    stranger.delete(&path).await.problem("not_found");
    let body = json!({ "target_url": "https://example.com/", "domain": "go.example.com" });
    stranger.post("/v1/links", body).await.problem_at("invalid_fields", &["/domain"]);
    client.delete("/v1/domains/00000000-0000-0000-0000-000000000001").await.problem("forbidden");
}

#[tokio::test]
async fn the_number_of_domains_is_bounded() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, ALL).await;
    for index in 0..100 {
        client.post("/v1/domains", json!({ "host": format!("d{index}.example.com") })).await.ok(201);
    }
    client.post("/v1/domains", json!({ "host": "one-more.example.com" })).await.problem("limit_reached");
}

/// A feed that is not subscribed yet misses what is said, so it is said until it is heard.
#[tokio::test]
async fn edges_are_told_of_domains() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, ALL).await;
    let mut feed = app.backends.invalidations();
    for number in 0..30 {
        client.post("/v1/domains", json!({ "host": format!("d{number}.example.com") })).await.ok(201);
        let heard = async { while feed.next().await != Invalidation::Domains {} };
        if tokio::time::timeout(Duration::from_secs(1), heard).await.is_ok() {
            return;
        }
    }
    panic!("no edge was told");
}
