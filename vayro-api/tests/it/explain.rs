//! `POST /v1/explain`.

use serde_json::{Value, json};

use crate::app::{Client, TestApp};

async fn explain(client: &Client<'_>, body: Value) -> Value {
    client.post("/v1/explain", body).await.ok(200)
}

/// Returns what came of each step.
fn steps(explanation: &Value) -> Vec<(String, String)> {
    let text = |step: &Value, name: &str| step[name].as_str().expect("a text").to_owned();
    let steps = explanation["steps"].as_array().expect("steps");
    steps.iter().map(|step| (text(step, "step"), text(step, "result"))).collect()
}

fn result(explanation: &Value, step: &str) -> String {
    let found = steps(explanation).into_iter().find(|(name, _)| name == step);
    found.unwrap_or_else(|| panic!("no step {step}: {explanation:#}")).1
}

#[tokio::test]
async fn every_step_of_a_plain_visit_is_told() {
    let app = TestApp::new().await;
    let owner = app.session(&app.person("owner").await).await;
    let link = owner.make_link(json!({ "target_url": "https://example.com/", "short_code": "launch" })).await;
    let answer = explain(
        &owner,
        json!({ "url": "https://vay.test/launch?utm_source=x", "headers": [
            { "name": "User-Agent", "value": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0" },
        ] }),
    )
    .await;
    let names: Vec<String> = steps(&answer).into_iter().map(|(name, _)| name).collect();
    let all = ["host", "code", "edge_memory", "shared_cache", "database", "link", "answer", "count"];
    assert_eq!(names, all);
    for (step, expected) in
        [("host", "default"), ("code", "valid"), ("edge_memory", "not_known"), ("database", "hit")]
    {
        assert_eq!(result(&answer, step), expected, "{answer:#}");
    }
    assert_eq!((&answer["link"]["id"], &answer["link"]["state"]), (&link["id"], &"active".into()));
    assert_eq!(answer["answer"]["status"], 302);
    assert_eq!(
        answer["answer"]["headers"][0],
        json!({ "name": "location", "value": "https://example.com/" })
    );
    assert_eq!(answer["count"]["class"], "counted");
    assert_eq!(answer["at"], "2026-05-10T12:00:00.001Z");
}

#[tokio::test]
async fn the_time_of_the_visit_decides() {
    let app = TestApp::new().await;
    let owner = app.session(&app.person("owner").await).await;
    let expires_at = "2026-06-01T00:00:00Z";
    let body = json!({
        "target_url": "https://example.com/", "short_code": "june", "redirect_status": 301, "expires_at": expires_at,
    });
    owner.make_link(body).await;
    let at = |at: &'static str| json!({ "url": "http://vay.test/june", "at": at });
    let before = explain(&owner, at("2026-05-31T23:59:00Z")).await;
    assert_eq!((&before["answer"]["status"], result(&before, "link")), (&301.into(), "active".to_owned()));
    let headers = before["answer"]["headers"].as_array().expect("headers");
    assert!(
        headers.contains(&json!({ "name": "cache-control", "value": "private, max-age=60" })),
        "{before:#}"
    );
    let after = explain(&owner, at(expires_at)).await;
    assert_eq!((&after["answer"]["status"], result(&after, "link")), (&410.into(), "expired".to_owned()));
    assert_eq!(after["count"]["class"], Value::Null);
}

#[tokio::test]
async fn what_is_no_link_is_told_as_such() {
    let app = TestApp::new().await;
    let owner = app.session(&app.person("owner").await).await;
    let of = |url: &str| json!({ "url": url });
    for (url, step, expected, status) in [
        ("https://vay.test/unknown", "link", "unknown", 404),
        ("https://vay.test/a/b", "code", "invalid", 404),
        ("https://vay.test/", "code", "root", 200),
        ("https://vay.test/robots.txt", "code", "robots", 200),
        ("https://other.test/unknown", "host", "unknown_as_default", 404),
    ] {
        let answer = explain(&owner, of(url)).await;
        assert_eq!(
            (result(&answer, step), &answer["answer"]["status"]),
            (expected.to_owned(), &status.into())
        );
        assert_eq!(result(&answer, "count"), "no_click", "{url}");
    }
    let link = owner.make_link(json!({ "target_url": "https://example.com/", "short_code": "gone" })).await;
    let path = format!("/v1/links/{}", link["id"].as_str().expect("an id"));
    owner.patch(&path, json!({ "is_active": false })).await.ok(200);
    let answer = explain(&owner, of("https://vay.test/gone")).await;
    assert_eq!((result(&answer, "link"), &answer["answer"]["status"]), ("disabled".to_owned(), &404.into()));
    owner.delete(&path).await.ok(204);
    let answer = explain(&owner, of("https://vay.test/gone")).await;
    assert_eq!((result(&answer, "link"), &answer["answer"]["status"]), ("deleted".to_owned(), &404.into()));
}

#[tokio::test]
async fn visits_are_classified_as_workers_do_it() {
    let app = TestApp::new().await;
    let owner = app.session(&app.person("owner").await).await;
    owner.make_link(json!({ "target_url": "https://example.com/", "short_code": "launch" })).await;
    let browser = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
    for (method, agent, extra, class) in [
        ("GET", browser, None, "counted"),
        ("HEAD", browser, None, "head"),
        ("GET", browser, Some(("Purpose", "prefetch")), "prefetch"),
        ("GET", "Googlebot/2.1", None, "bot"),
    ] {
        let extra = extra.map(|(name, value)| json!({ "name": name, "value": value }));
        let headers: Vec<Value> =
            extra.into_iter().chain([json!({ "name": "user-agent", "value": agent })]).collect();
        let body = json!({ "url": "https://vay.test/launch", "method": method, "headers": headers });
        let answer = explain(&owner, body).await;
        assert_eq!(answer["count"]["class"], class, "{answer:#}");
        assert_eq!(answer["count"]["bot"] != "", class == "bot", "{answer:#}");
        assert_eq!(answer["answer"]["status"], 302);
    }
    let body = |name: &str| {
        let headers =
            [json!({ "name": name, "value": "1" }), json!({ "name": "user-agent", "value": browser })];
        json!({ "url": "https://vay.test/launch", "country": "CH", "headers": headers })
    };
    let private = explain(&owner, body("Sec-GPC")).await;
    assert_eq!((&private["count"]["is_private"], &private["count"]["country"]), (&true.into(), &"".into()));
    let other = explain(&owner, body("DNT")).await;
    assert_eq!((&other["count"]["is_private"], &other["count"]["country"]), (&false.into(), &"CH".into()));
}

#[tokio::test]
async fn links_of_others_are_for_operators() {
    let app = TestApp::new().await;
    let owner = app.session(&app.person("owner").await).await;
    owner.make_link(json!({ "target_url": "https://example.com/", "short_code": "mine" })).await;
    let body = json!({ "url": "https://vay.test/mine" });
    let stranger = app.session(&app.person("stranger").await).await;
    stranger.post("/v1/explain", body.clone()).await.problem("forbidden");
    let operator = app.operator("operator").await;
    assert_eq!(explain(&app.session(&operator).await, body.clone()).await["link"]["state"], "active");
    // A key of an operator needs the scope.
    app.key(&operator, &["links:read"]).await.post("/v1/explain", body.clone()).await.problem("forbidden");
    explain(&app.key(&operator, &["ops"]).await, body).await;
}

#[tokio::test]
async fn mistakes_are_named() {
    let app = TestApp::new().await;
    let owner = app.session(&app.person("owner").await).await;
    let body =
        json!({ "url": "vay.test/launch", "headers": [{ "name": "a b", "value": "x" }], "at": "soon" });
    let answer = owner.post("/v1/explain", body).await;
    answer.problem_at("invalid_fields", &["/url", "/headers/0/name", "/at"]);
}
