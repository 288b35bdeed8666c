//! The published surface: OpenAPI document and problem codes, held by snapshots.
//!
//! `VAYRO_UPDATE_SNAPSHOTS=1 cargo test` writes them anew; the difference is read in review.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vayro_api::problem::Code;

use crate::app::TestApp;

fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

#[track_caller]
fn check(file: &Path, expected: &str) {
    if std::env::var_os("VAYRO_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(file, expected).expect("writes the snapshot");
    }
    let found = std::fs::read_to_string(file).unwrap_or_default();
    let line = found.lines().zip(expected.lines()).position(|(one, other)| one != other);
    assert!(
        found == expected,
        "{} is out of date from line {:?}; set VAYRO_UPDATE_SNAPSHOTS=1 and read the difference",
        file.display(),
        line.map(|line| line + 1),
    );
}

#[test]
fn the_openapi_document_is_the_committed_one() {
    let text = vayro_api::openapi_document().to_pretty_json().expect("serializes");
    check(&path("openapi.json"), &format!("{text}\n"));
}

#[tokio::test]
async fn the_served_document_is_the_same() {
    let app = TestApp::new().await;
    let answer = app.anonymous().get("/v1/openapi.json").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let served = answer.ok(200);
    assert!(served["openapi"].as_str().expect("a version").starts_with("3.1"));
    assert_eq!(served, serde_json::to_value(vayro_api::openapi_document()).expect("serializes"));
}

#[test]
fn operations_are_named_documented_and_told_apart() {
    let document = serde_json::to_value(vayro_api::openapi_document()).expect("serializes");
    let mut ids = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            assert!(operation["summary"].is_string(), "{method} {path} has a summary");
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{method} {path}");
            assert!(!ids.contains(&id), "{id} is used twice");
            ids.push(id);
        }
    }
}

#[test]
fn keys_are_documented_where_they_are_taken() {
    let document = serde_json::to_value(vayro_api::openapi_document()).expect("serializes");
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            if parameters.iter().any(|parameter| parameter["name"] == "idempotency-key") {
                found.push(format!("{method} {path}"));
            }
        }
    }
    found.sort();
    assert_eq!(found, ["post /v1/domains", "post /v1/links", "post /v1/links/bulk", "post /v1/workspaces"]);
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = serde_json::to_value(vayro_api::openapi_document()).expect("serializes");
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                    let pointer = target.strip_prefix('#').expect("within the document");
                    assert!(document.pointer(pointer).is_some(), "{target}");
                }
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

#[test]
fn the_documentation_lists_every_problem_code() {
    const START: &str = "<!-- problem codes: written by a test -->\n";
    const END: &str = "<!-- end of problem codes -->";
    let mut table = String::from("\n| code | status | meaning |\n|---|---|---|\n");
    for code in Code::ALL {
        let status = code.status().as_u16();
        writeln!(table, "| `{}` | {status} | {} |", code.as_str(), code.meaning()).expect("writes");
    }
    table.push('\n');
    let file = path("../docs/api-design.md");
    let text = std::fs::read_to_string(&file).expect("docs/api-design.md is there");
    let (before, rest) = text.split_once(START).expect("the start mark is there");
    let (_, after) = rest.split_once(END).expect("the end mark is there");
    check(&file, &format!("{before}{START}{table}{END}{after}"));
}
