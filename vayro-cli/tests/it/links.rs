//! `vayro link create|list|get|update|delete|restore`.

use super::server::Server;

/// A robot, so that its visits do not change the counters in snapshots.
const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

#[test]
fn a_link_lives_through_all_its_commands() {
    let server = Server::start();
    let snapshot = |name: &str, arguments: &[&str]| {
        let run = server.vayro(arguments);
        insta::assert_snapshot!(name, server.redact(&run));
    };
    snapshot("link_list_empty", &["link", "list"]);
    snapshot("link_create", &["link", "create", "example.com/page", "--code", "launch", "--title", "Launch"]);
    snapshot("link_create_taken", &["link", "create", "https://example.com/", "--code", "launch"]);
    snapshot("link_create_reserved", &["link", "create", "https://example.com/", "--code", "login"]);
    snapshot("link_create_bad_target", &["link", "create", "javascript:alert(1)"]);
    snapshot("link_create_loop", &["link", "create", &format!("{}/launch", server.edge)]);
    snapshot("link_get", &["link", "get", "launch"]);
    snapshot("link_get_missing", &["link", "get", "nope"]);
    snapshot("link_list", &["link", "list", "--search", "LAUNCH"]);
    snapshot("link_update_nothing", &["link", "update", "launch"]);
    snapshot(
        "link_update",
        &["link", "update", "launch", "--target", "https://example.org/", "--status", "307"],
    );
    snapshot("link_update_stale", &["link", "update", "launch", "--title", "x", "--if-version", "1"]);
    assert!(server.visit("/launch", ROBOT).starts_with("HTTP/1.1 307 "));
    snapshot("link_delete", &["link", "delete", "launch"]);
    assert!(server.visit("/launch", ROBOT).starts_with("HTTP/1.1 404 "), "it acts at once");
    snapshot("link_delete_again", &["link", "delete", "launch"]);
    snapshot("link_list_deleted", &["link", "list", "--state", "deleted"]);
    snapshot("link_restore", &["link", "restore", "launch"]);
    snapshot("link_restore_again", &["link", "restore", "launch"]);
    assert!(server.visit("/launch", ROBOT).starts_with("HTTP/1.1 307 "));
}

#[test]
fn a_link_can_be_named_by_code_address_and_id() {
    let server = Server::start();
    let json = server.ok(&["link", "create", "https://example.com/", "--json"]);
    let link: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let text = |name: &str| link[name].as_str().expect("a text").to_owned();
    for name in [text("short_code"), text("short_url"), text("id")] {
        let found = server.ok(&["link", "get", &name, "--json"]);
        let found: serde_json::Value = serde_json::from_str(&found).expect("it is JSON");
        assert_eq!(found["id"], link["id"], "{name}");
    }
    let run = server.vayro(&["link", "get", &format!("other.example/{}", text("short_code"))]);
    assert_eq!(run.status, 3, "{run}");
}

#[test]
fn json_has_stable_fields() {
    let server = Server::start();
    let json = server.ok(&["link", "create", "https://example.com/", "--json"]);
    let link: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json).expect("an object");
    let names: Vec<&str> = link.keys().map(String::as_str).collect();
    insta::assert_snapshot!("link_json_fields", names.join("\n"));
    let list: Vec<serde_json::Value> =
        serde_json::from_str(&server.ok(&["link", "list", "--json"])).expect("a list");
    assert_eq!(list[0], serde_json::Value::Object(link));
}

#[test]
fn lists_are_filtered_ordered_and_cut() {
    let server = Server::start();
    for (code, target) in
        [("b", "https://one.example/"), ("a", "https://two.example/"), ("c", "https://two.example/x")]
    {
        server.ok(&["link", "create", target, "--code", code, "--quiet"]);
    }
    server.ok(&["link", "update", "c", "--disable", "--quiet"]);
    let codes = |arguments: &[&str]| -> Vec<String> {
        let mut all = vec!["link", "list", "--json"];
        all.extend_from_slice(arguments);
        let links: Vec<serde_json::Value> = serde_json::from_str(&server.ok(&all)).expect("a list");
        links.iter().map(|link| link["short_code"].as_str().expect("a code").to_owned()).collect()
    };
    assert_eq!(codes(&["--sort", "code"]), ["a", "b", "c"]);
    assert_eq!(codes(&["--sort", "code", "--reverse"]), ["c", "b", "a"]);
    assert_eq!(codes(&["--search", "two.example", "--state", "active"]), ["a"]);
    assert_eq!(codes(&["--sort", "code", "--limit", "2"]), ["a", "b"]);
    let cut = server.vayro(&["link", "list", "--limit", "1"]);
    assert_eq!(cut.stdout.lines().count(), 1, "{cut}");
    assert!(cut.stderr.contains("`--all` shows more"), "{cut}");
    let quiet = server.vayro(&["link", "list", "--limit", "1", "--quiet"]);
    assert_eq!(quiet.stderr, "", "{quiet}");
}
