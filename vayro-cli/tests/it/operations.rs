//! `vayro stream lag` and `vayro dlq` on a healthy server.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::server::{BROWSER, Server, terminate, wait};

#[test]
fn lag_tells_what_waits_and_who_works() {
    let server = Server::start();
    server.ok(&["link", "create", "https://example.com/", "--code", "launch"]);
    server.visit("/launch", BROWSER);
    server.wait_for(&["stats", "launch", "--json"], "/totals/clicks", 1);
    let json: serde_json::Value =
        serde_json::from_str(&server.ok(&["stream", "lag", "--json", "--every", "200ms"]))
            .expect("it is JSON");
    assert_eq!(json["undelivered"]["count"], 0, "{json:#}");
    assert_eq!(json["trend"], "idle");
    assert_eq!(json["consumers"].as_array().map(Vec::len), Some(1));
    let names: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    insta::assert_snapshot!("lag_json_fields", names.join("\n"));
    let plain = server.ok(&["stream", "lag", "--every", "200ms"]);
    let names: Vec<&str> = plain.lines().filter_map(|line| line.split('\t').next()).collect();
    insta::assert_snapshot!("lag_plain_names", names.join("\n"));
}

#[test]
fn every_visit_is_accounted_for() {
    let server = Server::start();
    assert_eq!(server.ok(&["audit", "clicks"]), "", "nobody came yet");
    server.ok(&["link", "create", "https://example.com/", "--code", "launch"]);
    for _ in 0..3 {
        server.visit("/launch", BROWSER);
    }
    server.wait_for(&["audit", "clicks", "--json"], "/days/0/accepted", 3);
    let json: serde_json::Value =
        serde_json::from_str(&server.ok(&["audit", "clicks", "--json"])).expect("it is JSON");
    let day = &json["days"][0];
    assert_eq!((&json["verdict"], &day["stored"]), (&"balanced".into(), &3.into()), "{json:#}");
    let plain = server.ok(&["audit", "clicks", "--day", day["day"].as_str().expect("a day")]);
    let values: Vec<&str> = plain.trim_end().split('\t').skip(1).collect();
    assert_eq!(values, ["3", "0", "3", "0", "0", "0", "0", "0", "0", "balanced"]);
}

#[test]
fn a_watch_goes_on_until_it_is_told_to_stop() {
    let server = Server::start();
    let mut command = server.home().command();
    command
        .args(["stream", "lag", "--watch", "--every", "100ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("`vayro` starts");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
    for _ in 0..3 {
        let line = lines.next().expect("a line per reading").expect("it is UTF-8");
        assert_eq!(line.split('\t').count(), 9, "{line}");
    }
    terminate(&child);
    wait(&mut child);
}

#[test]
fn dead_letters_are_for_operators_and_there_are_none() {
    let server = Server::start();
    assert_eq!(server.ok(&["dlq", "list"]), "");
    assert_eq!(server.vayro(&["dlq", "show", "1-0"]).status, 3);
    assert_eq!(server.vayro(&["dlq", "replay", "--all"]).stderr, "Replayed 0 of 0 dead letters\n");
    let key = server.ok(&["key", "create", "no operator"]);
    let home = server.home().with("VAYRO_API_KEY", key.trim());
    for arguments in [&["dlq", "list"][..], &["stream", "lag"], &["audit", "clicks"], &["user", "list"]] {
        assert_eq!(home.vayro(arguments).status, 4, "{arguments:?}");
    }
}
