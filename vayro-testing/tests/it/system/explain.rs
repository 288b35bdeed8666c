//! What is explained is what happens: the same requests are explained and then made.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vayro_testing::system::System;
use vayro_testing::{postgres, redis, wait};

use super::SHOWN_LIMIT;

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
/// Headers that differ from answer to answer, or belong to the connection.
const OTHERS: [&str; 3] = ["date", "connection", "keep-alive"];

struct Case {
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
}

const fn get(path: &'static str) -> Case {
    Case { method: "GET", path, headers: &[] }
}

const fn with(
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
) -> Case {
    Case { method, path, headers }
}

/// Beside `user-agent`, which is a browser's unless it stands here.
const CASES: &[Case] = &[
    get("/plain"),
    get("/plain/"),
    get("/pl%61in?utm_source=news&x=%20"),
    get("/s301"),
    get("/s303"),
    get("/s307"),
    get("/s308"),
    get("/later"),
    get("/off"),
    get("/over"),
    get("/deleted"),
    get("/unknown"),
    get("/a/b"),
    get("/%00"),
    get("/"),
    get("/robots.txt"),
    get("/favicon.ico"),
    with("HEAD", "/plain", &[]),
    with("HEAD", "/unknown", &[]),
    with("POST", "/plain", &[]),
    with("DELETE", "/unknown", &[("accept", "application/json")]),
    with("GET", "/unknown", &[("accept", "application/json")]),
    with("GET", "/over", &[("accept", "application/json, */*")]),
    with("GET", "/plain", &[("user-agent", ROBOT)]),
    with("GET", "/plain", &[("sec-purpose", "prefetch")]),
    with("GET", "/plain", &[("x-forwarded-for", "198.51.100.7")]),
    with("GET", "/plain", &[("sec-gpc", "1")]),
    with("GET", "/plain", &[("host", "else.example")]),
    with("GET", "/unknown", &[("host", "else.example")]),
];

const SETTINGS: [(&str, &str); 3] = [
    ("VAYRO_WORKER__EXCLUDED_ADDRESSES", "198.51.100.0/24"),
    ("VAYRO_EDGE__TRUSTED_PROXIES", "127.0.0.1/32"),
    ("VAYRO_EDGE__ROOT_REDIRECT", "https://example.com/home"),
];

#[tokio::test]
async fn the_edge_does_what_is_explained_on_the_embedded_set() {
    let system = System::up_with(&[], &SETTINGS).await;
    explained_is_done(&system, "none").await;
}

#[tokio::test]
async fn the_edge_does_what_is_explained_on_the_clustered_set() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let mut settings = SETTINGS.to_vec();
    settings.push(("VAYRO_EDGE__UNKNOWN_HOST", "reject"));
    let system = System::clustered_with(&database.url, &cache.url, &settings).await;
    explained_is_done(&system, "hit").await;
}

async fn explained_is_done(system: &System, shared_cache: &str) {
    make_links(system).await;
    let mut classes: BTreeMap<String, i64> = BTreeMap::new();
    // The second time the links are in the edge's memory.
    for round in 0..2 {
        for case in CASES {
            let named = |name: &str| case.headers.iter().any(|(known, _)| *known == name);
            let agent = (!named("user-agent")).then_some(("user-agent", BROWSER));
            let headers: Vec<(&str, &str)> = case.headers.iter().copied().chain(agent).collect();
            let what = format!("round {round}: {} {} {:?}", case.method, case.path, case.headers);

            let explained = explain(system, case, &headers).await;
            let (status, sent) = system.ask_edge(case.method, case.path, &headers).await;
            let expected: BTreeMap<String, String> = explained["answer"]["headers"]
                .as_array()
                .unwrap_or_else(|| panic!("{what}: {explained:#}"))
                .iter()
                .map(|header| (text(&header["name"]), text(&header["value"])))
                .collect();
            let sent: BTreeMap<String, String> =
                sent.into_iter().filter(|(name, _)| !OTHERS.contains(&name.as_str())).collect();
            assert_eq!(
                (status, &sent),
                (explained["answer"]["status"].as_u64().map_or(0, as_status), &expected),
                "{what}"
            );
            if let Some(class) = explained["count"]["class"].as_str() {
                *classes.entry(class.to_owned()).or_default() += 1;
            }
            if case.path == "/plain" && status == 302 {
                assert_eq!(result(&explained, "shared_cache"), shared_cache, "{what}");
            }
        }
    }
    for class in ["counted", "head", "prefetch", "bot", "excluded"] {
        assert!(classes.contains_key(class), "no case is {class}: {classes:?}");
    }
    // Every visit became what it was explained to become, and no explanation became anything.
    for (class, expected) in classes {
        let mut last = -1;
        wait::until(&format!("{expected} clicks that are {class}"), SHOWN_LIMIT, async || {
            let (_, body) =
                system.api("GET", &format!("/v1/analytics?interval=all&classes={class}"), None).await;
            last = body["totals"]["clicks"].as_i64().unwrap_or(-1);
            (last == expected).then_some(())
        })
        .await;
    }
}

async fn make_links(system: &System) {
    for (code, body) in [
        ("plain", json!({})),
        ("s301", json!({ "redirect_status": 301 })),
        ("s303", json!({ "redirect_status": 303 })),
        ("s307", json!({ "redirect_status": 307 })),
        ("s308", json!({ "redirect_status": 308 })),
        ("later", json!({ "expires_at": "2190-01-01T00:00:00Z", "redirect_status": 301 })),
        ("off", json!({ "is_active": false })),
        ("over", json!({ "expires_at": "2020-01-01T00:00:00Z" })),
        ("deleted", json!({})),
    ] {
        let mut body = body;
        body["short_code"] = code.into();
        body["target_url"] = format!("https://example.com/{code}?a=b").into();
        let (status, link) = system.api("POST", "/v1/links", Some(body)).await;
        assert_eq!(status, 201, "{link}");
        if code == "deleted" {
            let path = format!("/v1/links/{}", link["id"].as_str().expect("an id"));
            assert_eq!(system.api("DELETE", &path, None).await.0, 204);
        }
    }
}

async fn explain(system: &System, case: &Case, headers: &[(&str, &str)]) -> Value {
    let headers: Vec<Value> =
        headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let body = json!({
        "url": format!("{}{}", system.edge_url, case.path), "method": case.method, "headers": headers,
        "address": "127.0.0.1",
    });
    let (status, explained) = system.api("POST", "/v1/explain", Some(body)).await;
    assert_eq!(status, 200, "{explained:#}");
    explained
}

fn result(explained: &Value, step: &str) -> String {
    let steps = explained["steps"].as_array().expect("steps");
    steps.iter().find(|known| known["step"] == step).map(|known| text(&known["result"])).expect("the step")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn as_status(status: u64) -> u16 {
    u16::try_from(status).expect("a status")
}
