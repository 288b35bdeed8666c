//! The two ways to the file: one connection that writes, several that read.

use sqlx::sqlite::{SqlitePool, SqliteTransaction};
use vayro_core::ports::StoreError;

use crate::error::store_error;

/// Every SQL port of Vayro on one SQLite file. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct SqliteStores {
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
}

impl SqliteStores {
    /// Begins a transaction that holds the write lock from its start, so that what it reads stays true
    /// until it commits. Dropping it rolls back.
    pub(crate) async fn write(&self) -> Result<SqliteTransaction<'static>, StoreError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(store_error)
    }

    /// Asks the file for an answer; for readiness.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it gives none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        // A count of the schema touches the file; a constant would not.
        sqlx::query("SELECT COUNT(*) FROM sqlite_schema")
            .execute(&self.readers)
            .await
            .map(drop)
            .map_err(store_error)
    }

    /// Waits for what is running and closes the file. Every later call is [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.readers.close().await;
        // Last, because the last connection to close folds the write-ahead log into the file.
        self.writer.close().await;
    }
}
