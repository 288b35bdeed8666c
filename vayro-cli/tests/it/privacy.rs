//! What is kept of visitors, and how it goes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use super::server::{BROWSER, Server};

const VISITOR: &str = "203.0.113.77";
const NETWORK: &str = "203.0.113.0";

/// Visits as [`VISITOR`] does, behind a proxy.
fn visit(server: &Server, headers: &str) {
    let host = server.edge.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("the edge listens");
    let head = format!(
        "GET /launch HTTP/1.1\r\nhost: {host}\r\nuser-agent: {BROWSER}\r\nx-forwarded-for: {VISITOR}\r\n\
         {headers}connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the edge reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the edge answers");
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
}

/// Tells which files below a folder hold these bytes.
fn files_with(dir: &Path, bytes: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(content) = std::fs::read(&path)
                && content.windows(bytes.len()).any(|window| window == bytes.as_bytes())
            {
                let name = path.strip_prefix(dir).expect("below it");
                found.push(name.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A server behind a proxy, with a link, and further settings of the edge.
fn server(settings: &str) -> Server {
    let config = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = format!("[edge]\ntrusted_proxies = [\"127.0.0.0/8\"]\n{settings}\n");
    std::fs::write(config.path(), text).expect("written");
    let server = Server::start_with(&["--config", config.path().to_str().expect("UTF-8")]);
    server.ok(&["link", "create", "https://example.com/", "--code", "launch"]);
    server
}

fn clicks(server: &Server, count: i64) {
    server.wait_for(&["stats", "launch", "--json"], "/totals/clicks", count);
}

#[test]
fn the_database_never_has_a_whole_address() {
    let server = server("");
    visit(&server, "");
    clicks(&server, 1);
    let whole = files_with(&server.data_dir(), VISITOR);
    assert!(whole.iter().all(|file| file.starts_with("clicks/")), "{whole:?}");
    assert!(!whole.is_empty(), "the stream keeps the request for a while");
    let network = files_with(&server.data_dir(), NETWORK);
    assert!(network.iter().any(|file| file.starts_with("vayro.db")), "{network:?}");
}

#[test]
fn nothing_but_the_network_reaches_a_disk_if_so_configured() {
    let server = server("click_address = \"truncated\"");
    visit(&server, "");
    clicks(&server, 1);
    assert_eq!(files_with(&server.data_dir(), VISITOR), [""; 0]);
    let network = files_with(&server.data_dir(), NETWORK);
    assert!(network.iter().any(|file| file.starts_with("clicks/")), "{network:?}");
}

#[test]
fn who_asks_for_privacy_is_counted_without_a_trace() {
    let server = server("");
    visit(&server, "sec-gpc: 1\r\nreferer: https://news.example/secret-story\r\n");
    clicks(&server, 1);
    let stats = server.ok(&["stats", "launch", "--json"]);
    let stats: serde_json::Value = serde_json::from_str(&stats).expect("it is JSON");
    assert_eq!(stats.pointer("/totals/visitors").and_then(serde_json::Value::as_i64), Some(0), "{stats:#}");
    for trace in [VISITOR, NETWORK, "secret-story"] {
        assert_eq!(files_with(&server.data_dir(), trace), [""; 0], "{trace}");
    }
    let agent = files_with(&server.data_dir(), "Firefox");
    assert!(agent.iter().all(|file| file.starts_with("clicks/")), "not stored: {agent:?}");
}

#[test]
fn purged_clicks_are_gone_from_counts_and_files_and_still_add_up() {
    let server = server("");
    for _ in 0..3 {
        visit(&server, "");
    }
    clicks(&server, 3);
    let purge =
        ["purge", "visits", "--from", "1h", "--to", "0s", "--address", "203.0.113.9", "--yes", "--json"];
    let purge: serde_json::Value = serde_json::from_str(&server.ok(&purge)).expect("it is JSON");
    assert_eq!((&purge["state"], &purge["clicks"]), (&"removed".into(), &3.into()), "{purge:#}");
    assert_eq!(purge["network"], NETWORK);
    clicks(&server, 0);
    assert_eq!(files_with(&server.data_dir(), VISITOR), [""; 0], "the stream gave it up");
    // Edges tell what they accepted every few seconds.
    let audit = server.wait_for(&["audit", "clicks", "--json"], "/days/0/accepted", 3);
    assert_eq!(audit["days"][0]["removed"], 3, "{audit:#}");
    assert_eq!(audit["verdict"], "balanced", "{audit:#}");
    // The link goes on counting.
    visit(&server, "");
    clicks(&server, 1);
    let purge = server.vayro(&["purge", "link", "launch", "--yes"]);
    assert_eq!(purge.status, 0, "{purge}");
    clicks(&server, 0);
    let run = server.vayro(&["purge", "link", "launch"]);
    assert!(run.status == 2 && run.stderr.contains("--yes"), "{run}");
    let run = server.vayro(&["purge", "visits", "--from", "1h", "--to", "2h", "--yes"]);
    assert!(run.status == 1 && run.stderr.contains("the end must lie after the begin"), "{run}");
}

#[test]
fn retention_is_shown_and_done() {
    let server = Server::start();
    let json = |run: &str| serde_json::from_str::<serde_json::Value>(run).expect("it is JSON");
    let shown = json(&server.ok(&["retention", "show", "--json"]));
    assert_eq!(shown["plans"][0]["keep"], "forever");
    assert_eq!(shown["rollups"]["keep"], "forever");
    let run = |arguments: &[&str]| server.home().with("VAYRO_RETENTION__CLICKS_FREE", "30d").vayro(arguments);
    let shown = run(&["retention", "run", "--dry-run", "--json"]);
    let shown = json(&shown.stdout);
    assert_eq!((&shown["plans"][0]["keep"], &shown["plans"][0]["workspaces"]), (&"30d".into(), &1.into()));
    assert_eq!(json(&run(&["retention", "run", "--json"]).stdout)["clicks"], 0);
    let bad = server.home().with("VAYRO_RETENTION__CLICKS_FREE", "1d").vayro(&["retention", "show"]);
    assert_eq!(bad.status, 64, "{bad}");
}
