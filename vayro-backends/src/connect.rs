//! From a configuration to connected back ends.

use std::io;
use std::ops::BitOr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use vayro_core::ports::{
    AnalyticsStore, BoxError, ClickSink, EventStore, LedgerFile, LinkLookup, RollupStore,
};
use vayro_core::rollup::RolledUpAnalytics;
use vayro_postgres::{PgReplica, PgStores, PostgresConfig};
use vayro_redis::{
    RedisCachedLinks, RedisClickSink, RedisClickStream, RedisClient, RedisDeadLetters, RedisEdgeReports,
    RedisLookup, RedisPublisher, RedisRateLimiter, RedisRecentVisits,
};
use vayro_spool::{
    DiskLedger, EmbeddedClicks, SpillingOptions, SpillingSink, Spool, SpoolError, SpoolOptions,
};
use vayro_sqlite::{SqliteOptions, SqliteStores};

use crate::backends::Backends;
use crate::clock;
use crate::config::{BackendConfig, ClusteredConfig, EmbeddedConfig, LookupConfig, SpoolConfig};
use crate::drainer::Drainer;
use crate::guard::GuardedLookup;
use crate::identity::process_name;
use crate::local::{ClosedClicks, LocalBroadcast, LocalLimits, LocalReports, LocalVisits, NoLedgerFile};
use crate::nearest::{NearestAnalytics, NearestEvents, ReplicaUse};
use crate::set::Set;

/// The embedded database in the data directory.
const SQLITE_FILE: &str = "vayro.db";
/// The embedded click stream in the data directory.
const CLICKS_FOLDER: &str = "clicks";
/// The edge's spool in the data directory.
const SPOOL_FOLDER: &str = "spool";
/// The edge's own count of clicks in the data directory.
const LEDGER_FOLDER: &str = "ledger";
/// The edge's links in the data directory.
const SNAPSHOT_FILE: &str = "links.jsonl";
/// Pause between two tries to open the spool of a process that is ending, and after one that failed.
const TAKE_OVER_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Pause between two tries to reach a Redis that is starting.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What a process does; decides which files it locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// Only tools: migrations, accounts, a look at the state. Locks nothing.
    pub const TOOLS: Self = Self(0);
    /// Answers redirects and hands in clicks; owns the spool.
    pub const EDGE: Self = Self(1);
    /// Serves the API.
    pub const API: Self = Self(2);
    /// Takes clicks out of the stream.
    pub const WORKER: Self = Self(4);
    /// Everything in one process.
    pub const ALL: Self = Self(7);

    /// Tells whether all of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Roles {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Why the back-end set could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A part of it is away or refuses us.
    #[error("cannot connect to {part}")]
    Refused {
        /// `PostgreSQL`, `Redis`, `SQLite`, `the click stream` or `the spool`.
        part: &'static str,
        /// Its words.
        #[source]
        source: BoxError,
    },
    /// A part of it did not answer within `backend.connect_timeout`.
    #[error("{part} did not answer within {} ms", after.as_millis())]
    TimedOut {
        /// As above.
        part: &'static str,
        /// The limit.
        after: Duration,
    },
}

/// A successor cannot share the embedded set with the process that it is to follow.
#[derive(Debug, thiserror::Error)]
#[error("the embedded set belongs to one process, which cannot hand over; restart it")]
struct OneProcess;

impl ConnectError {
    fn refused(part: &'static str, error: impl Into<BoxError>) -> Self {
        Self::Refused { part, source: error.into() }
    }
}

impl Backends {
    /// Connects everything that `roles` need. In the embedded set only one process can have a role, and
    /// any number can be tools beside it.
    ///
    /// An edge alone starts also while PostgreSQL or Redis is away, since it can serve links from the
    /// other one and keep clicks in its spool; everybody else needs all parts.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] names the part that is away; nothing stays open then.
    pub async fn connect(config: &BackendConfig, roles: Roles) -> Result<Self, ConnectError> {
        match config {
            BackendConfig::Clustered(config) => clustered(config, roles, DataDir::Free).await,
            BackendConfig::Embedded(config) => embedded(config, roles).await,
        }
    }

    /// Connects an edge that takes over from one that still runs on the same data directory. The spool and the count
    /// of clicks that lie there become its own when the other one ends; until then clicks that the stream does not
    /// take stay in memory.
    ///
    /// # Errors
    ///
    /// As [`Backends::connect`]; the embedded set is refused, since only one process can have it.
    pub async fn succeed(config: &BackendConfig) -> Result<Self, ConnectError> {
        match config {
            BackendConfig::Clustered(config) => clustered(config, Roles::EDGE, DataDir::StillInUse).await,
            BackendConfig::Embedded(_) => Err(ConnectError::refused("the click stream", OneProcess)),
        }
    }
}

/// Who has the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DataDir {
    Free,
    StillInUse,
}

async fn clustered(
    config: &ClusteredConfig,
    roles: Roles,
    data_dir: DataDir,
) -> Result<Backends, ConnectError> {
    let postgres = connect_postgres(&config.postgres, roles).await?;
    let replica = replica(config, &postgres)?;
    let redis = connect_redis(config, roles).await?;
    let name: Arc<str> = process_name().into();

    let stream_end: Arc<dyn ClickSink> = Arc::new(RedisClickSink::new(&redis));
    let spill = roles.contains(Roles::EDGE).then(|| {
        let options = SpillingOptions {
            append_timeout: config.spool.append_timeout,
            drain_rate: config.spool.drain_rate,
        };
        Arc::new(SpillingSink::without_spool(Arc::clone(&stream_end), options))
    });
    let spool = spool_options(&config.data_dir, SPOOL_FOLDER, config.spool);
    let ledger_file = match (&spill, data_dir) {
        (None, _) => no_ledger_file(),
        (Some(spill), DataDir::Free) => {
            let spool =
                Spool::open(spool).await.map_err(|error| ConnectError::refused("the spool", error))?;
            spill.attach(spool);
            // After the spool, whose lock keeps other processes out of the directory.
            kept_or_not(DiskLedger::open(config.data_dir.join(LEDGER_FOLDER), &name).map(Arc::new))
        }
        (Some(spill), DataDir::StillInUse) => {
            let ledger = DiskLedger::beside_another(config.data_dir.join(LEDGER_FOLDER), &name).map(Arc::new);
            tokio::spawn(take_over(Arc::clone(spill), spool, ledger.as_ref().ok().cloned()));
            kept_or_not(ledger)
        }
    };
    let sink = spill.clone().map_or(stream_end, |spill| spill);

    let stores = Arc::new(postgres.clone());
    let guarded = guarded(stores.clone(), config.lookup);
    Ok(Backends {
        users: stores.clone(),
        workspaces: stores.clone(),
        domains: stores.clone(),
        certificates: stores.clone(),
        issuer: stores.clone(),
        served: stores.clone(),
        tickets: stores.clone(),
        keys: stores.clone(),
        sessions: stores.clone(),
        audit: stores.clone(),
        links: stores.clone(),
        idempotency: stores.clone(),
        outbox: stores.clone(),
        analytics: nearest(&postgres, replica.as_ref()),
        events: events(&postgres, replica.as_ref()),
        shares: stores.clone(),
        rollups: stores.clone(),
        amendments: stores.clone(),
        click_rows: stores.clone(),
        ledger: stores.clone(),
        purges: stores.clone(),
        retention: stores.clone(),
        database: stores,
        lookup: Arc::new(RedisLookup::new(&redis, guarded)),
        shared_cache: Some(Arc::new(RedisCachedLinks::new(&redis))),
        publisher: Arc::new(RedisPublisher::new(&redis)),
        sink,
        stream: Arc::new(RedisClickStream::new(&redis, &*name)),
        visits: Arc::new(RedisRecentVisits::new(&redis)),
        dead_letters: Arc::new(RedisDeadLetters::new(&redis)),
        reports: Arc::new(RedisEdgeReports::new(&redis)),
        ledger_file,
        snapshot_file: roles.contains(Roles::EDGE).then(|| config.data_dir.join(SNAPSHOT_FILE)),
        limits: Arc::new(RedisRateLimiter::new(&redis)),
        drainer: Arc::new(Drainer::default()),
        set: Arc::new(Set::Clustered { postgres, replica, redis, spill }),
        name,
    })
}

/// Answers questions about clicks from what is ready, and the rest from the rows.
fn rolled_up<S: RollupStore + AnalyticsStore + 'static>(stores: S) -> Arc<dyn AnalyticsStore> {
    Arc::new(RolledUpAnalytics::new(stores, Arc::new(clock::now)))
}

/// Answers questions about clicks from the replica while it is near.
fn nearest(primary: &PgStores, usage: Option<&ReplicaUse>) -> Arc<dyn AnalyticsStore> {
    let primary = rolled_up(primary.clone());
    match usage {
        None => primary,
        Some(usage) => Arc::new(NearestAnalytics {
            replica: rolled_up(usage.stores().clone()),
            primary,
            usage: usage.clone(),
        }),
    }
}

/// Lists clicks from the replica while it is near.
fn events(primary: &PgStores, usage: Option<&ReplicaUse>) -> Arc<dyn EventStore> {
    match usage {
        None => Arc::new(primary.clone()),
        Some(usage) => Arc::new(NearestEvents {
            replica: usage.stores().clone(),
            primary: primary.clone(),
            usage: usage.clone(),
        }),
    }
}

/// The replica, if there is one. Nobody waits for it: while it is away the primary answers.
fn replica(config: &ClusteredConfig, primary: &PgStores) -> Result<Option<ReplicaUse>, ConnectError> {
    let Some(replica) = &config.replica else { return Ok(None) };
    let opened = PgReplica::open(primary, &config.postgres, replica);
    let replica = opened.map_err(|error| ConnectError::refused("the replica of PostgreSQL", error))?;
    Ok(Some(ReplicaUse::new(replica)))
}

/// Waits for a PostgreSQL that is still starting. An edge alone goes on without one.
async fn connect_postgres(config: &PostgresConfig, roles: Roles) -> Result<PgStores, ConnectError> {
    use vayro_postgres::ConnectError as Cause;
    let refused = |error| ConnectError::refused("PostgreSQL", error);
    match PgStores::connect(config).await {
        Err(error @ Cause::Unavailable(_)) if roles == Roles::EDGE => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "starting without PostgreSQL: links come from Redis");
            PgStores::open(config).map_err(refused)
        }
        connected => connected.map_err(refused),
    }
}

/// Waits for a Redis that is still starting. An edge alone goes on without one.
async fn connect_redis(config: &ClusteredConfig, roles: Roles) -> Result<RedisClient, ConnectError> {
    use vayro_redis::ConnectError as Cause;
    let deadline = Instant::now() + config.connect_timeout;
    loop {
        let error = match timeout_at(deadline, RedisClient::connect(&config.redis)).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(Cause::Unreachable(error))) if Instant::now() + RETRY_PAUSE < deadline => {
                tracing::debug!(error = %error, "Redis cannot be reached yet");
                sleep(RETRY_PAUSE).await;
                continue;
            }
            Ok(Err(error @ Cause::Unreachable(_))) => ConnectError::refused("Redis", error),
            Ok(Err(error)) => return Err(ConnectError::refused("Redis", error)),
            Err(_) => ConnectError::TimedOut { part: "Redis", after: config.connect_timeout },
        };
        if roles != Roles::EDGE {
            return Err(error);
        }
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "starting without Redis: links come from the database, clicks go to the spool");
        return RedisClient::open(&config.redis).map_err(|error| ConnectError::refused("Redis", error));
    }
}

async fn embedded(config: &EmbeddedConfig, roles: Roles) -> Result<Backends, ConnectError> {
    let options = SqliteOptions { busy_timeout: config.connect_timeout, ..SqliteOptions::default() };
    let open = SqliteStores::open_with(config.data_dir.join(SQLITE_FILE), options);
    let sqlite = timeout(config.connect_timeout, open)
        .await
        .map_err(|_| ConnectError::TimedOut { part: "SQLite", after: config.connect_timeout })?
        .map_err(|error| ConnectError::refused("SQLite", error))?;
    let name: Arc<str> = process_name().into();
    let clicks = if roles == Roles::TOOLS {
        None
    } else {
        let options = spool_options(&config.data_dir, CLICKS_FOLDER, config.spool);
        match EmbeddedClicks::open(options, &name).await {
            Ok(clicks) => Some(clicks),
            Err(error) => {
                sqlite.close().await;
                return Err(ConnectError::refused("the click stream", error));
            }
        }
    };

    let ledger_file = if roles.contains(Roles::EDGE) {
        kept_or_not(DiskLedger::open(config.data_dir.join(LEDGER_FOLDER), &name).map(Arc::new))
    } else {
        no_ledger_file()
    };
    let stores = Arc::new(sqlite.clone());
    let broadcast = Arc::new(LocalBroadcast::default());
    let backends = Backends {
        users: stores.clone(),
        workspaces: stores.clone(),
        domains: stores.clone(),
        certificates: stores.clone(),
        issuer: stores.clone(),
        served: stores.clone(),
        tickets: stores.clone(),
        keys: stores.clone(),
        sessions: stores.clone(),
        audit: stores.clone(),
        links: stores.clone(),
        idempotency: stores.clone(),
        outbox: stores.clone(),
        analytics: rolled_up(sqlite.clone()),
        events: stores.clone(),
        shares: stores.clone(),
        rollups: stores.clone(),
        amendments: stores.clone(),
        click_rows: stores.clone(),
        ledger: stores.clone(),
        purges: stores.clone(),
        retention: stores.clone(),
        lookup: guarded(stores.clone(), config.lookup),
        database: stores,
        shared_cache: None,
        publisher: broadcast.clone(),
        sink: Arc::new(ClosedClicks),
        stream: Arc::new(ClosedClicks),
        visits: Arc::new(LocalVisits::default()),
        dead_letters: Arc::new(ClosedClicks),
        reports: Arc::new(LocalReports::default()),
        ledger_file,
        snapshot_file: None,
        limits: Arc::new(LocalLimits::default()),
        drainer: Arc::new(Drainer::default()),
        set: Arc::new(Set::Embedded { sqlite, clicks: clicks.clone(), broadcast }),
        name,
    };
    Ok(match clicks {
        None => backends,
        Some(clicks) => Backends {
            sink: Arc::new(clicks.sink()),
            stream: Arc::new(clicks.stream()),
            dead_letters: Arc::new(clicks.dead_letters()),
            ..backends
        },
    })
}

fn guarded(database: Arc<dyn LinkLookup>, limits: LookupConfig) -> Arc<dyn LinkLookup> {
    Arc::new(GuardedLookup::new(database, limits))
}

fn no_ledger_file() -> Arc<dyn LedgerFile> {
    Arc::new(NoLedgerFile)
}

/// Goes on without the ledger of a process that accepts clicks if there is none. A disk that refuses must not keep
/// the edge from serving; what it counts is then lost with it.
fn kept_or_not(ledger: io::Result<Arc<DiskLedger>>) -> Arc<dyn LedgerFile> {
    match ledger {
        Ok(ledger) => ledger,
        Err(error) => {
            tracing::error!(error = %error, "the count of accepted clicks is kept in memory only: {error}");
            no_ledger_file()
        }
    }
}

/// Waits until the process before lets go of its data directory, and takes over what lies there.
async fn take_over(spill: Arc<SpillingSink>, options: SpoolOptions, ledger: Option<Arc<DiskLedger>>) {
    let spool = loop {
        match Spool::open(options.clone()).await {
            Ok(spool) => break spool,
            Err(SpoolError::Locked(_)) => sleep(TAKE_OVER_PAUSE.0).await,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the spool cannot be opened");
                sleep(TAKE_OVER_PAUSE.1).await;
            }
        }
    };
    spill.attach(spool);
    if let Some(ledger) = ledger
        && let Err(error) = ledger.take_over()
    {
        tracing::error!(error = %error, "counts of clicks of earlier starts cannot be read: {error}");
    }
    tracing::info!("the data directory of the edge before is ours");
}

fn spool_options(data_dir: &Path, folder: &str, config: SpoolConfig) -> SpoolOptions {
    SpoolOptions {
        dir: data_dir.join(folder),
        segment_bytes: config.segment_bytes,
        bytes_max: config.bytes_max,
        sync_every: config.sync_every,
        clock: clock::now,
    }
}
