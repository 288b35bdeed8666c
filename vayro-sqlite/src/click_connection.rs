//! The connection that stores clicks.
//!
//! Clicks are most of what is ever written. The driver of the other ports hands every statement to a thread of
//! its own and every value over as a copy; this one binds rows where they are and works in the caller's thread.
//! Whoever writes clicks holds the one writer of the other ports meanwhile, so that within a process writers
//! queue up fairly and never wait for SQLite's lock.

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::runtime::{Handle, RuntimeFlavor};
use vayro_core::failpoint;

use crate::open::{WAL_BYTES_KEPT, pragmas};

/// Pages in the write-ahead log from which on a commit folds it into the file. Batches write the same pages
/// again and again; the file needs their last state only.
const CHECKPOINT_PAGES: u32 = WAL_BYTES_KEPT / 4096;
/// Page cache in KiB. A full batch changes some 80 MiB of pages; what the
/// cache cannot hold is written before the commit and read again.
const CACHE_KIB: u32 = 128 * 1024;

/// A connection that is opened when it is first needed, and again after a failure.
#[derive(Debug)]
pub(crate) struct ClickConnection {
    path: PathBuf,
    busy_timeout: Duration,
    connection: Mutex<Option<Connection>>,
}

impl ClickConnection {
    pub(crate) const fn new(path: PathBuf, busy_timeout: Duration) -> Self {
        Self { path, busy_timeout, connection: Mutex::new(None) }
    }

    /// Works in a transaction that holds the write lock from its start. It is undone if `work` fails.
    ///
    /// Blocks the thread, but nothing else of a runtime with several threads.
    pub(crate) fn transaction<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        blocking(|| {
            let mut kept = self.connection.lock();
            let mut connection = kept.take().map_or_else(|| self.open(), Ok)?;
            let result = in_transaction(&mut connection, work);
            // Closed if it cannot even undo: nobody knows what state it is in.
            if connection.is_autocommit() {
                *kept = Some(connection);
            }
            result
        })
    }

    /// Changes a setting of the connection, for tests.
    #[cfg(test)]
    pub(crate) fn set(&self, pragma: &str) {
        let mut kept = self.connection.lock();
        let connection = kept.take().map_or_else(|| self.open(), Ok).expect("the file opens");
        connection.execute_batch(pragma).expect("set");
        *kept = Some(connection);
    }

    /// Closes the connection; the next transaction opens it again.
    pub(crate) fn close(&self) {
        drop(self.connection.lock().take());
    }

    /// Opens the file, which is there, with the settings of the other connections.
    fn open(&self) -> Result<Connection, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.execute_batch(&format!(
            "PRAGMA foreign_keys = ON;
             PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};"
        ))?;
        for (name, value) in pragmas(CACHE_KIB) {
            connection.execute_batch(&format!("PRAGMA {name} = {value}"))?;
        }
        Ok(connection)
    }
}

fn in_transaction<T, E: From<rusqlite::Error>>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let result = work(&tx)?;
    failpoint::hit(failpoint::BEFORE_COMMIT);
    tx.commit()?;
    failpoint::hit(failpoint::AFTER_COMMIT);
    Ok(result)
}

/// Tells the runtime, if it has other threads for its other tasks, that this one is busy.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
