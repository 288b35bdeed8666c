//! The ways to the file: one connection that writes, another that writes clicks, several that read.

use std::sync::Arc;

use sqlx::sqlite::{SqlitePool, SqliteTransaction};
use vayro_core::ports::StoreError;

use crate::click_connection::ClickConnection;
use crate::error::store_error;

/// Every SQL port of Vayro on one SQLite file. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct SqliteStores {
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
    pub(crate) clicks: Arc<ClickConnection>,
}

impl SqliteStores {
    /// Begins a transaction that holds the write lock from its start, so that what it reads stays true
    /// until it commits. Dropping it rolls back.
    pub(crate) async fn begin(&self) -> Result<SqliteTransaction<'static>, StoreError> {
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
        // The last connection to close folds the write-ahead log into the file: no reader must hold it back, and
        // nobody may write clicks any more.
        self.readers.close().await;
        self.writer.close().await;
        self.clicks.close();
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Executor as _;
    use vayro_core::contract::stores::{at, click};
    use vayro_core::ports::{ClickStore, LinkStore, WriteError};

    use super::*;
    use crate::cast::{Cast, cast};

    #[tokio::test]
    async fn a_full_disk_is_unavailable_until_there_is_room() {
        let Cast { stores, owner, link, .. } = &cast().await;
        let rows: Vec<_> = (0..2_000).map(|n| click(link, at(n))).collect();
        // Bounded to what there is.
        stores.clicks.set("PRAGMA max_page_count = 1");
        let full = ClickStore::write(stores, &rows).await;
        let Err(WriteError::Unavailable(cause)) = full else { panic!("expected no room, got {full:?}") };
        assert!(cause.to_string().contains("full"), "{cause}");
        let found = LinkStore::find(stores, owner.workspace_id, link.id).await.expect("it answers");
        assert_eq!(found.as_ref(), Some(link), "nothing was counted");
        stores.clicks.set("PRAGMA max_page_count = 100000");
        let again = ClickStore::write(stores, &rows).await.expect("there is room");
        assert_eq!(again.inserted, 2_000);
    }

    /// After some failures SQLite rolls back by itself, and the driver's own rollback fails.
    #[tokio::test]
    async fn a_transaction_that_ended_by_itself_does_not_block_the_writer() {
        let Cast { stores, owner, .. } = &cast().await;
        let mut tx = stores.begin().await.expect("the writer is free");
        tx.execute("ROLLBACK").await.expect("what SQLite does by itself");
        drop(tx);
        let insert = LinkStore::insert(stores, owner.new_link("other"), &owner.context(at(1))).await;
        assert!(insert.is_ok(), "{insert:?}");
    }

    #[tokio::test]
    async fn a_read_only_file_is_unavailable() {
        let Cast { stores, owner, link, .. } = &cast().await;
        stores.writer.execute("PRAGMA query_only = ON").await.expect("set");
        stores.clicks.set("PRAGMA query_only = ON");
        let write = ClickStore::write(stores, &[click(link, at(1))]).await;
        assert!(matches!(write, Err(WriteError::Unavailable(_))), "{write:?}");
        let insert = LinkStore::insert(stores, owner.new_link("other"), &owner.context(at(1))).await;
        assert!(matches!(insert, Err(StoreError::Unavailable(_))), "{insert:?}");
    }
}
