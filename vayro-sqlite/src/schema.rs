//! The schema: bringing it up to date, and telling how it compares with this program.

use sqlx::SqliteConnection;
use sqlx::migrate::{Migrate as _, MigrateError as SqlxMigrateError, Migrator};
use vayro_core::ports::{BoxError, StoreError};
use vayro_core::schema::{SchemaState, compare};

use crate::database::SqliteStores;
use crate::error::{internal, is_temporary, store_error};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// Marks a file as ours in its header: `Vayr`.
pub(crate) const APPLICATION_ID: i32 = 0x5661_7972;

/// Why the schema could not be brought up to date; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The file was migrated by a newer program, which alone understands it.
    #[error("the database has migration {version}, this program knows those up to {known}: use a newer one")]
    Newer {
        /// The first migration that this program does not know.
        version: i64,
        /// The newest one it knows.
        known: i64,
    },
    /// A migration differs from what was once applied under its number.
    #[error("migration {version} was applied in another form")]
    Changed {
        /// Which.
        version: i64,
    },
    /// Another process held the file too long, or the disk failed.
    #[error("the database is unavailable")]
    Unavailable(#[source] BoxError),
    /// A bug, or a damaged file.
    #[error("a migration failed")]
    Failed(#[source] BoxError),
}

impl MigrateError {
    fn new(error: SqlxMigrateError) -> Self {
        let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
        match error {
            SqlxMigrateError::VersionMissing(version) => Self::Newer { version, known },
            SqlxMigrateError::VersionMismatch(version) => Self::Changed { version },
            SqlxMigrateError::Execute(error) | SqlxMigrateError::ExecuteMigration(error, _) => error.into(),
            other => Self::Failed(Box::new(other)),
        }
    }
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        if is_temporary(&error) { Self::Unavailable(Box::new(error)) } else { Self::Failed(Box::new(error)) }
    }
}

impl SqliteStores {
    /// Applies the migrations that are missing, all of them or none. Several processes may do so at once.
    ///
    /// # Errors
    ///
    /// [`MigrateError`] says why not.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        // The driver's own lock does nothing on SQLite; this transaction is the lock, and each migration
        // becomes a savepoint in it.
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        MIGRATIONS.run_direct(None, &mut *tx, false).await.map_err(MigrateError::new)?;
        mark(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Tells how the file's schema compares with this program.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file gives no answer.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(store_error)?;
        let is_migrated: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')")
                .fetch_one(&mut *connection)
                .await
                .map_err(store_error)?;
        let applied = if is_migrated {
            connection.list_applied_migrations("_sqlx_migrations").await.map_err(internal)?
        } else {
            Vec::new()
        };
        let applied: Vec<i64> = applied.iter().map(|migration| migration.version).collect();
        let known: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        Ok(compare(&known, &applied))
    }
}

async fn mark(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    // A pragma takes no parameters.
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}")))
        .execute(connection)
        .await
        .map(drop)
}
