//! `vayro explain`.

use regex::Regex;

use super::server::{BROWSER, Server};

/// Runs `vayro explain` and replaces what differs from run to run.
fn explained(server: &Server, arguments: &[&str]) -> String {
    let mut all = vec!["explain"];
    all.extend_from_slice(arguments);
    let text = server.redact(&server.vayro(&all));
    Regex::new(r"(?m)\t\d+$").expect("a pattern").replace_all(&text, "\tMICROS").into_owned()
}

#[test]
fn a_visit_is_explained_step_by_step_and_leaves_no_trace() {
    let server = Server::start();
    server.ok(&["link", "create", "https://example.com/page", "--code", "launch", "--status", "301"]);
    let url = format!("{}/launch?utm_source=news", server.edge);
    let explain = |more: &[&str]| {
        let mut all = vec![url.as_str(), "--ua", BROWSER];
        all.extend_from_slice(more);
        explained(&server, &all)
    };
    insta::assert_snapshot!("explain_link", explain(&[]));
    insta::assert_snapshot!("explain_robot", explained(&server, &[&url, "--ua", "Googlebot/2.1"]));
    insta::assert_snapshot!(
        "explain_private",
        explain(&["--header", "Sec-GPC: 1", "--address", "192.0.2.7"])
    );
    // Nothing of this is in the edge's memory, and nobody was counted.
    assert!(explain(&[]).contains("edge_memory\tmiss\t"));
    server.visit("/launch", BROWSER);
    assert!(explain(&[]).contains("edge_memory\tfresh\t"));
    server.wait_for(&["stats", "launch", "--json"], "/totals/clicks", 1);
}

#[test]
fn what_is_no_link_and_what_is_no_visit_get_clear_answers() {
    let server = Server::start();
    let url = |path: &str| format!("{}{path}", server.edge);
    insta::assert_snapshot!("explain_unknown_code", explained(&server, &[&url("/nothing")]));
    insta::assert_snapshot!("explain_unknown_host", explained(&server, &["go.example.com/nothing"]));
    insta::assert_snapshot!("explain_malformed_url", explained(&server, &["ftp://go.example.com/x"]));
    insta::assert_snapshot!("explain_malformed_header", explained(&server, &[&url("/x"), "--header", "DNT"]));
    insta::assert_snapshot!(
        "explain_mistakes",
        explained(
            &server,
            &[&url("/x"), "--header", "a b: c", "--country", "Switzerland", "--method", "G T"]
        )
    );
}

#[test]
fn json_has_stable_fields() {
    let server = Server::start();
    server.ok(&["link", "create", "https://example.com/", "--code", "launch"]);
    let url = format!("{}/launch", server.edge);
    let explain = |arguments: &[&str]| -> serde_json::Value {
        let mut all = vec!["explain", url.as_str(), "--json"];
        all.extend_from_slice(arguments);
        serde_json::from_str(&server.ok(&all)).expect("it is JSON")
    };
    let json = explain(&["--country", "ch", "--at", "2026-05-01T12:00:00Z"]);
    let mut names = Vec::new();
    for (name, value) in json.as_object().expect("an object") {
        names.push(name.clone());
        let inner = value.get(0).unwrap_or(value).as_object();
        names.extend(inner.into_iter().flatten().map(|(inner, _)| format!("{name}.{inner}")));
    }
    insta::assert_snapshot!("explain_json_fields", names.join("\n"));
    assert_eq!((&json["count"]["country"], &json["at"]), (&"CH".into(), &"2026-05-01T12:00:00Z".into()));
    assert_eq!(json["answer"]["status"], 302);
}
