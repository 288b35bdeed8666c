//! What operators see and do.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde_json::json;
use vayro_core::click::{Click, ClickMethod};
use vayro_core::day::Day;
use vayro_core::ids::{ClickId, LinkId, WorkspaceId};
use vayro_core::ledger::{DayCounts, EdgeLedger};
use vayro_core::stream::{DeadReason, EdgeReport, NewDeadLetter};

use crate::app::{Client, PASSWORD, TestApp, column};

async fn operator(app: &TestApp) -> Client<'_> {
    let root = app.operator("root").await;
    app.key(&root, &["ops"]).await
}

fn link(number: u128) -> LinkId {
    LinkId::from_uuid(uuid::Uuid::from_u128(number))
}

/// Puts aside one click of each of these links, for these reasons.
async fn put_aside(app: &TestApp, letters: &[(LinkId, DeadReason)]) {
    for (index, (link_id, reason)) in letters.iter().enumerate() {
        let click = Click {
            id: ClickId::from_parts(app.clock.now(), [u8::try_from(index).expect("small"); 10]),
            link_id: *link_id,
            workspace_id: WorkspaceId::from_uuid(uuid::Uuid::from_u128(9)),
            domain: "".into(),
            ip: None,
            user_agent: "".into(),
            referer: "".into(),
            language: "".into(),
            query: "".into(),
            method: ClickMethod::Get,
            is_prefetch: false,
        };
        app.backends.sink.append(&[click]).await.expect("appends");
        let one = NonZeroUsize::MIN;
        let mut taken = app.backends.stream.next_batch(one, Duration::from_secs(10)).await.expect("reads");
        let delivery = taken.pop().expect("one entry");
        let at = app.clock.now();
        let letter = NewDeadLetter { delivery, reason: *reason, error: "for a test".to_owned(), at };
        app.backends.stream.dead_letter(&[letter]).await.expect("puts aside");
        app.clock.advance(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn the_stream_is_measured_with_its_edges() {
    let app = TestApp::new().await;
    let client = operator(&app).await;
    let report = EdgeReport {
        edge: "edge-1".to_owned(),
        clicks_accepted: 5,
        clicks_shipped: 4,
        clicks_dropped: 0,
        spool_bytes: 100,
        spool_clicks: 1,
        spool_oldest_ms: Some(7),
        at: app.clock.now(),
    };
    app.backends.reports.report(&report).await.expect("reports");
    put_aside(&app, &[(link(1), DeadReason::Rejected)]).await;
    let stream = client.get("/v1/ops/stream").await.ok(200);
    assert_eq!(stream["dead_letters"], 1);
    assert_eq!(stream["pending"], 0);
    assert_eq!(stream["undelivered"], json!({ "count": 0, "is_capped": false }));
    assert_eq!(stream["edges"][0]["edge"], "edge-1");
    assert_eq!(stream["edges"][0]["spool_oldest_ms"], 7);
    app.clock.advance(Duration::from_mins(5));
    assert_eq!(client.get("/v1/ops/stream").await.ok(200)["edges"], json!([]), "an old report is not shown");
}

#[tokio::test]
async fn accepted_clicks_are_compared_with_what_is_found() {
    let app = TestApp::new().await;
    let client = operator(&app).await;
    let today = Day::of(app.clock.now());
    let tell = async |accepted: u64, is_over: bool| {
        let counts = DayCounts { accepted, shipped: accepted, ..DayCounts::default() };
        let ledger = EdgeLedger {
            edge: "edge-1".to_owned(),
            is_over,
            at: app.clock.now(),
            days: vec![(today, counts)],
        };
        app.backends.ledger.record(&[ledger]).await.expect("recorded");
    };
    assert_eq!(client.get("/v1/ops/audit/clicks").await.ok(200)["verdict"], "unknown", "nobody counted");
    put_aside(&app, &[(link(1), DeadReason::Rejected), (link(2), DeadReason::Rejected)]).await;
    tell(2, false).await;
    let audit = client.get("/v1/ops/audit/clicks").await.ok(200);
    assert_eq!((&audit["verdict"], &audit["days"][0]["dead_letters"]), (&json!("balanced"), &json!(2)));
    assert_eq!(audit["edges"][0]["is_silent"], false);

    // A letter that is purged is not missing, and one click that nobody has is.
    let path = "/v1/ops/dead-letters?all=true&max=1";
    assert_eq!(client.delete(path).await.ok(200)["done"], 1);
    let day = format!("/v1/ops/audit/clicks?day={today}");
    let audit = client.get(&day).await.ok(200);
    assert_eq!((&audit["verdict"], &audit["days"][0]["removed"]), (&json!("balanced"), &json!(1)));
    tell(3, true).await;
    let audit = client.get(&day).await.ok(200);
    assert_eq!((&audit["verdict"], &audit["days"][0]["unaccounted"]), (&json!("unbalanced"), &json!(1)));
    assert_eq!(audit["edges"], json!([]), "it has ended");
    let problem = client.get("/v1/ops/audit/clicks?day=yesterday").await;
    assert_eq!(problem.status, 400);
}

#[tokio::test]
async fn dead_letters_are_listed_filtered_and_shown() {
    let app = TestApp::new().await;
    let client = operator(&app).await;
    let start = app.clock.now();
    put_aside(
        &app,
        &[
            (link(1), DeadReason::Rejected),
            (link(2), DeadReason::UnknownLink),
            (link(1), DeadReason::Crashed),
        ],
    )
    .await;
    let whole = client.get("/v1/ops/dead-letters").await.ok(200);
    let ids = column(&whole, "id");
    assert_eq!(column(&whole, "reason"), ["rejected", "unknown_link", "crashed"]);
    let letter = client.get(&format!("/v1/ops/dead-letters/{}", ids[0])).await.ok(200);
    assert_eq!(letter, whole["items"][0]);
    let fields = letter["fields"].as_array().expect("fields");
    assert!(fields.contains(&json!({ "name": "link_id", "value": link(1).to_string() })), "{letter}");

    let later = start.plus(Duration::from_secs(90));
    for (query, count) in [
        ("reason=rejected".to_owned(), 1),
        (format!("link_id={}", link(1)), 2),
        (format!("since={later}"), 1),
        (format!("link_id={}&reason=unknown_link", link(1)), 0),
    ] {
        let list = client.get(&format!("/v1/ops/dead-letters?{query}")).await.ok(200);
        assert_eq!(list["items"].as_array().map(Vec::len), Some(count), "{query}");
    }
    let mut seen = Vec::new();
    let mut path = "/v1/ops/dead-letters?limit=2".to_owned();
    loop {
        let page = client.get(&path).await.ok(200);
        seen.extend(column(&page, "id"));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/ops/dead-letters?limit=2&cursor={next}");
    }
    assert_eq!(seen, ids);
    client.get("/v1/ops/dead-letters/1-0-0-nope").await.problem("not_found");
    client.get("/v1/ops/dead-letters/%20").await.problem("not_found");
    client
        .get("/v1/ops/dead-letters?reason=bad&since=x&link_id=y")
        .await
        .problem_at("invalid_query", &["reason", "since", "link_id"]);
}

#[tokio::test]
async fn letters_are_replayed_into_the_stream() {
    let app = TestApp::new().await;
    let client = operator(&app).await;
    put_aside(
        &app,
        &[(link(1), DeadReason::Rejected), (link(2), DeadReason::Rejected), (link(3), DeadReason::Crashed)],
    )
    .await;
    let replay = "/v1/ops/dead-letters/replay";
    let dry = client.post(replay, json!({ "dry_run": true })).await.ok(200);
    assert_eq!(dry, json!({ "matched": 3, "done": 0, "has_more": false }));
    let one = client.post(replay, json!({ "reason": "rejected", "max": 1 })).await.ok(200);
    assert_eq!(one, json!({ "matched": 1, "done": 1, "has_more": true }));
    let ids = column(&client.get("/v1/ops/dead-letters").await.ok(200), "id");
    let named = client.post(replay, json!({ "ids": [ids[0], "unknown"] })).await.ok(200);
    assert_eq!(named, json!({ "matched": 1, "done": 1, "has_more": false }));
    let many = NonZeroUsize::new(10).expect("not zero");
    let back = app.backends.stream.next_batch(many, Duration::from_secs(10)).await.expect("reads");
    let links: Vec<_> = back
        .iter()
        .filter_map(|entry| Click::decode(&entry.fields).ok())
        .map(|click| click.link_id)
        .collect();
    assert_eq!(links, [link(1), link(2)]);

    let bad = json!({ "ids": ["a b"], "max": 0 });
    client.post(replay, bad).await.problem_at("invalid_fields", &["/ids/0", "/max"]);
    client.post(replay, json!({ "ids": vec!["x"; 1001] })).await.problem_at("invalid_fields", &["/ids"]);
    client.post(replay, json!({ "reason": "bad" })).await.problem_at("invalid_fields", &["/reason"]);
}

#[tokio::test]
async fn purging_everything_has_to_be_said() {
    let app = TestApp::new().await;
    let client = operator(&app).await;
    put_aside(
        &app,
        &[(link(1), DeadReason::Rejected), (link(2), DeadReason::Crashed), (link(3), DeadReason::Crashed)],
    )
    .await;
    let path = "/v1/ops/dead-letters";
    client.delete(path).await.problem_at("invalid_query", &["all"]);
    client
        .delete(&format!("{path}?max=0&ids=a%20b&dry_run=no"))
        .await
        .problem_at("invalid_query", &["ids", "max", "dry_run", "all"]);
    let dry = client.delete(&format!("{path}?reason=crashed&dry_run=true")).await.ok(200);
    assert_eq!(dry, json!({ "matched": 2, "done": 0, "has_more": false }));
    assert_eq!(client.delete(&format!("{path}?reason=crashed")).await.ok(200)["done"], 2);
    let ids = column(&client.get(path).await.ok(200), "id");
    assert_eq!(client.delete(&format!("{path}?ids={},unknown", ids[0])).await.ok(200)["done"], 1);
    assert_eq!(client.delete(&format!("{path}?all=true")).await.ok(200)["matched"], 0);
}

#[tokio::test]
async fn accounts_are_made_changed_and_switched_off() {
    let app = TestApp::new().await;
    let client = operator(&app).await;
    let body = json!({ "email": "New@example.com", "plan": "pro" });
    let made = client.post("/v1/ops/users", body.clone()).await.ok(201);
    assert_eq!(made["user"]["email"], "new@example.com");
    let password = made["generated_password"].as_str().expect("a password").to_owned();
    client.post("/v1/ops/users", body).await.problem_at("email_taken", &["/email"]);
    let login = |password: &str| json!({ "email": "new@example.com", "password": password });
    app.anonymous().post("/v1/login", login(&password)).await.ok(200);

    let path = format!("/v1/ops/users/{}", made["user"]["id"].as_str().expect("an id"));
    client.patch(&path, json!({ "password": PASSWORD })).await.ok(200);
    app.anonymous().post("/v1/login", login(&password)).await.problem("wrong_credentials");
    app.anonymous().post("/v1/login", login(PASSWORD)).await.ok(200);
    let off = client.patch(&path, json!({ "is_disabled": true, "is_operator": true })).await.ok(200);
    assert_eq!(off["disabled_at"], app.clock.now().to_string());
    app.anonymous().post("/v1/login", login(PASSWORD)).await.problem("wrong_credentials");

    let list = client.get("/v1/ops/users").await.ok(200);
    assert_eq!(column(&list, "email"), ["root@example.com", "new@example.com"]);
    assert_eq!(list["total"], 2);
    client.post("/v1/ops/users", json!({ "email": "x" })).await.problem_at("invalid_fields", &["/email"]);
    let short = json!({ "email": "x@example.com", "password": "short" });
    client.post("/v1/ops/users", short).await.problem_at("invalid_fields", &["/password"]);
    client.patch(&path, json!({ "password": "short" })).await.problem_at("invalid_fields", &["/password"]);
    client.patch(&path, json!({ "plan": "gold" })).await.problem_at("invalid_fields", &["/plan"]);
    client.patch("/v1/ops/users/01890000-0000-7000-8000-000000000001", json!({})).await.problem("not_found");
}

#[tokio::test]
async fn operators_do_not_lock_themselves_out() {
    let app = TestApp::new().await;
    let root = app.operator("root").await;
    let client = app.session(&root).await;
    let path = format!("/v1/ops/users/{}", root.user_id);
    client.patch(&path, json!({ "is_disabled": true })).await.problem("forbidden");
    client.patch(&path, json!({ "is_operator": false })).await.problem("forbidden");
    client.patch(&path, json!({ "plan": "enterprise" })).await.ok(200);
}

#[tokio::test]
async fn the_first_account_is_made_once() {
    let app = TestApp::new().await;
    let email = || "root@example.com".parse().expect("valid");
    let first = vayro_api::bootstrap(&app.state, email()).await.expect("works").expect("the first");
    assert!(first.user.is_operator);
    let client = app.with_key(&first.api_key);
    client.get("/v1/ops/stream").await.ok(200);
    client.make_link(json!({ "target_url": "https://example.com/" })).await;
    let body = json!({ "email": "root@example.com", "password": first.password });
    app.anonymous().post("/v1/login", body).await.ok(200);
    assert!(vayro_api::bootstrap(&app.state, email()).await.expect("works").is_none());

    let context = vayro_api::system_context(&app.state);
    vayro_api::set_password(&app.state, &email(), PASSWORD.to_owned(), &context).await.expect("sets");
    let body = json!({ "email": "root@example.com", "password": PASSWORD });
    app.anonymous().post("/v1/login", body).await.ok(200);
}
