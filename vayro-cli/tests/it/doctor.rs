//! `vayro doctor`.

use std::net::TcpListener;

use super::run::Home;
use super::server::Server;

fn findings(run: &super::run::Run) -> Vec<(String, String, String)> {
    let list: Vec<serde_json::Value> = serde_json::from_str(&run.stdout).expect("it is JSON");
    let text = |finding: &serde_json::Value, name: &str| finding[name].as_str().expect("a text").to_owned();
    list.iter().map(|f| (text(f, "check"), text(f, "verdict"), text(f, "detail"))).collect()
}

#[test]
fn a_running_server_is_healthy() {
    let server = Server::start();
    let port = |url: &str| url.trim_start_matches("http://").to_owned();
    let home = server
        .home()
        .with("VAYRO_EDGE__LISTEN", port(&server.edge))
        .with("VAYRO_API__LISTEN", port(&server.api))
        .with("VAYRO_EDGE__ADMIN", port(&server.admin));
    let run = home.vayro(&["doctor", "--json"]);
    assert_eq!(run.status, 0, "{run}");
    let findings = findings(&run);
    let verdict = |check: &str| -> Vec<&str> {
        findings.iter().filter(|f| f.0 == check).map(|f| f.1.as_str()).collect()
    };
    for check in [
        "configuration",
        "data directory",
        "back ends",
        "schema",
        "edge port",
        "API port",
        "admin port",
        "clock",
    ] {
        assert_eq!(verdict(check), ["ok"], "{check}: {run}");
    }
    assert!(findings.iter().any(|f| f.0 == "edge port" && f.2.contains("running Vayro")), "{run}");
    assert_eq!(verdict("GeoIP file"), ["warning"], "{run}");
    assert!(findings.iter().any(|f| f.0 == "guessing" && f.2 == "there are no links yet"), "{run}");
    assert!(verdict("promise").len() >= 3, "{run}");
}

#[test]
fn what_is_away_is_named_and_one_does_not_hide_the_other() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.local_addr().expect("it listens")
    };
    let (postgres, redis) = (free(), free());
    let home = Home::new(dir.path())
        .with("VAYRO_EDGE__LISTEN", "127.0.0.1:0")
        .with("VAYRO_API__LISTEN", "127.0.0.1:0")
        .with("VAYRO_EDGE__ADMIN", "127.0.0.1:0");
    let (postgres_url, redis_url) =
        (format!("postgres://vayro:hunter2@{postgres}/x"), format!("redis://{redis}/"));
    let run = home.vayro(&["doctor", "--json", "--postgres", &postgres_url, "--redis", &redis_url]);
    assert_eq!(run.status, 1, "{run}");
    assert!(run.stderr.starts_with("error: 2 checks failed"), "{run}");
    let findings = findings(&run);
    for (check, address) in [("PostgreSQL", postgres), ("Redis", redis)] {
        let found = findings.iter().find(|f| f.0 == check).unwrap_or_else(|| panic!("no {check}: {run}"));
        assert_eq!(found.1, "failed");
        assert!(found.2.contains(&address.to_string()), "{}", found.2);
    }
    assert!(!run.to_string().replace(&postgres_url, "").contains("hunter2"), "{run}");
}
