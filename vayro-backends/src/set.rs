//! What a back-end set can do beside its ports.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use vayro_core::ports::{BoxError, InvalidationFeed, StoreError};
use vayro_core::schema::SchemaState;
use vayro_postgres::PgStores;
use vayro_redis::{RedisClient, RedisInvalidationFeed};
use vayro_spool::{EmbeddedClicks, SpillingSink, SpoolError};
use vayro_sqlite::SqliteStores;

use crate::backends::Ping;
use crate::causes::causes;
use crate::local::LocalBroadcast;
use crate::nearest::ReplicaUse;

/// The parts of the set that runs.
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub(crate) enum Set {
    Clustered {
        postgres: PgStores,
        replica: Option<ReplicaUse>,
        redis: RedisClient,
        /// Only in processes that hand in clicks.
        spill: Option<Arc<SpillingSink>>,
    },
    Embedded {
        sqlite: SqliteStores,
        /// Not in tools.
        clicks: Option<EmbeddedClicks>,
        broadcast: Arc<LocalBroadcast>,
    },
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clustered { .. } => "Clustered",
            Self::Embedded { .. } => "Embedded",
        })
    }
}

impl Set {
    pub(crate) fn invalidations(&self) -> Box<dyn InvalidationFeed> {
        match self {
            Self::Clustered { redis, .. } => Box::new(RedisInvalidationFeed::new(redis)),
            Self::Embedded { broadcast, .. } => broadcast.feed(),
        }
    }

    pub(crate) fn replica(&self) -> Option<&ReplicaUse> {
        match self {
            Self::Clustered { replica, .. } => replica.as_ref(),
            Self::Embedded { .. } => None,
        }
    }

    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Clustered { postgres, .. } => {
                use vayro_postgres::MigrateError;
                postgres.migrate().await.map_err(|error| match error {
                    MigrateError::Unavailable(cause) => StoreError::Unavailable(cause),
                    other => StoreError::Internal(Box::new(other)),
                })
            }
            Self::Embedded { sqlite, .. } => {
                use vayro_sqlite::schema::MigrateError;
                sqlite.migrate().await.map_err(|error| match error {
                    MigrateError::Unavailable(cause) => StoreError::Unavailable(cause),
                    other => StoreError::Internal(Box::new(other)),
                })
            }
        }
    }

    pub(crate) async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        match self {
            Self::Clustered { postgres, .. } => postgres.schema_state().await,
            Self::Embedded { sqlite, .. } => sqlite.schema_state().await,
        }
    }

    pub(crate) async fn ping(&self, limit: Duration) -> Vec<Ping> {
        match self {
            Self::Clustered { postgres, redis, .. } => {
                let (postgres, redis) =
                    tokio::join!(ask("postgres", limit, postgres.ping()), ask("redis", limit, redis.ping()));
                vec![postgres, redis]
            }
            Self::Embedded { sqlite, .. } => vec![ask("sqlite", limit, sqlite.ping()).await],
        }
    }

    pub(crate) async fn close(&self) {
        let failed = |error: SpoolError| {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "not every click could be forced to the disk");
        };
        match self {
            Self::Clustered { postgres, replica, spill, .. } => {
                if let Some(spill) = spill
                    && let Err(error) = spill.close().await
                {
                    failed(error);
                }
                if let Some(replica) = replica {
                    replica.close().await;
                }
                postgres.close().await;
            }
            Self::Embedded { sqlite, clicks, .. } => {
                if let Some(clicks) = clicks
                    && let Err(error) = clicks.close().await
                {
                    failed(error);
                }
                sqlite.close().await;
            }
        }
    }
}

async fn ask<E: Into<BoxError>>(
    part: &'static str,
    limit: Duration,
    answer: impl Future<Output = Result<(), E>>,
) -> Ping {
    let error = match timeout(limit, answer).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(causes(&*error.into())),
        Err(_) => Some(format!("no answer within {} ms", limit.as_millis())),
    };
    Ping { part, error }
}
