//! A fresh file per test.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use vayro_core::contract::stores::{Stores, rolled_up};
use vayro_sqlite::{SqliteOptions, SqliteStores};

/// An open, migrated file that is removed at the end of the test.
pub(crate) struct Fixture {
    pub(crate) stores: Stores,
    pub(crate) sqlite: SqliteStores,
    directory: TempDir,
}

impl Fixture {
    pub(crate) fn path(&self) -> PathBuf {
        file_in(&self.directory)
    }
}

pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory for the test")
}

pub(crate) fn file_in(directory: &TempDir) -> PathBuf {
    directory.path().join("vayro.db")
}

pub(crate) async fn fixture() -> Fixture {
    fixture_with(SqliteOptions::default()).await
}

pub(crate) async fn fixture_with(options: SqliteOptions) -> Fixture {
    let directory = directory();
    let sqlite = SqliteStores::open_with(file_in(&directory), options).await.expect("a new file opens");
    sqlite.migrate().await.expect("a new file migrates");
    Fixture { stores: ports(&sqlite), sqlite, directory }
}

/// Every port of an open file.
pub(crate) fn ports(sqlite: &SqliteStores) -> Stores {
    Stores {
        users: Arc::new(sqlite.clone()),
        workspaces: Arc::new(sqlite.clone()),
        domains: Arc::new(sqlite.clone()),
        keys: Arc::new(sqlite.clone()),
        sessions: Arc::new(sqlite.clone()),
        audit: Arc::new(sqlite.clone()),
        links: Arc::new(sqlite.clone()),
        outbox: Arc::new(sqlite.clone()),
        lookup: Arc::new(sqlite.clone()),
        clicks: Arc::new(sqlite.clone()),
        amendments: Arc::new(sqlite.clone()),
        analytics: Arc::new(sqlite.clone()),
        events: Arc::new(sqlite.clone()),
        shares: Arc::new(sqlite.clone()),
        idempotency: Arc::new(sqlite.clone()),
        rollups: Arc::new(sqlite.clone()),
        rolled_up: rolled_up(sqlite.clone()),
        ledger: Arc::new(sqlite.clone()),
        retention: Arc::new(sqlite.clone()),
        purges: Arc::new(sqlite.clone()),
        certificates: Arc::new(sqlite.clone()),
        issuer: Arc::new(sqlite.clone()),
        served: Arc::new(sqlite.clone()),
        tickets: Arc::new(sqlite.clone()),
        needs_partitions: false,
    }
}
