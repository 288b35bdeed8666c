//! From a path to open connections.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::time::{Instant, sleep};
use vayro_core::ports::BoxError;

use crate::click_connection::ClickConnection;
use crate::database::SqliteStores;
use crate::error::{is_busy, is_corrupt};
use crate::schema::APPLICATION_ID;

/// Pause between tries to switch a file to its write-ahead log while somebody holds it.
const WAL_RETRY_PAUSE: Duration = Duration::from_millis(20);
/// The write-ahead log is cut back to this after a checkpoint; a long analysis makes it grow beyond.
pub(crate) const WAL_BYTES_KEPT: u32 = 128 * 1024 * 1024;
/// Page cache of each connection but the one that stores clicks, in KiB.
const CACHE_KIB: u32 = 16 * 1024;
/// Bytes of the file that readers map into memory instead of copying page by page: more than any file has, as
/// far as the build allows. A chart over a year reads thousands of pages, and copying them was most of its time.
/// Writers do not map: their pages are copied anyhow, and their errors are to be errors.
const MAPPED_BYTES: &str = "1099511627776";
/// Rows that a connection's thread reads ahead of whoever takes them, so that the two do not wake each other row by
/// row: a year of rollups.
const ROWS_AHEAD: usize = 400;
/// Prepared statements kept per connection.
const STATEMENTS_KEPT: usize = 200;

/// How a file is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// How long a writer waits for a lock that another process holds, and at open for the file itself.
    pub busy_timeout: Duration,
    /// How long a call waits for a connection of this process; longer than `busy_timeout`, or a short
    /// queue behind another process's lock would fail at once.
    pub acquire_timeout: Duration,
    /// Most connections that read at the same time.
    pub readers: u32,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(15),
            // Reads are short and come from one machine; each connection is a thread.
            readers: 4,
        }
    }
}

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its directory cannot be made or read.
    #[error("cannot open `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Not a database, or a damaged one.
    #[error("`{}` is damaged or not an SQLite database; restore it from a backup", path.display())]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: BoxError,
    },
    /// A database of another program.
    #[error("`{}` is a database of another program", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// Another process held it too long.
    #[error("`{}` is locked by another process", path.display())]
    Busy {
        /// Which.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: BoxError,
    },
    /// Anything else.
    #[error("cannot use `{}`", path.display())]
    Other {
        /// Which.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: BoxError,
    },
}

impl OpenError {
    fn new(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        if is_corrupt(&error) {
            return Self::Corrupt { path, source: Box::new(error) };
        }
        if is_busy(&error) {
            return Self::Busy { path, source: Box::new(error) };
        }
        Self::Other { path, source: Box::new(error) }
    }
}

impl SqliteStores {
    /// Opens the file with the default options, see [`SqliteStores::open_with`].
    ///
    /// # Errors
    ///
    /// [`OpenError`] says why not.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, SqliteOptions::default()).await
    }

    /// Opens the file, making it and its directory if they are not there: the file for its owner alone
    /// (0600), the directory too (0700). What exists keeps its mode. The schema is left as it is, see
    /// [`SqliteStores::migrate`] and [`SqliteStores::schema_state`].
    ///
    /// # Errors
    ///
    /// [`OpenError`] says why not.
    pub async fn open_with(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = path.as_ref();
        make_file(path).await?;
        let connect = connect_options(path, options.busy_timeout);
        let mut first = first_connection(path, &connect, options.busy_timeout).await?;
        check_owner(path, &mut first).await?;
        // Kept until the pools are open: the last connection of a file to close removes its log.
        let stores = Self {
            writer: pool(1, options)
                .connect_with(connect.clone())
                .await
                .map_err(|e| OpenError::new(path, e))?,
            readers: pool(options.readers.max(1), options)
                .connect_lazy_with(connect.pragma("query_only", "ON").pragma("mmap_size", MAPPED_BYTES)),
            clicks: Arc::new(ClickConnection::new(path.to_owned(), options.busy_timeout)),
        };
        drop(first.close().await);
        Ok(stores)
    }
}

/// Makes the file first, so that SQLite's own files beside it inherit its mode.
async fn make_file(path: &Path) -> Result<(), OpenError> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        tokio::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .await
            .map_err(|source| OpenError::File { path: directory.to_owned(), source })?;
    }
    tokio::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .await
        .map(drop)
        .map_err(|source| OpenError::File { path: path.to_owned(), source })
}

/// What every connection sets, by whichever driver; `cache_kib` is its page cache in KiB.
pub(crate) fn pragmas(cache_kib: u32) -> [(&'static str, String); 4] {
    [
        ("journal_size_limit", WAL_BYTES_KEPT.to_string()),
        // Negative is how the pragma spells KiB.
        ("cache_size", format!("-{cache_kib}")),
        ("temp_store", "MEMORY".to_owned()),
        // No function of an attacker's schema runs with our rights.
        ("trusted_schema", "OFF".to_owned()),
    ]
}

fn connect_options(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(busy_timeout)
        .foreign_keys(true)
        // FULL: one fsync per commit. NORMAL would lose the last commits with the power, and by then the
        // click stream may have been told that its entries are stored, and a person that a link exists.
        .synchronous(SqliteSynchronous::Full)
        .statement_cache_capacity(STATEMENTS_KEPT)
        .row_buffer_size(ROWS_AHEAD)
        .thread_name(|id| format!("vayro-sqlite-{id}"));
    pragmas(CACHE_KIB).into_iter().fold(options, |options, (name, value)| options.pragma(name, value))
}

/// Switches the file to its write-ahead log. SQLite does not wait for the lock this takes, so that of
/// two processes that make the file at the same time one fails at once: it tries again here.
async fn first_connection(
    path: &Path,
    options: &SqliteConnectOptions,
    busy_timeout: Duration,
) -> Result<SqliteConnection, OpenError> {
    let deadline = Instant::now() + busy_timeout;
    let options = options.clone().journal_mode(SqliteJournalMode::Wal);
    loop {
        match SqliteConnection::connect_with(&options).await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => sleep(WAL_RETRY_PAUSE).await,
            other => return other.map_err(|error| OpenError::new(path, error)),
        }
    }
}

/// Refuses a database that somebody else made: our tables have no business there.
async fn check_owner(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let (application_id, tables): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT COUNT(*) FROM sqlite_schema)",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| OpenError::new(path, error))?;
    if application_id == i64::from(APPLICATION_ID) || (application_id == 0 && tables == 0) {
        return Ok(());
    }
    Err(OpenError::Foreign { path: path.to_owned() })
}

fn pool(connections: u32, options: SqliteOptions) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        // The check below, at the other end of a use, does more.
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(is_reusable(connection)))
}

/// Tells whether a connection may be used again. On a full disk and the like SQLite rolls back by
/// itself; the driver's own rollback then fails, and it would believe for ever that a transaction is open.
async fn is_reusable(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // Waits for a rollback that was queued when a transaction was dropped.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}
