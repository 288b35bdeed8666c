//! `vayro reclassify` and `vayro reenrich`, beside a running server.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::geoip::write_database;
use super::run::{Home, Run};
use super::server::{BROWSER, Server};

/// A day before every click of these tests.
const SINCE: &str = "2020-01-01";
/// A person as far as the rules that are built in know.
const NEWCOMER: &str = "Newcomer/1.0 (a program nobody knows yet)";

fn rules(server: &Server, json: &str) {
    std::fs::write(server.data_dir().join("../robots.json"), json).expect("written");
}

/// A home in which the worker's rules are those of the file.
fn with_rules(server: &Server) -> Home<'_> {
    server.home().with("VAYRO_WORKER__BOT_RULES", "robots.json")
}

fn summary(run: &Run) -> Value {
    assert_eq!(run.status, 0, "{run}");
    serde_json::from_str(&run.stdout).expect("it is JSON")
}

fn clicks(server: &Server) -> (i64, i64) {
    let json: Value = serde_json::from_str(&server.ok(&["stats", "launch", "--json"])).expect("it is JSON");
    let count = |pointer: &str| json.pointer(pointer).and_then(Value::as_i64).expect("a number");
    (count("/totals/clicks"), count("/left_out/clicks"))
}

fn listed(server: &Server) -> Value {
    serde_json::from_str::<Value>(&server.ok(&["link", "get", "launch", "--json"])).expect("it is JSON")
        ["clicks"]
        .clone()
}

#[test]
fn a_newer_list_of_robots_is_applied_to_what_is_stored_and_taken_back() {
    let server = Server::start();
    server.ok(&["link", "create", "https://example.com/", "--code", "launch"]);
    for user_agent in [BROWSER, BROWSER, NEWCOMER, NEWCOMER, NEWCOMER] {
        server.visit("/launch", user_agent);
    }
    server.wait_for(&["stats", "launch", "--json"], "/totals/clicks", 5);
    rules(&server, r#"[{"pattern":"Newcomer\\/"}]"#);
    let newer = with_rules(&server);

    let asked = summary(&newer.vayro(&["reclassify", "--since", SINCE, "--dry-run", "--json"]));
    assert_eq!((&asked["changed"], &asked["is_dry_run"]), (&3.into(), &true.into()), "{asked:#}");
    assert_eq!(clicks(&server), (5, 0), "nothing was changed");

    let run = newer.vayro(&["reclassify", "--since", SINCE]);
    insta::assert_snapshot!("reclassify", run);
    assert_eq!(clicks(&server), (2, 3));
    assert_eq!(listed(&server), 2);
    assert_eq!(server.vayro(&["rollup", "verify"]).status, 0);
    let again = summary(&newer.vayro(&["reclassify", "--since", SINCE, "--json"]));
    assert_eq!((&again["looked_at"], &again["changed"]), (&5.into(), &0.into()), "{again:#}");

    // The rules that are built in know nothing of it.
    let back = summary(&server.vayro(&["reclassify", "--since", SINCE, "--rate", "0", "--json"]));
    assert_eq!((&back["changed"], &back["former_robots"]), (&3.into(), &3.into()), "{back:#}");
    assert_eq!(clicks(&server), (5, 0));
    assert_eq!(listed(&server), 5);
    assert_eq!(server.vayro(&["rollup", "verify"]).status, 0);
}

#[test]
fn days_outside_stay_as_they_are() {
    let server = Server::start();
    server.ok(&["link", "create", "https://example.com/", "--code", "launch"]);
    server.visit("/launch", NEWCOMER);
    server.wait_for(&["stats", "launch", "--json"], "/totals/clicks", 1);
    rules(&server, r#"[{"pattern":"Newcomer"}]"#);
    let newer = with_rules(&server);
    let nobody = "01890000-0000-7000-9000-000000000001";
    for outside in [
        &["--since", SINCE, "--until", "2020-12-31"][..],
        &["--since", "2100-01-01"],
        &["--since", SINCE, "--workspace", nobody],
    ] {
        let arguments = [&["reclassify", "--json"], outside].concat();
        assert_eq!(summary(&newer.vayro(&arguments))["looked_at"], 0);
    }
    assert_eq!(clicks(&server), (1, 0));
}

#[test]
fn a_killed_run_goes_on_where_it_ended() {
    let server = Server::start();
    server.ok(&["demo", "--links", "1", "--visits", "900", "--seed", "2"]);
    let total = || {
        let json = server.ok(&["stats", "--all", "--interval", "90d", "--json"]);
        serde_json::from_str::<Value>(&json).expect("it is JSON")["totals"]["clicks"]
            .as_i64()
            .expect("a number")
    };
    let before = total();
    rules(&server, r#"[{"pattern":"Mozilla"}]"#);
    let newer = with_rules(&server);
    let mut child = newer
        .command()
        .args(["reclassify", "--since", SINCE, "--rate", "100"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`vayro` starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    while total() == before {
        assert!(Instant::now() < deadline, "nothing changes");
        assert_eq!(child.try_wait().expect("it can be asked"), None, "it takes nine seconds");
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");

    let rest = newer.vayro(&["reclassify", "--since", SINCE, "--rate", "0", "--json"]);
    assert!(rest.stderr.starts_with("Going on where an earlier run ended"), "{rest}");
    let rest = summary(&rest);
    assert_eq!(rest["is_continued"], true);
    assert!((1..900).contains(&rest["looked_at"].as_i64().expect("a number")), "{rest:#}");
    assert_eq!(server.vayro(&["rollup", "verify"]).status, 0);
    let all = summary(&newer.vayro(&["reclassify", "--since", SINCE, "--rate", "0", "--json"]));
    assert_eq!((&all["changed"], &all["looked_at"]), (&0.into(), &900.into()), "{all:#}");
    assert_eq!(all["is_continued"], false);
    assert!(total() < before / 10);
}

#[test]
fn a_newer_database_of_places_is_applied_to_what_is_stored() {
    let server = Server::start();
    server.ok(&["link", "create", "https://example.com/", "--code", "launch"]);
    for address in ["203.0.113.7", "203.0.113.8", "198.51.100.1"] {
        server.visit("/launch", &format!("{BROWSER}\r\nx-forwarded-for: {address}"));
    }
    server.wait_for(&["stats", "launch", "--json"], "/totals/clicks", 3);
    let missing = server.vayro(&["reenrich", "--since", SINCE]);
    assert_eq!(missing.status, 1, "{missing}");
    assert!(missing.stderr.contains("hint: get one"), "{missing}");

    write_database(&server.data_dir().join("../city.mmdb"));
    server.ok(&["geoip", "set", "city.mmdb"]);
    let run = server.vayro(&["reenrich", "--since", SINCE]);
    insta::assert_snapshot!("reenrich", run);
    assert_eq!(server.ok(&["stats", "launch", "--by", "country"]), "DE\t2\nunknown\t1\n");
    assert_eq!(server.ok(&["stats", "launch", "--by", "city"]), "Berlin\t2\nunknown\t1\n");
    assert_eq!(server.vayro(&["rollup", "verify"]).status, 0);
    let again = summary(&server.vayro(&["reenrich", "--since", SINCE, "--json"]));
    assert_eq!((&again["looked_at"], &again["changed"]), (&3.into(), &0.into()), "{again:#}");
}

#[test]
fn what_cannot_be_done_is_refused() {
    let server = Server::start();
    let run = server.vayro(&["reclassify", "--since", "2026-05-02", "--until", "2026-05-01"]);
    assert_eq!(run.status, 2, "{run}");
    assert_eq!(server.vayro(&["reclassify"]).status, 2);
    assert_eq!(server.vayro(&["reclassify", "--since", "yesterday"]).status, 2);
    assert_eq!(server.vayro(&["reclassify", "--since", SINCE, "--dry-run", "--restart"]).status, 2);
    let absent = with_rules(&server).vayro(&["reclassify", "--since", SINCE]);
    assert_eq!(absent.status, 1, "{absent}");
    assert!(absent.stderr.contains("hint: is `worker.bot_rules` the right file?"), "{absent}");
    std::fs::write(server.data_dir().join("geoip.mmdb"), "rubbish").expect("written");
    let broken = server.vayro(&["reenrich", "--since", SINCE]);
    assert_eq!(broken.status, 1, "{broken}");
}
