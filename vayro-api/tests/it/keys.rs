//! API keys.

use std::time::Duration;

use serde_json::json;

use crate::app::{TestApp, column};

#[tokio::test]
async fn a_key_is_shown_once_and_works_until_revoked() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let session = app.session(&ada).await;
    let created = session.post("/v1/api-keys", json!({ "name": "laptop" })).await.ok(201);
    let key = created["key"].as_str().expect("a key").to_owned();
    let prefix = created["prefix"].as_str().expect("a prefix");
    assert!(key.starts_with(prefix) && prefix.len() == 14, "{key} {prefix}");
    let defaults = ["links:read", "links:write", "analytics:read", "domains:read", "workspace:read"];
    assert_eq!(created["scopes"], json!(defaults));

    let client = app.with_key(&key);
    client.get("/v1/links").await.ok(200);
    let list = session.get("/v1/api-keys").await.ok(200);
    assert!(!list.to_string().contains(&key), "the list has no secret");
    assert_eq!(list["items"][0]["last_used_at"], app.clock.now().to_string());

    let path = format!("/v1/api-keys/{}", created["id"].as_str().expect("an id"));
    session.delete(&path).await.ok(204);
    client.get("/v1/links").await.problem("not_authenticated");
    session.delete(&path).await.ok(204);
    let list = session.get("/v1/api-keys").await.ok(200);
    assert_eq!(list["items"][0]["revoked_at"], app.clock.now().to_string());
    session.delete("/v1/api-keys/01890000-0000-7000-8000-000000000001").await.problem("not_found");
}

#[tokio::test]
async fn a_key_stops_at_its_expiry_and_with_its_account() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let session = app.session(&ada).await;
    let at = app.clock.now().plus(Duration::from_hours(1));
    let body = json!({ "name": "short", "expires_at": at.to_string() });
    let key = session.post("/v1/api-keys", body).await.ok(201)["key"].as_str().expect("a key").to_owned();
    let client = app.with_key(&key);
    client.get("/v1/me").await.ok(200);
    app.clock.advance(Duration::from_hours(1));
    client.get("/v1/me").await.problem("not_authenticated");

    let lasting = app.key(&ada, &["links:read"]).await;
    let context = vayro_api::system_context(&app.state);
    let patch = vayro_core::account::UserPatch { is_disabled: Some(true), ..Default::default() };
    app.backends.users.update(ada.user_id, &patch, &context).await.expect("switches off");
    lasting.get("/v1/me").await.problem("not_authenticated");
}

#[tokio::test]
async fn use_is_remembered_once_a_minute() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let session = app.session(&ada).await;
    let client = app.key(&ada, &["links:read"]).await;
    let mut used = Vec::new();
    for seconds in [0, 30, 30] {
        app.clock.advance(Duration::from_secs(seconds));
        client.get("/v1/links").await.ok(200);
        used.push(column(&session.get("/v1/api-keys").await.ok(200), "last_used_at").remove(0));
    }
    assert_eq!(used[0], used[1], "half a minute is not worth a write");
    assert_eq!(used[2], app.clock.now().to_string());
}

#[tokio::test]
async fn nobody_hands_out_more_than_they_have() {
    let app = TestApp::new().await;
    let (ada, root) = (app.person("ada").await, app.operator("root").await);
    let client = app.key(&ada, &["keys:write", "links:read"]).await;
    let ask = |scopes| json!({ "name": "more", "scopes": scopes });
    let more = ask(json!(["links:read", "links:write"]));
    client.post("/v1/api-keys", more).await.problem_at("invalid_fields", &["/scopes/1"]);
    let created = client.post("/v1/api-keys", json!({ "name": "default" })).await.ok(201);
    assert_eq!(created["scopes"], json!(["links:read"]), "the default is cut to what the key has");

    let session = app.session(&ada).await;
    session.post("/v1/api-keys", ask(json!(["ops"]))).await.problem_at("invalid_fields", &["/scopes/0"]);
    session.post("/v1/api-keys", ask(json!([]))).await.problem_at("invalid_fields", &["/scopes"]);
    session
        .post("/v1/api-keys", ask(json!(["moon:read"])))
        .await
        .problem_at("invalid_fields", &["/scopes/0"]);
    let odd = json!({ "name": " ", "expires_at": "2020-01-01T00:00:00Z" });
    session.post("/v1/api-keys", odd).await.problem_at("invalid_fields", &["/name", "/expires_at"]);
    let operator = app.session(&root).await;
    operator.post("/v1/api-keys", ask(json!(["ops"]))).await.ok(201);
}

#[tokio::test]
async fn texts_that_are_no_key_are_refused_alike() {
    let app = TestApp::new().await;
    let good = format!("vayro_{}_{}", "a".repeat(8), "b".repeat(40));
    for value in ["", "Bearer", "Bearer x", "Basic YTpi", "bearer vayro_x", &format!("Bearer {good}")] {
        let answer = app.anonymous().with("authorization", value).get("/v1/links").await;
        assert!(answer.headers["www-authenticate"].to_str().expect("text").starts_with("Bearer"));
        answer.problem("not_authenticated");
    }
}

#[tokio::test]
async fn the_number_of_keys_is_bounded() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let session = app.session(&ada).await;
    for _ in 0..100 {
        session.post("/v1/api-keys", json!({ "name": "one" })).await.ok(201);
    }
    session.post("/v1/api-keys", json!({ "name": "more" })).await.problem("limit_reached");
}
