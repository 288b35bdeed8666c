//! `vayro events`, `vayro export`, `vayro stats --live` and `--compare`, `vayro share`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::run::Home;
use super::server::{BROWSER, Server, ask};

const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

#[test]
fn clicks_are_listed_exported_compared_and_shared() {
    let server = Server::start();
    server.ok(&["link", "create", "https://example.com/", "--code", "launch"]);
    server.ok(&["link", "create", "https://example.org/", "--code", "other"]);
    server.visit("/launch?utm_source=%3Dletter", BROWSER);
    server.visit("/launch", ROBOT);
    // Clicks of one millisecond have no order.
    std::thread::sleep(Duration::from_millis(2));
    server.visit("/other", BROWSER);
    server.wait_for(&["stats", "--all", "--json"], "/totals/clicks", 2);
    server.wait_for(&["stats", "launch", "--json"], "/left_out/clicks", 1);

    let all = server.ok(&["events"]);
    assert_eq!(all.lines().count(), 3, "{all}");
    let columns: Vec<&str> = all.lines().next().expect("a click").split('\t').collect();
    assert_eq!(columns.len(), 22, "{all}");
    assert_eq!(columns[1], format!("{}/other", server.edge), "newest first: {all}");
    let robots = server.ok(&["events", "launch", "--class", "bot"]);
    assert_eq!(robots.lines().count(), 1, "{robots}");
    let json: serde_json::Value =
        serde_json::from_str(&server.ok(&["events", "--json", "--limit", "2"])).expect("it is JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(2));
    assert_eq!(json[0].get("visitor_id"), None);
    let run = server.vayro(&["events", "--limit", "1"]);
    assert!(run.stderr.contains("Showing the newest 1 click;"), "{run}");

    let csv = server.ok(&["export", "launch"]);
    assert!(csv.starts_with("id,timestamp,link_id,short_url,class,bot,"), "{csv}");
    assert!(csv.contains(",'=letter,"), "no formula: {csv}");
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, begins) in [("clicks.jsonl", "{\"id\":"), ("clicks.parquet", "PAR1"), ("clicks.csv", "id,")] {
        let path = dir.path().join(name);
        let run = server.vayro(&["export", "--output", path.to_str().expect("UTF-8")]);
        assert_eq!((run.status, run.stdout.as_str()), (0, ""), "{run}");
        assert!(run.stderr.starts_with("Wrote "), "{run}");
        let bytes = std::fs::read(&path).expect("the file is there");
        assert!(bytes.starts_with(begins.as_bytes()), "{name}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 3, "nothing else is left");

    let days = server.ok(&["stats", "launch", "--by", "day", "--interval", "7d", "--compare", "previous"]);
    assert!(days.lines().last().expect("a day").contains("\t1\t1\t"), "{days}");
    let plain = server.ok(&["stats", "launch", "--compare", "year"]);
    assert!(plain.starts_with("total\t\t1\t1\nyear\t\t0\t0\n"), "{plain}");

    let url = server.ok(&["share", "create", "launch", "--name", "board"]);
    let answer = ask(url.trim());
    assert_eq!(answer.0, 200, "{answer:?}");
    assert!(answer.1.contains("\"totals\":{\"clicks\":1,"), "{answer:?}");
    let list = server.ok(&["share", "list"]);
    let prefix = list.split('\t').next().expect("a prefix").to_owned();
    assert!(list.contains("\tboard\tactive\t"), "{list}");
    let run = server.vayro(&["share", "revoke", &prefix]);
    assert_eq!(run.status, 2, "it wants to be confirmed: {run}");
    server.ok(&["share", "revoke", &prefix, "--yes"]);
    assert_eq!(ask(url.trim()).0, 404);
    assert_eq!(server.ok(&["share", "list"]), "");
    assert_eq!(server.ok(&["share", "list", "--all"]).lines().count(), 1);
    assert_eq!(server.vayro(&["share", "revoke", "nothing", "--yes"]).status, 3);
}

#[test]
fn live_clicks_are_followed_over_a_restart_until_interrupted() {
    let mut server = Server::start();
    server.ok(&["link", "create", "https://example.com/", "--code", "launch"]);
    let mut command = server.home().command();
    command.args(["stats", "--live", "launch", "--json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("`vayro` starts");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    // It has to be listening before the visit; until it shows one, another is made.
    let (sender, first) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut line = String::new();
        lines.read_line(&mut line).expect("it is UTF-8");
        sender.send(line).expect("the test waits");
        lines
    });
    let line = loop {
        server.visit("/launch", BROWSER);
        if let Ok(line) = first.recv_timeout(std::time::Duration::from_secs(2)) {
            break line;
        }
    };
    let click: serde_json::Value = serde_json::from_str(&line).expect("a line is JSON");
    assert_eq!(click["short_url"], format!("{}/launch", server.edge));
    let mut lines = reading.join().expect("a line was read");
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("`kill` runs");
    assert!(told.success());
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(0), "Ctrl-C is how it ends");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("it is UTF-8");
    for line in rest.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("every line is JSON");
    }
    server.stop();
}

#[test]
fn wrong_questions_are_refused_before_anything_is_asked() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let home = Home::new(dir.path());
    for arguments in [
        &["events", "--class", "human"][..],
        &["events", "--interval", "2d"],
        &["events", "--where", "country"],
        &["export", "--format", "xls"],
        &["export", "--end", "2026-05-01"],
        &["stats", "a", "--compare", "decade"],
        &["stats", "a", "--compare", "year", "--by", "country"],
        &["stats", "--live", "--by", "day"],
        &["share", "create"],
        &["share", "create", "a", "--all"],
    ] {
        let run = home.vayro(arguments);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{run}");
    }
}
