//! Several processes on one file, and what a killed one leaves behind.
//!
//! The other processes are this test program again, told by the environment to be a writer.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use uuid::Uuid;
use vayro_core::change::ChangeContext;
use vayro_core::contract::stores::{Owner, at};
use vayro_core::ids::{AuditId, LinkId, UserId, WorkspaceId};
use vayro_core::link::LinkKey;
use vayro_core::schema::SchemaState;
use vayro_sqlite::SqliteStores;

use crate::fixture::{fixture, ports};
use crate::opening::raw;

/// `<number> <file> <user> <workspace> <links>`: be writer `number`.
const ENVIRONMENT: &str = "VAYRO_SQLITE_TEST_WRITER";
/// Printed before each code, since the test harness prints as well.
const COMMITTED: &str = "committed ";

struct Writer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    /// Starts a process that inserts `count` links and prints each code once it is committed.
    fn start(number: u8, path: &Path, owner: &Owner, count: u32) -> Self {
        let task = format!("{number} {} {} {} {count}", path.display(), owner.user_id, owner.workspace_id);
        let mut child = Command::new(std::env::current_exe().expect("this program has a file"))
            .args(["--exact", "processes::a_writer", "--ignored", "--nocapture"])
            .env(ENVIRONMENT, task)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    /// Returns the next committed code, `None` at the end.
    fn next_code(&mut self) -> Option<String> {
        loop {
            let line = self.lines.next()?.expect("UTF-8");
            if let Some((_, code)) = line.split_once(COMMITTED) {
                return Some(code.to_owned());
            }
        }
    }

    fn codes(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next_code()).collect()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Not a test of its own: what [`Writer::start`] runs.
#[tokio::test]
#[ignore = "run by the tests beside it"]
async fn a_writer() {
    let task = std::env::var(ENVIRONMENT).expect("started by a test");
    let words: Vec<&str> = task.split(' ').collect();
    let [number, path, user, workspace, count] = words[..] else { panic!("five words") };
    let number: u8 = number.parse().expect("a number");
    let owner = Owner {
        user_id: user.parse::<UserId>().expect("an id"),
        workspace_id: workspace.parse::<WorkspaceId>().expect("an id"),
    };
    let sqlite = SqliteStores::open(path).await.expect("the file opens");
    assert_eq!(sqlite.schema_state().await.expect("it answers"), SchemaState::Current);
    let stores = ports(&sqlite);
    for n in 0..count.parse::<u32>().expect("a number") {
        // The suites' own ids are counted per process and would meet.
        let id = Uuid::from_u128((u128::from(number) + 1) << 64 | u128::from(n));
        let context = ChangeContext { audit_id: AuditId::from_uuid(id), ..owner.context(at(i64::from(n))) };
        let mut new = owner.new_link(&format!("w{number}-{n}"));
        new.id = LinkId::from_uuid(id);
        let link = stores.links.insert(new, &context).await.expect("a link is stored");
        println!("{COMMITTED}{}", link.short_code);
    }
}

async fn integrity(path: &Path) -> Vec<String> {
    let mut connection = raw(path).await;
    let mut problems: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(&mut connection)
        .await
        .expect("SQLite looks at its file");
    let broken: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM pragma_foreign_key_check")
        .fetch_one(&mut connection)
        .await
        .expect("SQLite looks at its file");
    problems.retain(|problem| problem != "ok");
    problems.extend((broken > 0).then(|| format!("{broken} broken references")));
    problems
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_write_the_same_file_side_by_side() {
    let fixture = fixture().await;
    let stores = &fixture.stores;
    let owner = stores.owner("ada").await;
    let mut writers = [1, 2].map(|number| Writer::start(number, &fixture.path(), &owner, 40));
    let mut revisions = HashSet::new();
    for n in 0..40 {
        revisions.insert(stores.link(&owner, &format!("here-{n}")).await.revision);
    }
    for writer in &mut writers {
        let codes = tokio::task::block_in_place(|| writer.codes());
        assert_eq!(codes.len(), 40);
        for code in codes {
            let key = LinkKey { domain: None, short_code: code.parse().expect("a code") };
            let link =
                stores.lookup.lookup(&key).await.expect("it answers").expect("what one committed, all see");
            assert!(revisions.insert(link.revision), "revision {} was given out twice", link.revision);
        }
    }
    assert_eq!(revisions.len(), 120);
    assert_eq!(stores.outbox.pending(500).await.expect("it answers").len(), 120);
    assert_eq!(integrity(&fixture.path()).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_committed_is_there() {
    let fixture = fixture().await;
    let owner = fixture.stores.owner("ada").await;
    // Nobody else holds the file, so that nobody recovers it but the one who opens it next.
    fixture.sqlite.close().await;
    let mut writer = Writer::start(1, &fixture.path(), &owner, 100_000);
    let codes = tokio::task::block_in_place(|| {
        let mut codes: Vec<String> = std::iter::from_fn(|| writer.next_code()).take(50).collect();
        writer.child.kill().expect("it was running");
        // What it printed before it was killed.
        codes.extend(writer.codes());
        codes
    });
    assert!(codes.len() >= 50);

    let again = SqliteStores::open(fixture.path()).await.expect("it opens again");
    let stores = ports(&again);
    for code in &codes {
        let key = LinkKey { domain: None, short_code: code.parse().expect("a code") };
        let link = stores.lookup.lookup(&key).await.expect("it answers").expect("committed and there");
        // The whole of the change, or nothing of it.
        assert_eq!(stores.audit_of(&owner, &link.id.to_string()).await.len(), 1);
    }
    assert_eq!(integrity(&fixture.path()).await, Vec::<String>::new());
    stores.link(&owner, "after").await;
}
