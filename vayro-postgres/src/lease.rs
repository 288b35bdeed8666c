//! A connection for one unit of work.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use crate::database::PgStores;
use crate::error::Failure;

/// A connection that goes back to the pool only when its work has come to an end, and is closed otherwise.
///
/// Work that is dropped half-way leaves the driver behind the server: inside a `BEGIN` or the end of a
/// `COPY` it does not know what was answered. The next work would read somebody else's answers or find
/// itself in a transaction that nobody commits.
struct Lease {
    connection: PoolConnection<Postgres>,
    is_at_rest: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_at_rest {
            self.connection.close_on_drop();
        }
    }
}

impl PgStores {
    /// Runs a unit of work on a connection of its own. A transaction that the work leaves open is rolled back.
    pub(crate) async fn lend<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut lease = Lease { connection: self.pool.acquire().await?, is_at_rest: false };
        match tokio::time::timeout(limit, work(&mut lease.connection)).await {
            Ok(outcome) => {
                lease.is_at_rest = outcome.as_ref().err().is_none_or(|failure| !failure.is_temporary());
                outcome
            }
            Err(elapsed) => Err(sqlx::Error::Io(elapsed.into()).into()),
        }
    }
}
