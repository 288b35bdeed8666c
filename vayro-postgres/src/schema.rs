//! The schema: bringing it up to date, and telling how it compares with this program.

use std::time::Duration;

use sqlx::migrate::{Migrate as _, MigrateError as SqlxMigrateError, Migrator};
use sqlx::{ConnectOptions as _, Connection as _};
use vayro_core::ports::{BoxError, StoreError};
use vayro_core::schema::{SchemaState, compare};

use crate::database::PgStores;
use crate::error::{internal, is_temporary};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// The driver's table of applied migrations.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

/// How long migrations wait for another migrating process and for other sessions' locks. Each statement
/// that waits makes everybody behind it wait as well.
const MIGRATION_LOCK_TIMEOUT: Duration = Duration::from_mins(1);

/// Why the schema could not be brought up to date; each migration was applied whole or not at all.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database was migrated by a newer program, which alone understands it.
    #[error(
        "the database is at schema version {version}, this program knows version {known}: use a newer one"
    )]
    Newer {
        /// A version the database has and this program does not know.
        version: i64,
        /// The newest version this program has.
        known: i64,
    },
    /// A migration differs from what was once applied under its number.
    #[error("migration {version} was applied in another form")]
    Changed {
        /// Which.
        version: i64,
    },
    /// The database is away, or another session held a lock too long.
    #[error("the database is unavailable")]
    Unavailable(#[source] BoxError),
    /// A bug, or a role that may not change the schema.
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

impl PgStores {
    /// Applies the migrations that are missing. Several processes may do so at once: an advisory lock
    /// lets one after the other.
    ///
    /// # Errors
    ///
    /// [`MigrateError`] says why not.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        // Not a pooled connection: migrations may take longer than statements may, and the lock of a
        // failed run must end with its session.
        let mut connection = self.connect.connect().await?;
        sqlx::query("SELECT set_config('TimeZone', 'UTC', false), set_config('lock_timeout', $1, false)")
            .bind(MIGRATION_LOCK_TIMEOUT.as_millis().to_string())
            .execute(&mut connection)
            .await?;
        let outcome = MIGRATIONS.run_direct(None, &mut connection, false).await.map_err(MigrateError::new);
        if let Err(error) = connection.close().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection ended badly");
        }
        outcome
    }

    /// Tells how the database's schema compares with this program.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database gives no answer.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        self.within(async |connection| {
            let is_migrated: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
                .bind(MIGRATIONS_TABLE)
                .fetch_one(&mut *connection)
                .await?;
            let applied = if is_migrated {
                connection.list_applied_migrations(MIGRATIONS_TABLE).await.map_err(internal)?
            } else {
                Vec::new()
            };
            let applied: Vec<i64> = applied.iter().map(|migration| migration.version).collect();
            let known: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
            Ok(compare(&known, &applied))
        })
        .await
    }
}
