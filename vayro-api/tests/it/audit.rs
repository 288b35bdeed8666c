//! The audit log.

use serde_json::json;

use crate::app::{TestApp, column};

#[tokio::test]
async fn changes_are_listed_with_who_and_what() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["links:read", "links:write", "workspace:read"]).await;
    let me = client.get("/v1/me").await.ok(200);
    let link = client
        .clone()
        .with("x-request-id", "from-the-client")
        .make_link(json!({ "target_url": "https://example.com/" }))
        .await;
    let id = link["id"].as_str().expect("an id");
    app.clock.advance(std::time::Duration::from_millis(5));
    client.patch(&format!("/v1/links/{id}"), json!({ "title": "New" })).await.ok(200);

    let log = client.get(&format!("/v1/audit-log?subject_id={id}")).await.ok(200);
    assert_eq!(column(&log, "action"), ["link.update", "link.create"]);
    let created = &log["items"][1];
    assert_eq!(created["user_id"], ada.user_id.to_string());
    assert_eq!(created["key_id"], me["credential"]["id"]);
    assert_eq!(created["request_id"], "from-the-client");
    assert_eq!(created["before"], json!(null));
    assert_eq!(log["items"][0]["before"]["title"], "");
    assert_eq!(log["items"][0]["after"]["title"], "New");
}

#[tokio::test]
async fn pages_follow_each_other() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["links:write", "workspace:read"]).await;
    for _ in 0..3 {
        client.make_link(json!({ "target_url": "https://example.com/" })).await;
        app.clock.advance(std::time::Duration::from_millis(5));
    }
    let whole = client.get("/v1/audit-log").await.ok(200);
    let mut ids = Vec::new();
    let mut path = "/v1/audit-log?limit=2".to_owned();
    loop {
        let page = client.get(&path).await.ok(200);
        ids.extend(column(&page, "id"));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/audit-log?limit=2&cursor={next}");
    }
    assert_eq!(ids, column(&whole, "id"));
    client.get("/v1/audit-log?cursor=x").await.problem_at("invalid_query", &["cursor"]);
    client.get("/v1/audit-log?after=x").await.problem_at("invalid_query", &["after"]);
}
