//! `Idempotency-Key`: what is sent twice is done once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use futures::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use vayro_api::{ApiSettings, Ports, serve_state};
use vayro_core::access::Role;

use crate::app::{Answer, Client, TestApp};
use crate::gate::{Gate, Keeper};

const LINKS: &[&str] = &["links:read", "links:write"];
const KEY: &str = "idempotency-key";
const REPLAYED: &str = "idempotency-replayed";
/// Longest time anything here may take; reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(30);

fn body() -> Value {
    json!({ "target_url": "https://example.com/" })
}

async fn create(client: &Client<'_>, key: &str) -> Answer {
    client.clone().with(KEY, key).post("/v1/links", body()).await
}

async fn count_links(client: &Client<'_>) -> usize {
    let list = client.get("/v1/links").await.ok(200);
    list["items"].as_array().map(Vec::len).expect("a list")
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.get(REPLAYED).is_some_and(|value| value == "true")
}

/// Sends a request until no earlier one with its key is running.
async fn create_patiently(client: &Client<'_>, key: &str) -> Answer {
    let again = async {
        loop {
            let answer = create(client, key).await;
            if answer.body["code"] != "idempotency_key_in_use" {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, again).await.expect("the earlier one ends in time")
}

async fn gated(settings: impl FnOnce(&mut ApiSettings)) -> (TestApp, Keeper) {
    let keeper = Keeper::new();
    let change = |ports: &mut Ports, own: &mut ApiSettings| {
        keeper.guard(ports);
        settings(own);
    };
    let app = TestApp::with(change, None).await;
    (app, keeper)
}

#[tokio::test]
async fn what_is_sent_again_is_answered_again_and_not_done_again() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    let first = create(&client, "key-1").await;
    assert!(!first.headers.contains_key(REPLAYED));
    let (etag, location) = (first.headers["etag"].clone(), first.headers["location"].clone());
    let link = first.ok(201);
    // The link goes its way; the answer stays what it was. The key is the account's, not the secret's.
    let path = location.to_str().expect("text").to_owned();
    client.patch(&path, json!({ "title": "Changed" })).await.ok(200);
    client.delete(&path).await.ok(204);
    for client in [client.clone(), app.key(&ada, LINKS).await, app.session(&ada).await] {
        let again = create(&client, "key-1").await;
        assert!(is_replayed(&again));
        assert_eq!((&again.headers["etag"], &again.headers["location"]), (&etag, &location));
        assert_eq!(again.headers["content-type"], "application/json");
        assert_eq!(again.headers["cache-control"], "no-store");
        assert_eq!(again.ok(201), link);
    }
    assert_eq!(count_links(&client).await, 0);
    create(&client, "key-2").await.ok(201);
    assert_eq!(count_links(&client).await, 1);
}

#[tokio::test]
async fn every_creating_route_takes_a_key() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.session(&ada).await.with(KEY, "key-1");
    let operations = json!({ "operations": vec![json!({ "op": "create", "link": body() }); 100] });
    for (path, body, status) in [
        ("/v1/links", body(), 201),
        ("/v1/links/bulk", operations, 207),
        ("/v1/domains", json!({ "host": "go.example.com" }), 201),
        ("/v1/workspaces", json!({ "name": "Second" }), 201),
    ] {
        let first = client.post(path, body.clone()).await.ok(status);
        let again = client.post(path, body).await;
        assert!(is_replayed(&again), "{path}");
        assert_eq!(again.ok(status), first, "{path}");
    }
    assert_eq!(client.get("/v1/links?limit=200").await.ok(200)["items"].as_array().map(Vec::len), Some(101));
    assert_eq!(client.get("/v1/workspaces").await.ok(200)["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    create(&client, "key-1").await.ok(201);
    let other = json!({ "target_url": "https://example.com/other" });
    let answer = client.clone().with(KEY, "key-1").post("/v1/links", other).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.problem_at("idempotency_key_reused", &[KEY]);
    assert_eq!(count_links(&client).await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_one_account_in_one_workspace() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let eve = app.member("eve", &ada, Role::Member).await;
    let home = eve.workspace_id.to_string();
    let at_ada = app.session(&eve).await.with("x-vayro-workspace", &ada.workspace_id.to_string());
    let at_home = at_ada.clone().with("x-vayro-workspace", &home);
    let mut ids = Vec::new();
    for client in [&app.key(&ada, LINKS).await, &app.key(&bob, LINKS).await, &at_ada, &at_home] {
        let answer = create(client, "key-1").await;
        assert!(!is_replayed(&answer));
        ids.push(answer.ok(201)["id"].to_string());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn a_stored_answer_is_only_for_those_who_could_get_a_new_one() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    create(&client, "key-1").await.ok(201);
    create(&app.key(&ada, &["links:read"]).await, "key-1").await.problem("scope_missing");
    create(&app.anonymous(), "key-1").await.problem("not_authenticated");
    let elsewhere = app.session(&app.person("bob").await).await;
    let elsewhere = elsewhere.with("x-vayro-workspace", &ada.workspace_id.to_string());
    create(&elsewhere, "key-1").await.problem("not_found");
    create(&app.session(&ada).await.without("origin"), "key-1").await.problem("cross_site");
    // Nothing of that has touched the key.
    assert!(is_replayed(&create(&client, "key-1").await));
}

#[tokio::test]
async fn refusals_are_answers_too() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    let body = json!({ "target_url": "https://example.com/", "short_code": "mine" });
    client.make_link(body.clone()).await;
    let keyed = client.clone().with(KEY, "key-1");
    let first = keyed.post("/v1/links", body.clone()).await.problem("short_code_taken");
    let again = keyed.post("/v1/links", body).await;
    assert!(is_replayed(&again));
    let again = again.problem("short_code_taken");
    assert_ne!(again["request_id"], first["request_id"], "each names its own request");
    assert_eq!(again["errors"], first["errors"]);
    let broken = client.clone().with(KEY, "key-2").with("content-type", "application/json");
    for replayed in [false, true] {
        let answer = broken.send_raw(Method::POST, "/v1/links", Body::from("{")).await;
        assert_eq!(is_replayed(&answer), replayed);
        answer.problem("malformed_body");
    }
}

#[tokio::test]
async fn what_cannot_be_a_request_uses_no_key() {
    let app = TestApp::with(|_, settings| settings.body_size_max = 1000, None).await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await.with(KEY, "key-1");
    let text = client.clone().with("content-type", "text/plain");
    text.send_raw(Method::POST, "/v1/links", Body::from("{}")).await.problem("unsupported_media_type");
    client.post("/v1/links", json!({ "title": "x".repeat(2000) })).await.problem("body_too_large");
    client.post("/v1/links", body()).await.ok(201);
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    create(&client, &"x".repeat(255)).await.ok(201);
    for bad in ["", "a b", "a\tb", "é", &*"x".repeat(256)] {
        let answer = create(&client, bad).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        answer.problem_at("invalid_idempotency_key", &[KEY]);
    }
    assert_eq!(count_links(&client).await, 1);
}

/// Their answers hold secrets, or they can be repeated without harm anyhow.
#[tokio::test]
async fn other_routes_ignore_keys() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let session = app.session(&ada).await.with(KEY, "not even a key");
    let new = json!({ "name": "test", "scopes": ["links:read"] });
    let first = session.post("/v1/api-keys", new.clone()).await.ok(201);
    assert_ne!(session.post("/v1/api-keys", new).await.ok(201)["key"], first["key"]);
    session.get("/v1/links").await.ok(200);
}

#[tokio::test]
async fn of_requests_at_once_one_runs() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    let answers = join_all((0..8).map(|_| create(&client, "key-1"))).await;
    let made: Vec<_> =
        answers.iter().filter(|a| a.status == StatusCode::CREATED && !is_replayed(a)).collect();
    assert_eq!(made.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::CREATED) {
        assert_eq!(answer.body["code"], "idempotency_key_in_use");
    }
    assert_eq!(count_links(&client).await, 1);
}

#[tokio::test]
async fn a_key_is_in_use_while_its_request_runs() {
    let (app, keeper) = gated(|_| {}).await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    keeper.set(Gate::Shut);
    let second = async {
        keeper.arrived(1).await;
        let answer = create(&client, "key-1").await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert_eq!(answer.headers["retry-after"], "1");
        answer.problem("idempotency_key_in_use");
        let other = json!({ "target_url": "https://example.com/other" });
        client.clone().with(KEY, "key-1").post("/v1/links", other).await.problem("idempotency_key_reused");
        keeper.set(Gate::Open);
    };
    let (first, ()) = tokio::join!(create(&client, "key-1"), second);
    let link = first.ok(201);
    assert_eq!(create(&client, "key-1").await.ok(201), link);
    assert_eq!(count_links(&client).await, 1);
}

#[tokio::test]
async fn a_request_goes_on_when_its_client_leaves() {
    let (app, keeper) = gated(|_| {}).await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    keeper.set(Gate::Shut);
    {
        let mut lost = pin!(create(&client, "key-1"));
        tokio::select! {
            _ = &mut lost => panic!("the gate is shut"),
            () = keeper.arrived(1) => {}
        }
    }
    create(&client, "key-1").await.problem("idempotency_key_in_use");
    keeper.set(Gate::Open);
    let again = create_patiently(&client, "key-1").await;
    assert!(is_replayed(&again));
    again.ok(201);
    assert_eq!(count_links(&client).await, 1);
}

#[tokio::test]
async fn a_request_whose_client_has_left_is_finished_before_the_end() {
    let (app, keeper) = gated(|_| {}).await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let mut stream = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connects");
    let (stop, shutdown) = watch::channel(false);
    let server = tokio::spawn(serve_state(Arc::clone(&app.state), listener, shutdown));
    keeper.set(Gate::Shut);
    let body = body().to_string();
    let head = client.clone().with(KEY, "key-1").with("content-type", "application/json").head();
    let request =
        format!("POST /v1/links HTTP/1.1\r\nhost: x\r\n{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.expect("writes");
    keeper.arrived(1).await;
    drop(stream);
    stop.send_replace(true);
    let draining = async {
        while !app.state.is_draining.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, draining).await.expect("drains in time");
    keeper.set(Gate::Open);
    tokio::time::timeout(LIMIT, server).await.expect("ends in time").expect("no panic");
    assert!(is_replayed(&create(&client, "key-1").await));
}

#[tokio::test]
async fn a_failure_of_ours_makes_the_key_free() {
    let (app, keeper) = gated(|_| {}).await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    for (gate, code) in [(Gate::Failing, "unavailable"), (Gate::Panicking, "internal")] {
        keeper.set(gate);
        let answer = create(&client, code).await;
        assert!(!is_replayed(&answer));
        answer.problem(code);
        keeper.set(Gate::Open);
        // Free for another body, too.
        let other = json!({ "target_url": "https://example.com/other" });
        let next = client.clone().with(KEY, code).post("/v1/links", other).await;
        assert!(!is_replayed(&next));
        next.ok(201);
    }
    assert_eq!(count_links(&client).await, 2);
    assert!(app.state.metrics.text().contains("vayro_api_panics_total 1"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_makes_the_key_free() {
    let (app, keeper) = gated(|settings| settings.request_time_max = Duration::from_millis(1500)).await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    keeper.set(Gate::Shut);
    create(&client, "key-1").await.problem("timeout");
    keeper.arrived(1).await;
    // One more is let in once the first one is out.
    let again = async {
        keeper.arrived(2).await;
        keeper.set(Gate::Open);
    };
    let (again, ()) = tokio::join!(create_patiently(&client, "key-1"), again);
    assert!(!is_replayed(&again));
    again.ok(201);
    assert_eq!(count_links(&client).await, 1);
}

/// Nobody tells of the end of a process that died; its time is up 30 seconds after that of the request.
#[tokio::test]
async fn a_key_is_not_held_for_ever() {
    let (app, keeper) = gated(|_| {}).await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    keeper.set(Gate::Shut);
    let next = async {
        keeper.arrived(1).await;
        app.clock.advance(Duration::from_millis(59_999));
        create(&client, "key-1").await.problem("idempotency_key_in_use");
        app.clock.advance(Duration::from_millis(1));
        let open = async {
            keeper.arrived(2).await;
            keeper.set(Gate::Open);
        };
        let (next, ()) = tokio::join!(create(&client, "key-1"), open);
        assert!(!is_replayed(&next));
        next.ok(201)
    };
    let (late, next) = tokio::join!(create(&client, "key-1"), next);
    late.ok(201);
    assert_eq!(create(&client, "key-1").await.ok(201), next, "the answer of the one who holds the key");
}

#[tokio::test]
async fn a_key_is_free_after_a_day() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, LINKS).await;
    create(&client, "key-1").await.ok(201);
    app.clock.advance(Duration::from_secs(86_400) - Duration::from_millis(1));
    assert!(is_replayed(&create(&client, "key-1").await));
    app.clock.advance(Duration::from_millis(1));
    let answer = create(&client, "key-1").await;
    assert!(!is_replayed(&answer));
    answer.ok(201);
    assert_eq!(count_links(&client).await, 2);
}
