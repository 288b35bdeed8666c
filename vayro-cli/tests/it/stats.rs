//! `vayro stats`.

use super::server::{BROWSER, Server};

const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1";

#[test]
fn clicks_are_shown_by_everything_that_is_known_of_them() {
    let server = Server::start();
    server.ok(&["link", "create", "https://example.com/", "--code", "launch"]);
    server.ok(&["link", "create", "https://example.org/", "--code", "other"]);
    for _ in 0..3 {
        server.visit("/launch", BROWSER);
    }
    server.visit("/launch?utm_source=letter", PHONE);
    server.visit("/other", BROWSER);
    server.visit("/launch", ROBOT);
    server.wait_for(&["stats", "--all", "--json"], "/totals/clicks", 5);
    let json = server.wait_for(&["stats", "launch", "--json"], "/left_out/clicks", 1);
    assert_eq!(json.pointer("/totals/clicks"), Some(&4.into()), "{json:#}");
    assert_eq!(json["series"].as_array().map(Vec::len), Some(30), "a point per day");

    let snapshot = |name: &str, arguments: &[&str]| {
        let run = server.vayro(arguments);
        insta::assert_snapshot!(name, server.redact(&run));
    };
    snapshot("stats_link", &["stats", "launch"]);
    snapshot("stats_link_bots", &["stats", "launch", "--bots", "--by", "browser"]);
    snapshot("stats_by_device", &["stats", "launch", "--by", "device"]);
    snapshot("stats_by_link", &["stats", "--all", "--by", "link"]);
    snapshot("stats_by_utm", &["stats", "launch", "--by", "utm_source", "--where", "device=mobile"]);
    snapshot("stats_missing", &["stats", "nope"]);

    let days =
        server.ok(&["stats", "launch", "--by", "day", "--interval", "7d", "--timezone", "Asia/Kathmandu"]);
    assert_eq!(days.lines().count(), 7, "{days}");
    let last = days.lines().last().expect("a day");
    assert!(last.contains("T00:00:00+05:45\t4\t"), "{days}");
    let hours = server.ok(&["stats", "--all", "--by", "hour", "--interval", "24h"]);
    assert_eq!(hours.lines().count(), 25, "{hours}");
}

#[test]
fn wrong_questions_are_refused_before_anything_is_asked() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let home = super::run::Home::new(dir.path());
    for arguments in [
        &["stats"][..],
        &["stats", "a", "--all"],
        &["stats", "a", "--by", "shoe_size"],
        &["stats", "a", "--interval", "2d"],
        &["stats", "a", "--timezone", "Mars/Olympus"],
        &["stats", "a", "--where", "country"],
        &["stats", "a", "--limit", "0"],
        &["stats", "a", "--end", "2026-05-01"],
    ] {
        let run = home.vayro(arguments);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{run}");
    }
}
