//! An edge is replaced while visitors come: nobody notices, and no click is missing.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use vayro_testing::load::{KeptLoad, LoadResult};
use vayro_testing::system::{Role, System};
use vayro_testing::{postgres, redis, wait};

use super::faults::rows_match;

/// Upgrades under load.
const UPGRADES: usize = 10;
/// Longest time until a process has ended.
const END_LIMIT: Duration = Duration::from_secs(60);

/// A process that nobody but us will end.
struct Successor(Pid);

impl Successor {
    fn is_running(&self) -> bool {
        // Nobody of ours waits for it, so it does not stay as a zombie.
        kill(self.0, None).is_ok()
    }

    async fn end(self) {
        kill(self.0, Signal::SIGTERM).expect("it runs");
        wait::until("the end of the last edge", END_LIMIT, async || (!self.is_running()).then_some(())).await;
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        // Gone already, mostly.
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

/// Hands the edge over to a new process.
fn upgrade(system: &System) -> Successor {
    let output = system.vayro(&["edge", "upgrade", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).expect("`--json` prints JSON");
    Successor(Pid::from_raw(said["process"].as_i64().and_then(|id| i32::try_from(id).ok()).expect("an id")))
}

/// What the service manager has been told.
fn words(socket: &UnixDatagram) -> Vec<String> {
    socket.set_nonblocking(true).expect("a socket can be told not to wait");
    let mut buffer = [0; 1024];
    let mut words = Vec::new();
    while let Ok(len) = socket.recv(&mut buffer) {
        words.push(String::from_utf8_lossy(&buffer[..len]).into_owned());
    }
    words
}

fn refused(system: &System) -> String {
    let output = system.vayro(&["edge", "upgrade"]);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn ten_upgrades_under_load_fail_no_visit_and_lose_no_click() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let mut system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("kept", "https://example.com/").await;
    let load = KeptLoad::start(&system.edge_url, "/kept", 8);
    let mut last: Option<Successor> = None;
    for _ in 0..UPGRADES {
        load.some_more().await;
        let successor = upgrade(&system);
        if let Some(before) = last.replace(successor) {
            wait::until("the end of the edge before", END_LIMIT, async || {
                (!before.is_running()).then_some(())
            })
            .await;
        } else {
            system.ended(Role::Edge, END_LIMIT).await;
        }
    }
    load.some_more().await;
    let result = load.stop().await;
    assert_eq!((result.refused, result.failed), (0, 0), "of {}", result.redirected);
    let last = last.expect("there were some");
    assert!(last.is_running());
    last.end().await;
    rows_match(&database.url, &link, result).await;
    let audit = system.vayro(&["audit", "clicks"]);
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

#[tokio::test]
async fn a_successor_that_cannot_start_changes_nothing() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let mut system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("steady", "https://example.com/").await;
    assert_eq!(system.visit("steady").await.0, 302);

    let file = system.data_dir().join("root-redirect");
    std::fs::write(&file, "https://example.com/before").expect("writable");
    let name = file.to_str().expect("a plain path");
    system.stop(Role::Edge);
    let manager = system.data_dir().join("notify");
    let heard = UnixDatagram::bind(&manager).expect("binds");
    let manager = manager.to_str().expect("a plain path");
    let variables = [("VAYRO_EDGE__ROOT_REDIRECT_FILE", name), ("NOTIFY_SOCKET", manager)];
    assert!(system.start_with(Role::Edge, &variables).await, "the edge got ready");
    std::fs::write(&file, "not an address").expect("writable");
    let said = refused(&system);
    assert!(said.contains("the edge goes on as it was") && said.contains("edge.root_redirect"), "{said}");
    assert_eq!(system.visit("").await, (302, Some("https://example.com/before".to_owned())));

    // Once more, with the mistake mended: the new setting acts.
    std::fs::write(&file, "https://example.com/after").expect("writable");
    let successor = upgrade(&system);
    system.ended(Role::Edge, END_LIMIT).await;
    let said = words(&heard);
    assert!(said.contains(&format!("MAINPID={}\nREADY=1", successor.0)), "{said:?}");
    assert!(!said.iter().any(|word| word.starts_with("STOPPING")), "the service goes on: {said:?}");
    assert_eq!(system.visit("").await, (302, Some("https://example.com/after".to_owned())));
    assert_eq!(system.visit("steady").await.0, 302);
    successor.end().await;
    assert!(refused(&system).contains("no edge runs"), "the last one left no socket behind");
    rows_match(&database.url, &link, LoadResult { redirected: 2, refused: 0, failed: 0 }).await;
}

#[tokio::test]
async fn a_spool_passes_to_the_successor() {
    let (database, mut cache) = (postgres::database().await, redis::server().await);
    let mut system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("spooled", "https://example.com/").await;
    assert_eq!(system.visit("spooled").await.0, 302);
    cache.stop();
    assert_eq!(system.visit("spooled").await.0, 302);
    let successor = upgrade(&system);
    assert_eq!(system.visit("spooled").await.0, 302, "a click that nobody can take yet");
    system.ended(Role::Edge, END_LIMIT).await;
    cache.restart().await;
    rows_match(&database.url, &link, LoadResult { redirected: 3, refused: 0, failed: 0 }).await;
    successor.end().await;
}
