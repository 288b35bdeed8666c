//! Exports.

use std::time::Duration;

use axum::body::Body;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use serde_json::Value;
use vayro_core::click::{ClickClass, ClickRow};

use crate::analytics::{World, row, world};
use crate::app::{Client, TestApp};
use crate::events::many;

/// Longest time anything here may take; reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// Reads an export to its end; kind, proposed name and content.
async fn export(client: &Client<'_>, query: &str) -> (String, String, Vec<u8>) {
    let response = client.open(Method::GET, &format!("/v1/export?{query}"), Body::empty()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
    let (kind, name) = (header("content-type"), header("content-disposition"));
    let bytes = tokio::time::timeout(LIMIT, response.into_body().collect()).await.expect("in time");
    (kind, name, bytes.expect("a whole file").to_bytes().to_vec())
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn every_format_has_the_same_clicks_oldest_first() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let World { client, .. } = world(&app, &ada).await;
    let mut listed =
        client.get("/v1/events?interval=all").await.ok(200)["items"].as_array().expect("items").clone();
    listed.reverse();

    let (kind, name, bytes) = export(&client, "format=jsonl&interval=all").await;
    assert_eq!(kind, "application/x-ndjson");
    assert_eq!(name, "attachment; filename=\"clicks-2026-02-01-2026-05-10.jsonl\"");
    assert_eq!(lines(&bytes), listed);

    let (kind, name, bytes) = export(&client, "interval=all").await;
    assert_eq!(kind, "text/csv; charset=utf-8; header=present");
    assert!(name.ends_with(".csv\""), "{name}");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let mut rows = text.split_terminator("\r\n");
    let head: Vec<&str> = rows.next().expect("a head").split(',').collect();
    assert_eq!(rows.clone().count(), listed.len());
    let (id, city) =
        (head.iter().position(|name| *name == "id"), head.iter().position(|name| *name == "city"));
    assert_eq!((id, city), (Some(0), Some(9)));
    assert!(text.contains(",\"Washington, D.C.\","), "{text}");
    assert!(!text.contains("visitor"), "{text}");

    let (kind, _, bytes) = export(&client, "format=parquet&interval=all").await;
    assert_eq!(kind, "application/vnd.apache.parquet");
    let reader = SerializedFileReader::new(axum::body::Bytes::from(bytes)).expect("it is a Parquet file");
    let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row.get_string(0).expect("an id").as_str()).collect();
    let expected: Vec<&str> = listed.iter().map(|event| event["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn an_export_chooses_clicks_as_lists_do() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let World { client, first, .. } = world(&app, &ada).await;
    for (query, count) in [
        (format!("link_id={first}"), 5),
        ("classes=counted&country=DE".to_owned(), 3),
        ("interval=all&country=XX".to_owned(), 0),
    ] {
        let (_, _, bytes) = export(&client, &format!("format=jsonl&{query}")).await;
        assert_eq!(lines(&bytes).len(), count, "{query}");
    }
    for (query, names) in [("format=xls", ["format"]), ("limit=5", ["limit"]), ("start=2026-05-11", ["end"])]
    {
        client.get(&format!("/v1/export?{query}")).await.problem_at("invalid_query", &names);
    }
}

#[tokio::test]
async fn no_cell_of_a_sheet_is_a_formula() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let World { client, first, .. } = world(&app, &ada).await;
    let plain = row(&ada, 60, first, "2026-05-10T11:30:00Z", "DE", "", 1, ClickClass::Counted);
    let risky = ClickRow { utm_source: "=HYPERLINK(\"https://evil.example\")".to_owned(), ..plain };
    app.backends.click_rows.write(&[risky]).await.expect("writes");
    let (_, _, bytes) = export(&client, "interval=1h").await;
    let text = String::from_utf8(bytes).expect("UTF-8");
    assert!(text.contains(",\"'=HYPERLINK(\"\"https://evil.example\"\")\","), "{text}");
}

/// Enough clicks that an export does not fit into what waits for its client.
async fn crowd(app: &TestApp, ada: &crate::app::Person) -> (usize, String) {
    let World { client, first, .. } = world(app, ada).await;
    let sample = row(ada, 0, first, "2026-05-10T00:00:00Z", "DE", "Firefox", 1, ClickClass::Counted);
    let rows = many(5_432, &sample);
    app.backends.click_rows.write(&rows).await.expect("writes");
    (rows.len(), client.head())
}

#[tokio::test]
async fn a_file_of_many_pages_has_each_click_once() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let (count, _) = crowd(&app, &ada).await;
    let client = app.key(&ada, &["analytics:read"]).await;
    let (_, _, bytes) = export(&client, "format=jsonl&start=2026-05-10").await;
    let ids: Vec<String> =
        lines(&bytes).iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect();
    // Three more of that day were there before.
    assert_eq!(ids.len(), count + 4);
    assert!(ids.is_sorted_by(|one, next| one < next), "each once, in order");
}

#[tokio::test]
async fn exports_at_one_time_are_bounded() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    crowd(&app, &ada).await;
    let client = app.key(&ada, &["analytics:read"]).await;
    let begin = || client.open(Method::GET, "/v1/export?format=jsonl", Body::empty());
    let (first, second) = (begin().await, begin().await);
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
    let refused = client.get("/v1/export").await;
    assert_eq!(refused.headers["retry-after"], "10");
    refused.problem("rate_limited");
    drop(first);
    let deadline = tokio::time::Instant::now() + LIMIT;
    while begin().await.status() != StatusCode::OK {
        assert!(tokio::time::Instant::now() < deadline, "the place is never free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
