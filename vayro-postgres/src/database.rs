//! The pool of connections, and the limits that hold for everything done on it.

use std::str::FromStr as _;
use std::time::Duration;

use log::LevelFilter;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use vayro_core::ports::{BoxError, StoreError};

use crate::error::{Failure, is_temporary, store_error};

/// How long a transaction may lie idle before the server ends it; a process that froze holds no locks for ever.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a connection coming back to the pool may take to prove that it works.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that lay idle longer than this is tested before it is used: the server may have gone
/// meanwhile. On a busy pool the test would double the way of every short query.
const TEST_AFTER_IDLE: Duration = Duration::from_millis(200);
/// What a unit of work of several statements may take beyond the longest statement and the wait for a connection.
const WORK_SLACK: Duration = Duration::from_secs(5);
/// Statements slower than this are logged, without their parameters.
const SLOW_STATEMENT: Duration = Duration::from_secs(2);
/// Pause between two tries to reach a server that is starting.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How PostgreSQL is used.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// Address, such as `postgres://vayro@db.internal/vayro`.
    pub url: SecretString,
    /// Most connections of this process; at least 1.
    pub connections: u32,
    /// How long [`PgStores::connect`] tries before it gives up.
    pub connect_timeout: Duration,
    /// How long a query waits for a free connection.
    pub acquire_timeout: Duration,
    /// How long one statement may run.
    pub statement_timeout: Duration,
    /// How long a statement waits for somebody else's lock.
    pub lock_timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be read.
    #[error("the address of PostgreSQL is not one such as `postgres://user@host/database`")]
    Address(#[source] BoxError),
    /// The server answered and does not let us in, or has no such database.
    #[error("PostgreSQL refuses the connection")]
    Refused(#[source] BoxError),
    /// Nobody answered in time.
    #[error("PostgreSQL does not answer")]
    Unavailable(#[source] BoxError),
}

/// Every SQL port on one PostgreSQL database. Cheap to clone; clones share the pool.
#[derive(Clone, Debug)]
pub struct PgStores {
    pub(crate) pool: PgPool,
    pub(crate) connect: PgConnectOptions,
    /// How long a whole unit of work may take, so that a server that went silent blocks nobody for ever.
    work_timeout: Duration,
}

impl PgStores {
    /// Connects to a server, waiting for one that is still starting.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] says why not.
    pub async fn connect(config: &PostgresConfig) -> Result<Self, ConnectError> {
        let stores = Self::open(config)?;
        match tokio::time::timeout(config.connect_timeout, stores.reach()).await {
            Ok(Ok(())) => Ok(stores),
            Ok(Err(error)) => Err(ConnectError::Refused(Box::new(error))),
            Err(elapsed) => Err(ConnectError::Unavailable(Box::new(elapsed))),
        }
    }

    /// Makes the stores without asking the server; each query connects for itself when it must.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`].
    pub fn open(config: &PostgresConfig) -> Result<Self, ConnectError> {
        let connect = PgConnectOptions::from_str(config.url.expose_secret())
            .map_err(|error| ConnectError::Address(Box::new(error)))?
            .application_name("vayro")
            .log_statements(LevelFilter::Trace)
            .log_slow_statements(LevelFilter::Warn, SLOW_STATEMENT);
        Ok(Self {
            pool: pool(config, connect.clone()),
            connect,
            work_timeout: config.acquire_timeout + config.statement_timeout + WORK_SLACK,
        })
    }

    async fn reach(&self) -> Result<(), sqlx::Error> {
        loop {
            match self.pool.acquire().await {
                Ok(_) => return Ok(()),
                Err(error) if is_away(&error) => tokio::time::sleep(RETRY_PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks the database for a sign of life, for readiness checks.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it gives none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.within(async |connection| {
            sqlx::query("SELECT 1").execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// Closes every connection; calls that are under way end first.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs a unit of work on a connection of its own, under the time limit.
    pub(crate) async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.lend(self.work_timeout, work).await.map_err(store_error)
    }

    /// How long a whole unit of work may take.
    pub(crate) const fn work_timeout(&self) -> Duration {
        self.work_timeout
    }
}

/// Tells whether the server is not there (yet), in contrast to one that refuses us.
fn is_away(error: &sqlx::Error) -> bool {
    let is_refusal = error.as_database_error().and_then(DatabaseError::code).is_some_and(|state| {
        // Wrong user or password; no such database.
        state.starts_with("28") || state.starts_with("3D")
    });
    is_temporary(error) && !is_refusal
}

fn pool(config: &PostgresConfig, connect: PgConnectOptions) -> PgPool {
    let (statement_timeout, lock_timeout) = (config.statement_timeout, config.lock_timeout);
    PgPoolOptions::new()
        .max_connections(config.connections)
        .acquire_timeout(config.acquire_timeout)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                // By statement, since poolers refuse start-up options; UTC whatever the database's or
                // role's own setting is.
                sqlx::query(
                    "SELECT set_config('TimeZone', 'UTC', false),
                            set_config('statement_timeout', $1, false),
                            set_config('lock_timeout', $2, false),
                            set_config('idle_in_transaction_session_timeout', $3, false),
                            set_config('jit', 'off', false)",
                )
                .bind(millis(statement_timeout))
                .bind(millis(lock_timeout))
                .bind(millis(IDLE_IN_TRANSACTION_TIMEOUT))
                .execute(connection)
                .await
                .map(drop)
            })
        })
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for < TEST_AFTER_IDLE {
                    return Ok(true);
                }
                connection.ping().await.map(|()| true)
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                // The pool's own test has no limit: a connection to a server that went silent would
                // keep its place in the pool for ever.
                match tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await {
                    Ok(outcome) => outcome.map(|()| true),
                    Err(elapsed) => Err(sqlx::Error::Io(elapsed.into())),
                }
            })
        })
        .connect_lazy_with(connect)
}

fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}
