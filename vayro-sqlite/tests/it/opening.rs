//! From a path to open connections, and the schema of what is there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Executor as _};
use vayro_core::schema::SchemaState;
use vayro_sqlite::schema::MigrateError;
use vayro_sqlite::{OpenError, SqliteStores};

use crate::fixture::{directory, file_in, fixture, ports};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// Opens the file as any program would.
pub(crate) async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.expect("SQLite opens the file")
}

#[tokio::test]
async fn file_and_new_directory_are_the_owners_alone() {
    let root = directory();
    let path = root.path().join("new/nested/vayro.db");
    let sqlite = SqliteStores::open(&path).await.expect("a new file opens");
    sqlite.migrate().await.expect("a new file migrates");
    for name in ["vayro.db", "vayro.db-wal", "vayro.db-shm"] {
        assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&root.path().join("new")), 0o700);
    assert_eq!(mode(&root.path().join("new/nested")), 0o700);
}

#[tokio::test]
async fn an_existing_directory_keeps_its_mode() {
    let root = directory();
    let shared = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(root.path(), shared).expect("the directory is ours");
    SqliteStores::open(file_in(&root)).await.expect("a new file opens");
    assert_eq!(mode(root.path()), 0o755);
}

#[tokio::test]
async fn a_path_below_a_file_is_named() {
    let root = directory();
    let blocker = root.path().join("blocker");
    std::fs::write(&blocker, "x").expect("written");
    let error = SqliteStores::open(blocker.join("vayro.db")).await.expect_err("no directory can be made");
    assert!(matches!(&error, OpenError::File { path, .. } if *path == blocker), "{error:?}");
    assert!(error.to_string().contains("blocker"), "{error}");
}

#[tokio::test]
async fn rubbish_is_called_damaged() {
    let root = directory();
    for rubbish in [&b"hello"[..], &[0x5A; 8192], b"SQLite format 3\0 and nothing behind it"] {
        let path = root.path().join(format!("{}.db", rubbish.len()));
        std::fs::write(&path, rubbish).expect("written");
        let error = SqliteStores::open(&path).await.expect_err("that is no database");
        assert!(matches!(&error, OpenError::Corrupt { .. }), "{error:?}");
        assert!(error.to_string().contains("damaged"), "{error}");
        assert_eq!(std::fs::read(&path).expect("still there"), rubbish, "it is left as it was");
    }
}

#[tokio::test]
async fn databases_of_other_programs_are_refused() {
    let root = directory();
    for (name, statement) in
        [("table.db", "CREATE TABLE bookmarks (id INTEGER)"), ("mark.db", "PRAGMA application_id = 7")]
    {
        let path = root.path().join(name);
        let mut other = raw(&path).await;
        other.execute(statement).await.expect("a database of another program");
        other.close().await.expect("closed");
        let error = SqliteStores::open(&path).await.expect_err("not ours");
        assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn migrating_brings_the_schema_up_to_date_once() {
    let root = directory();
    let sqlite = SqliteStores::open(file_in(&root)).await.expect("a new file opens");
    let state = sqlite.schema_state().await.expect("it answers");
    assert!(matches!(state, SchemaState::Behind(1..)), "{state:?}");
    for _ in 0..2 {
        sqlite.migrate().await.expect("it migrates");
        assert_eq!(sqlite.schema_state().await.expect("it answers"), SchemaState::Current);
    }
    sqlite.ping().await.expect("it answers");
}

#[tokio::test]
async fn two_may_open_and_migrate_a_new_file_at_once() {
    let root = directory();
    let path = file_in(&root);
    let start = || async {
        let sqlite = SqliteStores::open(&path).await.expect("a new file opens");
        sqlite.migrate().await.expect("it migrates");
        assert_eq!(sqlite.schema_state().await.expect("it answers"), SchemaState::Current);
    };
    tokio::join!(start(), start(), start());
}

#[tokio::test]
async fn a_newer_schema_is_told_apart_and_left_alone() {
    let fixture = fixture().await;
    let mut other = raw(&fixture.path()).await;
    other
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', TRUE, x'00', 0)",
        )
        .await
        .expect("stored");
    assert_eq!(fixture.sqlite.schema_state().await.expect("it answers"), SchemaState::Ahead);
    let error = fixture.sqlite.migrate().await.expect_err("only a newer program may");
    assert!(matches!(error, MigrateError::Newer { version: 9999, .. }), "{error:?}");
}

#[tokio::test]
async fn a_changed_migration_is_named() {
    let fixture = fixture().await;
    let mut other = raw(&fixture.path()).await;
    other.execute("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 2").await.expect("stored");
    let error = fixture.sqlite.migrate().await.expect_err("history does not change");
    assert!(matches!(error, MigrateError::Changed { version: 2 }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_was_closed_opens_again_with_everything() {
    let fixture = fixture().await;
    let owner = fixture.stores.owner("ada").await;
    let link = fixture.stores.link(&owner, "launch").await;
    fixture.sqlite.close().await;
    assert!(!fixture.path().with_extension("db-wal").exists(), "closing folds the log into the file");
    let again = SqliteStores::open(fixture.path()).await.expect("it opens again");
    assert_eq!(again.schema_state().await.expect("it answers"), SchemaState::Current);
    assert_eq!(ports(&again).reload(&link).await, link);
}
