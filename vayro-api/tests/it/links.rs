//! One link: create, show, change, delete, restore.

use std::time::Duration;

use futures::FutureExt as _;
use serde_json::json;
use vayro_api::OutboxSignal;
use vayro_core::change::Invalidation;
use vayro_core::link::LinkKey;

use crate::app::TestApp;

const LINKS: &[&str] = &["links:read", "links:write"];

#[tokio::test]
async fn a_created_link_is_complete_and_found_again() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    let answer = client
        .post(
            "/v1/links",
            json!({
                "target_url": "HTTPS://Example.com/page",
                "short_code": "launch",
                "title": " Launch ",
                "redirect_status": 307,
                "expires_at": "2026-06-01T02:00:00+02:00",
            }),
        )
        .await;
    assert_eq!(answer.headers["etag"], "\"1\"");
    let location = answer.headers["location"].to_str().expect("text").to_owned();
    let link = answer.ok(201);
    let expected = json!({
        "id": link["id"],
        "short_url": "https://vay.test/launch",
        "short_code": "launch",
        "domain": "vay.test",
        "target_url": "https://example.com/page",
        "title": "Launch",
        "redirect_status": 307,
        "state": "active",
        "is_active": true,
        "expires_at": "2026-06-01T00:00:00Z",
        "archived_at": null,
        "deleted_at": null,
        "clicks": 0,
        "last_click_at": null,
        "version": 1,
        "workspace_id": ada.workspace_id.to_string(),
        "user_id": ada.user_id.to_string(),
        "created_at": app.clock.now().to_string(),
        "updated_at": app.clock.now().to_string(),
    });
    assert_eq!(link, expected);
    assert_eq!(client.get(&location).await.ok(200), link);
}

#[tokio::test]
async fn a_code_is_chosen_when_none_is_given() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    let link = client.make_link(json!({ "target_url": "https://example.com/" })).await;
    let code = link["short_code"].as_str().expect("a code");
    assert_eq!(code.len(), 6);
    assert!(!code.contains(['0', 'O', 'o', '1', 'l', 'I', 'i']), "{code}");
}

#[tokio::test]
async fn codes_that_are_taken_or_reserved_are_refused() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let client = app.key(&ada, LINKS).await;
    let body = json!({ "target_url": "https://example.com/", "short_code": "mine" });
    let link = client.make_link(body.clone()).await;
    client.post("/v1/links", body.clone()).await.problem_at("short_code_taken", &["/short_code"]);
    app.key(&bob, LINKS).await.post("/v1/links", body.clone()).await.problem("short_code_taken");
    // A deleted link keeps its code.
    client.delete(&format!("/v1/links/{}", link["id"].as_str().expect("an id"))).await.ok(204);
    client.post("/v1/links", body).await.problem("short_code_taken");
    let reserved = json!({ "target_url": "https://example.com/", "short_code": "Login" });
    client.post("/v1/links", reserved).await.problem_at("short_code_reserved", &["/short_code"]);
}

#[tokio::test]
async fn every_mistake_of_a_body_is_named() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    let body = json!({
        "target_url": "javascript:alert(1)",
        "short_code": "a b",
        "domain": "not a host",
        "title": "x".repeat(201),
        "redirect_status": 300,
        "expires_at": "tomorrow",
    });
    let pointers = ["/target_url", "/short_code", "/domain", "/title", "/redirect_status", "/expires_at"];
    client.post("/v1/links", body).await.problem_at("invalid_fields", &pointers);
    for (body, pointer) in [
        (json!({}), "/target_url"),
        (json!({ "target_url": 1 }), "/target_url"),
        (json!({ "target_url": "https://example.com/", "slug": "x" }), "/slug"),
        (json!({ "target_url": "https://example.com/", "is_active": "yes" }), "/is_active"),
        (json!({ "target_url": "https://example.com/\r\nSet-Cookie: a=b" }), "/target_url"),
        (json!({ "target_url": "https://example.com/", "title": "a\u{0}b" }), "/title"),
        (json!({ "target_url": "https://example.com/", "domain": "go.example.com" }), "/domain"),
    ] {
        client.post("/v1/links", body).await.problem_at("invalid_fields", &[pointer]);
    }
}

#[tokio::test]
async fn targets_never_lead_back_to_a_short_domain() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["links:read", "links:write", "domains:write"]).await;
    client.post("/v1/domains", json!({ "host": "go.example.com" })).await.ok(201);
    let link = client.make_link(json!({ "target_url": "https://example.com/" })).await;
    let path = format!("/v1/links/{}", link["id"].as_str().expect("an id"));
    for host in ["vay.test", "GO.example.com.", "vay.test:8080"] {
        let body = json!({ "target_url": format!("http://{host}/x") });
        client.post("/v1/links", body.clone()).await.problem_at("invalid_fields", &["/target_url"]);
        client.patch(&path, body).await.problem_at("invalid_fields", &["/target_url"]);
    }
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    let body =
        json!({ "target_url": "https://example.com/", "title": "Old", "expires_at": "2026-06-01T00:00:00Z" });
    let link = client.make_link(body).await;
    let path = format!("/v1/links/{}", link["id"].as_str().expect("an id"));
    app.clock.advance(Duration::from_secs(5));

    let answer = client.patch(&path, json!({ "title": "New" })).await;
    assert_eq!(answer.headers["etag"], "\"2\"");
    let changed = answer.ok(200);
    assert_eq!(changed["title"], "New");
    assert_eq!(changed["expires_at"], "2026-06-01T00:00:00Z", "left out means left alone");
    assert_eq!(changed["version"], 2);
    assert_eq!(changed["updated_at"], app.clock.now().to_string());

    let cleared = client.patch(&path, json!({ "expires_at": null, "title": null })).await.ok(200);
    assert_eq!((&cleared["expires_at"], &cleared["title"]), (&json!(null), &json!("")));
    let same = client.patch(&path, json!({})).await.ok(200);
    assert_eq!(same["version"], cleared["version"], "nothing changed, nothing counts");

    for (patch, state) in [
        (json!({ "is_archived": true }), "archived"),
        (json!({ "is_archived": false, "is_active": false }), "disabled"),
        (json!({ "is_active": true, "expires_at": "2026-05-01T00:00:00Z" }), "expired"),
    ] {
        assert_eq!(client.patch(&path, patch).await.ok(200)["state"], state);
    }
    client.patch(&path, json!({ "target_url": null })).await.problem_at("invalid_fields", &["/target_url"]);
    client.patch(&path, json!({ "short_code": "x" })).await.problem_at("invalid_fields", &["/short_code"]);
    client
        .patch(&path, json!({ "redirect_status": 300 }))
        .await
        .problem_at("invalid_fields", &["/redirect_status"]);
}

#[tokio::test]
async fn a_change_of_another_version_is_refused() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    let link = client.make_link(json!({ "target_url": "https://example.com/" })).await;
    let path = format!("/v1/links/{}", link["id"].as_str().expect("an id"));
    client.clone().with("if-match", "\"1\"").patch(&path, json!({ "title": "a" })).await.ok(200);
    let stale = client.clone().with("if-match", "\"1\"");
    stale.patch(&path, json!({ "title": "b" })).await.problem("version_mismatch");
    stale.delete(&path).await.problem("version_mismatch");
    client.patch(&path, json!({ "title": "b", "version": 1 })).await.problem("version_mismatch");
    client.patch(&path, json!({ "title": "b", "version": 2 })).await.ok(200);
    let odd = client.clone().with("if-match", "W/\"3\"");
    odd.patch(&path, json!({ "title": "c" })).await.problem_at("invalid_header", &["if-match"]);
    client.clone().with("if-match", "*").delete(&path).await.ok(204);
}

#[tokio::test]
async fn a_deleted_link_can_be_restored_within_its_window() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    let link = client.make_link(json!({ "target_url": "https://example.com/" })).await;
    let path = format!("/v1/links/{}", link["id"].as_str().expect("an id"));
    let restore = format!("{path}/restore");
    client.post_nothing(&restore).await.problem("not_deleted");

    client.delete(&path).await.ok(204);
    client.delete(&path).await.problem("not_found");
    client.patch(&path, json!({ "title": "x" })).await.problem("not_found");
    assert_eq!(client.get(&path).await.ok(200)["state"], "deleted");
    assert_eq!(client.post_nothing(&restore).await.ok(200)["state"], "active");

    client.delete(&path).await.ok(204);
    app.clock.advance(Duration::from_hours(24 * 30));
    client.post_nothing(&restore).await.problem("restore_window_over");
}

#[tokio::test]
async fn links_of_others_do_not_exist() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let link = app.key(&ada, LINKS).await.make_link(json!({ "target_url": "https://example.com/" })).await;
    let path = format!("/v1/links/{}", link["id"].as_str().expect("an id"));
    let client = app.key(&bob, LINKS).await;
    client.get(&path).await.problem("not_found");
    client.patch(&path, json!({ "title": "x" })).await.problem("not_found");
    client.delete(&path).await.problem("not_found");
    client.post_nothing(&format!("{path}/restore")).await.problem("not_found");
    client.get("/v1/links/nonsense").await.problem("not_found");
}

#[tokio::test]
async fn an_edit_has_reached_the_edges_when_it_is_answered() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    let mut feed = app.backends.invalidations();
    let link = client.make_link(json!({ "target_url": "https://example.com/", "short_code": "fast" })).await;
    let path = format!("/v1/links/{}", link["id"].as_str().expect("an id"));
    let key = LinkKey { domain: None, short_code: "fast".parse().expect("valid") };
    let mut hear = async || {
        let waiting = app.backends.outbox.pending(10).await.expect("reads");
        assert!(waiting.is_empty(), "published before the answer: {waiting:?}");
        let heard = async {
            loop {
                match feed.next().await {
                    Invalidation::Links(links) if links.iter().any(|(heard, _)| *heard == key) => return,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), heard).await.expect("the edges are told");
    };
    hear().await;
    client.patch(&path, json!({ "target_url": "https://example.org/" })).await.ok(200);
    hear().await;
    client.delete(&path).await.ok(204);
    hear().await;
}

#[tokio::test]
async fn an_edit_is_answered_while_the_caches_are_away() {
    let signal = OutboxSignal::from_fn(|| std::future::pending().boxed());
    let app = TestApp::with(|_, _| {}, Some(signal)).await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    app.backends.drain_outbox().await.expect("empties the outbox");
    client.make_link(json!({ "target_url": "https://example.com/" })).await;
    assert!(app.state.metrics.text().contains("vayro_api_late_flushes_total 1"));
    assert_eq!(app.backends.outbox.pending(10).await.expect("reads").len(), 1, "the change waits");
}

#[tokio::test]
async fn availability_says_why_not() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let client = app.key(&ada, LINKS).await;
    let link = client.make_link(json!({ "target_url": "https://example.com/", "short_code": "mine" })).await;
    for (code, reason) in
        [("free", None), ("mine", Some("taken")), ("login", Some("reserved")), ("a%20b", Some("invalid"))]
    {
        let path = format!("/v1/links/availability?short_code={code}");
        let answer = client.get(&path).await.ok(200);
        assert_eq!(answer["is_available"], reason.is_none(), "{answer}");
        assert_eq!(answer["reason"].as_str(), reason, "{answer}");
        assert_eq!(app.key(&bob, LINKS).await.get(&path).await.ok(200)["reason"].as_str(), reason);
    }
    client.delete(&format!("/v1/links/{}", link["id"].as_str().expect("an id"))).await.ok(204);
    let answer = client.get("/v1/links/availability?short_code=mine").await.ok(200);
    assert_eq!(answer["reason"], "taken", "the deleted link can still be restored");
    let answer = app.key(&bob, LINKS).await.get("/v1/links/availability?short_code=mine").await.ok(200);
    assert_eq!(answer["reason"], "taken", "also for those who do not see the link");
    client.get("/v1/links/availability").await.problem_at("invalid_query", &["short_code"]);
    let elsewhere = "/v1/links/availability?short_code=x&domain=go.example.com";
    client.get(elsewhere).await.problem_at("invalid_query", &["domain"]);
}
