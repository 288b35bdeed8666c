//! What `docs/privacy.md` says of places that the product's own stores do not cover: logs, disks, databases.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use sqlx::Connection as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vayro_testing::system::{LOG_FILE, Role, System};
use vayro_testing::{postgres, redis, wait};

use super::{SHOWN_LIMIT, shown};

/// A visitor that nothing else is taken for.
const ADDRESS: &str = "203.0.113.77";
const NETWORK: &str = "203.0.113.0";
const AGENT: &str = "Mozilla/5.0 (Wanderer; rv:77.7) Unmistakable/77.7";
const REFERRER: &str = "https://unmistakable-referrer.example/path-of-77";
const CAMPAIGN: &str = "utm_source=unmistakable-source";
/// Whatever of it could turn up somewhere.
const TRACES: [&str; 5] = [ADDRESS, NETWORK, "nmistakable", "Wanderer", "path-of-77"];
/// How long an edge may take to find out that Redis is away, and to send on what it kept.
const LIMIT: Duration = Duration::from_secs(60);

/// Much is logged, and into this file; the visitor comes through a proxy of ours.
fn settings(log: &Path) -> [(&str, &str); 3] {
    [
        (LOG_FILE, log.to_str().expect("a plain path")),
        ("VAYRO_LOG__LEVEL", "debug,pingora_core=warn,pingora_proxy=warn"),
        ("VAYRO_EDGE__TRUSTED_PROXIES", "127.0.0.0/8"),
    ]
}

/// Sends a request as it is and returns what is answered.
async fn send(system: &System, request: &str) -> String {
    let address = system.edge_url.strip_prefix("http://").expect("plain");
    let mut connection = TcpStream::connect(address).await.expect("the edge listens");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // An edge that refuses may reset the connection.
    drop(tokio::time::timeout(Duration::from_secs(20), connection.read_to_end(&mut answer)).await);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The visitor asks for a path, through the proxy that the edge trusts.
async fn visit(system: &System, path: &str) -> String {
    let host = system.edge_url.strip_prefix("http://").expect("plain");
    let request = format!(
        "GET {path}?{CAMPAIGN} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {ADDRESS}\r\nUser-Agent: {AGENT}\r\n\
         Referer: {REFERRER}\r\nConnection: close\r\n\r\n"
    );
    send(system, &request).await
}

/// Returns the files below a folder with what is in them.
fn files(folder: &Path) -> Vec<(u32, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => found.extend(files(&entry.path())),
            Ok(metadata) => {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                found.push((metadata.permissions().mode() & 0o777, bytes));
            }
            Err(_) => {}
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Requests of every kind, good and bad, and one that is not finished.
async fn visit_in_every_way(system: &System, code: &str) {
    assert!(visit(system, &format!("/{code}")).await.starts_with("HTTP/1.1 302"));
    assert!(visit(system, "/no-such-code").await.starts_with("HTTP/1.1 404"));
    visit(system, "/%zz%00").await;
    let bad = format!("GET /{code} HTTP/1.1\r\nUser-Agent: {AGENT}\r\n: {ADDRESS}\r\n bad\r\n\r\n");
    send(system, &bad).await;
    let host = system.edge_url.strip_prefix("http://").expect("plain");
    let mut connection = TcpStream::connect(host).await.expect("the edge listens");
    let half = format!("GET /{code}?{CAMPAIGN} HTTP/1.1\r\nX-Forwarded-For: {ADDRESS}\r\nUser-Ag");
    connection.write_all(half.as_bytes()).await.expect("sent");
}

fn assert_no_trace(log: &Path) {
    let said = std::fs::read_to_string(log).expect("the log can be read");
    assert!(!said.is_empty(), "processes log that they started");
    for trace in TRACES {
        let line = said.lines().find(|line| line.contains(trace));
        assert_eq!(line, None, "a log tells of a visitor");
    }
}

#[tokio::test]
async fn logs_tell_nothing_and_disks_only_what_waits() {
    let (database, mut cache) = (postgres::database().await, redis::server().await);
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("log");
    let mut system = System::clustered_with(&database.url, &cache.url, &settings(&log)).await;
    let link = system.create_link("seen", "https://example.com/").await;
    visit_in_every_way(&system, "seen").await;
    shown(&system, &link, 1).await;

    cache.stop();
    assert!(visit(&system, "/seen").await.starts_with("HTTP/1.1 302"));
    let spool = system.data_dir().join("spool");
    wait::until("the click on the edge's disk", LIMIT, async || {
        files(&spool).iter().any(|(_, bytes)| holds(bytes, AGENT)).then_some(())
    })
    .await;
    for (mode, _) in files(&spool) {
        assert_eq!(mode, 0o600, "for their owner alone");
    }
    cache.restart().await;
    shown(&system, &link, 2).await;
    wait::until("an empty disk", LIMIT, async || {
        files(&system.data_dir()).iter().all(|(_, bytes)| !holds(bytes, AGENT)).then_some(())
    })
    .await;

    let mut connection = sqlx::PgConnection::connect(&database.url).await.expect("PostgreSQL answers");
    let rows: Vec<String> = sqlx::query_scalar("SELECT click_events::text FROM click_events")
        .fetch_all(&mut connection)
        .await
        .expect("rows");
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.contains(NETWORK) && !row.contains(ADDRESS)), "{rows:?}");
    for role in [Role::Edge, Role::Worker, Role::Api] {
        system.stop(role);
    }
    assert_no_trace(&log);
}

#[tokio::test]
async fn one_process_keeps_visitors_to_its_own_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("log");
    let mut system = System::up_with(&[], &settings(&log)).await;
    let link = system.create_link("seen", "https://example.com/").await;
    visit_in_every_way(&system, "seen").await;
    shown(&system, &link, 1).await;
    let kept = files(&system.data_dir());
    assert!(kept.iter().any(|(_, bytes)| holds(bytes, ADDRESS)), "the stream keeps it for a time");
    for (mode, bytes) in kept {
        let is_of_a_visitor = TRACES.iter().any(|trace| holds(&bytes, trace));
        assert!(!is_of_a_visitor || mode == 0o600, "a file of mode {mode:o} tells of a visitor");
    }
    wait::until("nothing on its way", SHOWN_LIMIT, async || {
        system.vayro(&["stream", "lag"]).status.success().then_some(())
    })
    .await;
    system.stop(Role::Edge);
    assert_no_trace(&log);
}
