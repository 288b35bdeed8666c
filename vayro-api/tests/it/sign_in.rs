//! Sign-in, sessions, and what protects them.

use std::time::Duration;

use http::{Method, header};
use serde_json::json;

use crate::app::{API_URL, PASSWORD, TestApp};

#[tokio::test]
async fn a_session_begins_with_a_cookie_and_ends_with_logout() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let body = json!({ "email": "ADA@example.com", "password": PASSWORD });
    let answer = app.anonymous().with("user-agent", "Tester/1.0").post("/v1/login", body).await;
    let cookie = answer.headers[header::SET_COOKIE].to_str().expect("text").to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let login = answer.ok(200);
    assert_eq!(login["user"]["id"], ada.user_id.to_string());
    assert_eq!(login["session"]["user_agent"], "Tester/1.0");
    assert_eq!(login["session"]["ip_address"], "192.0.2.0", "truncated");
    let secret = cookie.split(';').next().expect("a first part");
    assert!(!login.to_string().contains(secret), "the secret is in the cookie alone");

    let client = app.anonymous().with("cookie", secret).with("origin", API_URL);
    let me = client.get("/v1/me").await.ok(200);
    assert_eq!(me["credential"]["kind"], "session");
    assert_eq!(me["workspaces"][0]["id"], ada.workspace_id.to_string());
    let answer = client.post_nothing("/v1/logout").await;
    assert!(answer.headers[header::SET_COOKIE].to_str().expect("text").contains("Max-Age=0"));
    answer.ok(204);
    client.get("/v1/me").await.problem("not_authenticated");
}

#[tokio::test]
async fn wrong_passwords_and_unknown_accounts_look_alike() {
    let app = TestApp::new().await;
    let off = app.person("off").await;
    app.person("ada").await;
    let context = vayro_api::system_context(&app.state);
    let patch = vayro_core::account::UserPatch { is_disabled: Some(true), ..Default::default() };
    app.backends.users.update(off.user_id, &patch, &context).await.expect("switches off");
    let mut bodies = Vec::new();
    for (email, password) in [
        ("ada@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("off@example.com", PASSWORD),
        ("ada@example.com", &*"x".repeat(1000)),
    ] {
        let answer = app.anonymous().post("/v1/login", json!({ "email": email, "password": password })).await;
        let mut body = answer.problem("wrong_credentials");
        body["request_id"] = json!(null);
        bodies.push(body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn guessing_is_limited_and_locks_out_nobody_else() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let wrong = json!({ "email": ada.email, "password": "wrong password" });
    let right = json!({ "email": ada.email, "password": PASSWORD });
    let attacker = app.anonymous().from("198.51.100.1");
    for _ in 0..5 {
        attacker.post("/v1/login", wrong.clone()).await.problem("wrong_credentials");
    }
    let answer = attacker.post("/v1/login", right.clone()).await;
    let wait: u64 = answer.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=900).contains(&wait), "{wait}");
    answer.problem("rate_limited");

    app.anonymous().from("203.0.113.7").post("/v1/login", right.clone()).await.ok(200);
    // A success forgets the tries before it.
    let owner = app.anonymous().from("203.0.113.8");
    for _ in 0..2 {
        for _ in 0..4 {
            owner.post("/v1/login", wrong.clone()).await.problem("wrong_credentials");
        }
        owner.post("/v1/login", right.clone()).await.ok(200);
    }
}

#[tokio::test]
async fn one_address_cannot_try_one_password_on_every_account() {
    let app = TestApp::with(|_, settings| settings.login_tries_per_address = 6, None).await;
    let try_as = async |address: &str, index: usize| {
        let body = json!({ "email": format!("a{index}@example.com"), "password": PASSWORD });
        app.anonymous().from(address).post("/v1/login", body).await
    };
    for index in 0..6 {
        // Neighbors in one IPv6 /64 are one customer.
        try_as(&format!("2001:db8::{index}"), index).await.problem("wrong_credentials");
    }
    try_as("2001:db8::99", 99).await.problem("rate_limited");
    try_as("2001:db8:0:1::1", 99).await.problem("wrong_credentials");
}

#[tokio::test]
async fn the_client_behind_a_trusted_proxy_is_limited_not_the_proxy() {
    let app = TestApp::new().await;
    let wrong = json!({ "email": "ada@example.com", "password": "wrong password" });
    let proxy = app.anonymous().from("127.0.0.1");
    let attacker = proxy.clone().with("x-forwarded-for", "198.51.100.1");
    for _ in 0..5 {
        attacker.post("/v1/login", wrong.clone()).await.problem("wrong_credentials");
    }
    attacker.post("/v1/login", wrong.clone()).await.problem("rate_limited");
    proxy
        .with("x-forwarded-for", "198.51.100.2")
        .post("/v1/login", wrong.clone())
        .await
        .problem("wrong_credentials");
    // Somebody who is no proxy cannot choose an address.
    let liar = app.anonymous().from("198.51.100.1").with("x-forwarded-for", "192.0.2.99");
    liar.post("/v1/login", wrong).await.problem("rate_limited");
}

#[tokio::test]
async fn changes_with_a_cookie_come_from_our_own_pages() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.session(&ada).await;
    let link = json!({ "target_url": "https://example.com/" });
    let silent = client.clone().without("origin");
    silent.get("/v1/links").await.ok(200);
    silent.post("/v1/links", link.clone()).await.problem("cross_site");
    for (name, value) in [
        ("origin", "https://evil.test"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "none"),
    ] {
        let foreign = silent.clone().with(name, value);
        foreign.post("/v1/links", link.clone()).await.problem("cross_site");
        foreign.delete("/v1/sessions").await.problem("cross_site");
    }
    silent.clone().with("sec-fetch-site", "same-origin").post("/v1/links", link.clone()).await.ok(201);
    let form = client.clone().with("content-type", "application/x-www-form-urlencoded");
    form.send_raw(Method::POST, "/v1/logout", "a=b".into()).await.problem("unsupported_media_type");

    let login = json!({ "email": ada.email, "password": PASSWORD });
    let foreign = app.anonymous().with("origin", "https://evil.test");
    foreign.post("/v1/login", login).await.problem("cross_site");
    // An API key is not sent by browsers on their own, so it needs no such proof.
    let key = app.key(&ada, &["links:write"]).await.with("origin", "https://evil.test");
    key.post("/v1/links", link).await.ok(201);
}

#[tokio::test]
async fn sessions_slide_and_end() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.session(&ada).await;
    let day = Duration::from_hours(24);
    // Used every ten days it outlives its fourteen, and ends after ninety all the same.
    for _ in 0..8 {
        app.clock.advance(day * 10);
        client.get("/v1/me").await.ok(200);
    }
    app.clock.advance(day * 10);
    client.get("/v1/me").await.problem("not_authenticated");

    let client = app.session(&ada).await;
    app.clock.advance(day * 14);
    client.get("/v1/me").await.problem("not_authenticated");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one_or_together() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let (first, second, third) = (app.session(&ada).await, app.session(&ada).await, app.session(&ada).await);
    let stranger = app.session(&bob).await;
    let list = first.get("/v1/sessions").await.ok(200);
    let items = list["items"].as_array().expect("a list");
    assert_eq!(items.len(), 3);
    assert_eq!(items.iter().filter(|item| item["is_current"] == true).count(), 1);

    let me = second.get("/v1/me").await.ok(200);
    let path = format!("/v1/sessions/{}", me["credential"]["id"].as_str().expect("an id"));
    stranger.delete(&path).await.problem("not_found");
    first.delete(&path).await.ok(204);
    second.get("/v1/me").await.problem("not_authenticated");
    first.delete("/v1/sessions").await.ok(204);
    third.get("/v1/me").await.problem("not_authenticated");
    first.get("/v1/me").await.ok(200);
    stranger.get("/v1/me").await.ok(200);
}

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_ends_every_session() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let (client, other) = (app.session(&ada).await, app.session(&ada).await);
    let change = |old: &str, new: &str| json!({ "current_password": old, "password": new });
    client
        .patch("/v1/me", change("wrong password", "another horse"))
        .await
        .problem_at("invalid_fields", &["/current_password"]);
    client.patch("/v1/me", change(PASSWORD, "short")).await.problem_at("invalid_fields", &["/password"]);
    client.patch("/v1/me", change(PASSWORD, "another horse")).await.ok(204);
    client.get("/v1/me").await.problem("not_authenticated");
    other.get("/v1/me").await.problem("not_authenticated");
    let login = |password: &str| json!({ "email": ada.email, "password": password });
    app.anonymous().post("/v1/login", login(PASSWORD)).await.problem("wrong_credentials");
    app.anonymous().post("/v1/login", login("another horse")).await.ok(200);
}

#[tokio::test]
async fn sign_ins_go_on_while_the_limiter_is_away() {
    let app = TestApp::with(|ports, _| ports.limits = std::sync::Arc::new(crate::problems::Away), None).await;
    let ada = app.person("ada").await;
    app.session(&ada).await.get("/v1/me").await.ok(200);
}
