//! Shared statistics.

use std::time::Duration;

use serde_json::{Value, json};
use vayro_core::access::Role;

use crate::analytics::{World, world};
use crate::app::{Client, TestApp, column};

const PASSWORD: &str = "open sesame";

struct Shared {
    id: String,
    token: String,
    url: String,
}

async fn share(client: &Client<'_>, body: Value) -> Shared {
    let made = client.post("/v1/shares", body).await.ok(201);
    let text = |name: &str| made[name].as_str().expect(name).to_owned();
    assert!(text("token").starts_with(&text("prefix")), "{made}");
    let url = text("url");
    Shared {
        id: text("id"),
        token: text("token"),
        url: url.trim_start_matches("https://api.vay.test").to_owned(),
    }
}

async fn unlock(client: &Client<'_>, token: &str, password: &str) -> crate::app::Answer {
    client.post(&format!("/v1/public/{token}/unlock"), json!({ "password": password })).await
}

#[tokio::test]
async fn a_shared_link_shows_what_members_see_of_it_and_nothing_else() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let World { client, first, .. } = world(&app, &ada).await;
    let session = app.session(&ada).await;
    let shared = share(&session, json!({ "link_id": first.to_string(), "name": "board" })).await;
    assert_eq!(shared.url, format!("/v1/public/{}/analytics", shared.token));
    let anybody = app.anonymous();
    for question in
        ["", "interval=all", "country=DE&group_by=browser", "compare=previous&interval=7d", "include=bots"]
    {
        let public = anybody.get(&format!("{}?{question}", shared.url)).await.ok(200);
        let own = client.get(&format!("/v1/analytics/{first}?{question}")).await.ok(200);
        assert_eq!(public, own, "{question}");
    }
    anybody.get(&format!("{}?planet=earth", shared.url)).await.problem_at("invalid_query", &["planet"]);
    for path in ["events", "export", "live"] {
        anybody.get(&format!("/v1/public/{}/{path}", shared.token)).await.problem("unknown_route");
    }
    anybody
        .with("authorization", &format!("Bearer {}", shared.token))
        .get("/v1/events")
        .await
        .problem("not_authenticated");
}

#[tokio::test]
async fn a_shared_workspace_tells_no_titles_and_targets() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let World { first, .. } = world(&app, &ada).await;
    let shared = share(&app.session(&ada).await, json!({})).await;
    let public = app.anonymous().get(&format!("{}?group_by=link", shared.url)).await.ok(200);
    assert_eq!(public["link_id"], json!(null));
    assert_eq!(public["totals"]["clicks"], 5);
    let row = &public["breakdowns"]["link"]["rows"][0];
    assert_eq!(row["value"], first.to_string());
    assert_eq!(row["link"]["short_url"], "https://vay.test/first");
    assert!(!public.to_string().contains("example.com"), "{public}");
}

#[tokio::test]
async fn a_share_ends_when_revoked_expired_or_its_link_is_deleted() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let World { client, first, second } = world(&app, &ada).await;
    let session = app.session(&ada).await;
    let end = app.clock.now().plus(Duration::from_hours(1)).to_string();
    let revoked = share(&session, json!({ "link_id": first.to_string() })).await;
    let expired = share(&session, json!({ "link_id": first.to_string(), "expires_at": end })).await;
    let orphan = share(&session, json!({ "link_id": second.to_string() })).await;
    let anybody = app.anonymous();
    for shared in [&revoked, &expired, &orphan] {
        anybody.get(&shared.url).await.ok(200);
    }
    let path = format!("/v1/shares/{}", revoked.id);
    session.delete(&path).await.ok(204);
    session.delete(&path).await.ok(204);
    client.delete(&format!("/v1/links/{second}")).await.ok(204);
    app.clock.advance(Duration::from_hours(1));
    let unknown = format!("/v1/public/{}/analytics", "x".repeat(43));
    let mut answers = Vec::new();
    for url in [&revoked.url, &expired.url, &orphan.url, &unknown, "/v1/public/short/analytics"] {
        let problem = anybody.get(url).await.problem("not_found");
        answers.push(problem["detail"].clone());
    }
    assert!(answers.iter().all(|detail| *detail == answers[0]), "{answers:?}");
    let list = session.get("/v1/shares").await.ok(200);
    assert_eq!(column(&list, "id").len(), 3);
    assert!(!list.to_string().contains(&revoked.token), "the list has no token");
    session.delete("/v1/shares/01890000-0000-7000-8000-000000000001").await.problem("not_found");
}

#[tokio::test]
async fn a_password_is_exchanged_for_a_pass() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    world(&app, &ada).await;
    let session = app.session(&ada).await;
    let shared = share(&session, json!({ "password": PASSWORD })).await;
    let other = share(&session, json!({ "password": PASSWORD })).await;
    let open = share(&session, json!({})).await;
    let anybody = app.anonymous();
    anybody.get(&shared.url).await.problem("share_locked");
    unlock(&anybody, &shared.token, "open barley").await.problem("wrong_password");
    unlock(&anybody, &open.token, PASSWORD).await.problem("not_locked");
    unlock(&anybody, &"x".repeat(43), PASSWORD).await.problem("not_found");
    let unlocked = unlock(&anybody, &shared.token, PASSWORD).await.ok(200);
    assert_eq!(unlocked["expires_at"], app.clock.now().plus(Duration::from_hours(1)).to_string());
    let pass = unlocked["pass"].as_str().expect("a pass");
    let holder = anybody.clone().with("authorization", &format!("Bearer {pass}"));
    holder.get(&shared.url).await.ok(200);
    holder.get(&other.url).await.problem("share_locked");
    anybody.get(&shared.url).await.problem("share_locked");
    app.clock.advance(Duration::from_hours(1));
    holder.get(&shared.url).await.problem("share_locked");
}

#[tokio::test]
async fn guessing_is_limited_per_address_and_nobody_is_locked_out() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let shared = share(&app.session(&ada).await, json!({ "password": PASSWORD })).await;
    let guesser = app.anonymous().from("198.51.100.7");
    for _ in 0..5 {
        unlock(&guesser, &shared.token, "wrong password").await.problem("wrong_password");
    }
    let refused = unlock(&guesser, &shared.token, PASSWORD).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.problem("rate_limited");
    unlock(&app.anonymous(), &shared.token, PASSWORD).await.ok(200);
}

#[tokio::test]
async fn questions_of_strangers_are_limited() {
    let app = TestApp::new().await;
    let asker = app.anonymous().from("198.51.100.8");
    let path = format!("/v1/public/{}/analytics", "x".repeat(43));
    for _ in 0..120 {
        asker.get(&path).await.problem("not_found");
    }
    asker.get(&path).await.problem("rate_limited");
    app.anonymous().get(&path).await.problem("not_found");
}

#[tokio::test]
async fn shares_are_checked_listed_and_written_down() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let bob = app.person("bob").await;
    let World { first, .. } = world(&app, &ada).await;
    let session = app.session(&ada).await;
    let at = app.clock.now().to_string();
    let body =
        json!({ "name": "x".repeat(101), "password": "short", "expires_at": at, "link_id": bob.user_id });
    session
        .post("/v1/shares", body)
        .await
        .problem_at("invalid_fields", &["/name", "/password", "/expires_at", "/link_id"]);
    let stranger = app.session(&bob).await;
    let body = json!({ "link_id": first.to_string() });
    stranger.post("/v1/shares", body.clone()).await.problem_at("invalid_fields", &["/link_id"]);
    let member = app.member("mel", &ada, Role::Member).await;
    let member = app.session(&member).await.with("x-vayro-workspace", &ada.workspace_id.to_string());
    member.post("/v1/shares", body).await.problem("forbidden");

    let shared = share(&session, json!({ "link_id": first.to_string(), "password": PASSWORD })).await;
    // The log is ordered by time.
    app.clock.advance(Duration::from_millis(1));
    session.delete(&format!("/v1/shares/{}", shared.id)).await.ok(204);
    let list = session.get("/v1/shares").await.ok(200);
    let entry = &list["items"][0];
    assert_eq!(
        (&entry["has_password"], &entry["revoked_at"]),
        (&json!(true), &json!(app.clock.now().to_string()))
    );
    let log = session.get(&format!("/v1/audit-log?subject_id={}", shared.id)).await.ok(200);
    assert_eq!(column(&log, "action"), ["share.revoke", "share.create"]);
    for secret in ["argon2", &shared.token, PASSWORD] {
        assert!(!log.to_string().contains(secret), "{log}");
        assert!(!list.to_string().contains(secret), "{list}");
    }
}
