//! Which back-end set runs, and everything that it needs: complete and valid, or not there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use vayro_postgres::{PostgresConfig, ReplicaConfig};
use vayro_redis::RedisConfig;

use super::{ConfigErrors, Layers, Size, Span};

/// Which back-end set runs; a half-configured one cannot be written down.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum BackendConfig {
    /// PostgreSQL and Redis; any number of processes.
    Clustered(ClusteredConfig),
    /// One SQLite file and a segment log; one process.
    Embedded(EmbeddedConfig),
}

/// What the clustered set needs.
#[derive(Clone, Debug)]
pub struct ClusteredConfig {
    /// The database.
    pub postgres: PostgresConfig,
    /// A replica of it that answers questions about clicks.
    pub replica: Option<ReplicaConfig>,
    /// Cache, click stream and messages.
    pub redis: RedisConfig,
    /// How clicks are kept on disk while Redis is away.
    pub spool: SpoolConfig,
    /// How look-ups spare the database.
    pub lookup: LookupConfig,
    /// Directory of the edge's spool.
    pub data_dir: PathBuf,
    /// How long start-up waits for Redis.
    pub connect_timeout: Duration,
}

/// What the embedded set needs.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Directory of the database and the click stream.
    pub data_dir: PathBuf,
    /// How the click stream is kept on disk.
    pub spool: SpoolConfig,
    /// How look-ups spare the database.
    pub lookup: LookupConfig,
    /// How long opening the database may take.
    pub connect_timeout: Duration,
}

/// How clicks are kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Bytes of one segment file.
    pub segment_bytes: u64,
    /// Most bytes on disk.
    pub bytes_max: u64,
    /// How often written clicks are forced to the disk; zero means at every batch.
    pub sync_every: Duration,
    /// How long the stream may take for one batch before the batch is spooled.
    pub append_timeout: Duration,
    /// Spooled clicks per second fed back to the stream.
    pub drain_rate: u32,
}

/// How look-ups spare the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupConfig {
    /// Look-ups at one time.
    pub concurrency: usize,
    /// How long one waits for its turn.
    pub wait: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Failures in a row that open the circuit.
    pub failures: u32,
    /// How long the circuit stays open before one look-up tries again.
    pub pause: Duration,
}

/// `[backend]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackendSection {
    set: BackendSet,
    data_dir: PathBuf,
    connect_timeout: Span,
    lookup_concurrency: u16,
    lookup_wait: Span,
    lookup_timeout: Span,
    lookup_failures: u32,
    lookup_pause: Span,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BackendSet {
    Embedded,
    Clustered,
}

/// `[postgres]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostgresSection {
    url: Option<SecretString>,
    connections: u16,
    acquire_timeout: Span,
    statement_timeout: Span,
    lock_timeout: Span,
    replica_url: Option<SecretString>,
    replica_lag_max: Span,
}

/// `[redis]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedisSection {
    url: Option<SecretString>,
    root_certificates: Option<PathBuf>,
    connect_timeout: Span,
    response_timeout: Span,
    lookup_timeout: Span,
}

/// `[spool]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpoolSection {
    segment_size: Size,
    size_max: Size,
    sync_every: Span,
    append_timeout: Span,
    drain_rate: u32,
}

/// Smallest segment: larger than the largest record with room to spare.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// Largest segment; disk is given back in whole segments, and one is scanned at start.
const SEGMENT_BYTES_MAX: u64 = 1 << 28;

fn check_sizes(spool: &SpoolSection, reject: &mut impl FnMut(bool, &str, &str)) {
    let segment_bytes = spool.segment_size.bytes();
    reject(
        !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment_bytes),
        "spool.segment_size",
        "must lie between 1MiB and 256MiB",
    );
    reject(
        spool.size_max.bytes() < segment_bytes.saturating_mul(2),
        "spool.size_max",
        "must hold at least two segments of `spool.segment_size`",
    );
}

impl BackendConfig {
    /// Returns where processes keep files of their own.
    pub fn data_dir(&self) -> &Path {
        match self {
            Self::Clustered(config) => &config.data_dir,
            Self::Embedded(config) => &config.data_dir,
        }
    }

    /// Reads `[backend]`, `[postgres]`, `[redis]` and `[spool]`; mistakes go to `errors`, and then the
    /// result is `None`.
    pub fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        let before = errors.mistakes().len();
        // Each is read before any is needed, so that the mistakes of all of them are found.
        let backend = layers.section::<BackendSection>("backend", errors);
        let postgres = layers.section::<PostgresSection>("postgres", errors);
        let redis = layers.section::<RedisSection>("redis", errors);
        let spool = layers.section::<SpoolSection>("spool", errors);
        let (backend, postgres, redis, spool) = (backend?, postgres?, redis?, spool?);

        let mut reject = |is_bad: bool, key: &str, message: &str| {
            if is_bad {
                layers.reject(key, message, errors);
            }
        };
        let is_clustered = backend.set == BackendSet::Clustered;
        let needed = "is needed because `backend.set` is `clustered`";
        reject(is_clustered && postgres.url.is_none(), "postgres.url", needed);
        reject(is_clustered && redis.url.is_none(), "redis.url", needed);
        if let Some(url) = redis.url.clone().filter(|_| is_clustered)
            && let Err(error) = RedisConfig::new(url).check()
        {
            reject(true, "redis.url", &error.to_string());
        }
        let positive = "must be more than zero";
        reject(backend.lookup_concurrency == 0, "backend.lookup_concurrency", positive);
        reject(backend.lookup_failures == 0, "backend.lookup_failures", positive);
        reject(postgres.connections == 0, "postgres.connections", positive);
        reject(spool.drain_rate == 0, "spool.drain_rate", positive);
        for (key, span) in [
            ("backend.connect_timeout", backend.connect_timeout),
            ("backend.lookup_timeout", backend.lookup_timeout),
            ("postgres.acquire_timeout", postgres.acquire_timeout),
            ("postgres.statement_timeout", postgres.statement_timeout),
            ("postgres.lock_timeout", postgres.lock_timeout),
            ("postgres.replica_lag_max", postgres.replica_lag_max),
            ("redis.connect_timeout", redis.connect_timeout),
            ("redis.response_timeout", redis.response_timeout),
            ("redis.lookup_timeout", redis.lookup_timeout),
            ("spool.append_timeout", spool.append_timeout),
        ] {
            reject(span.get().is_zero(), key, positive);
        }
        check_sizes(&spool, &mut reject);
        let root_certificates = redis.root_certificates.as_deref().map(std::fs::read).transpose();
        let root_certificates = root_certificates.unwrap_or_else(|error| {
            reject(true, "redis.root_certificates", &format!("cannot be read: {error}"));
            None
        });
        if errors.mistakes().len() > before {
            return None;
        }

        let lookup = LookupConfig {
            concurrency: backend.lookup_concurrency.into(),
            wait: backend.lookup_wait.get(),
            timeout: backend.lookup_timeout.get(),
            failures: backend.lookup_failures,
            pause: backend.lookup_pause.get(),
        };
        let spool = SpoolConfig {
            segment_bytes: spool.segment_size.bytes(),
            bytes_max: spool.size_max.bytes(),
            sync_every: spool.sync_every.get(),
            append_timeout: spool.append_timeout.get(),
            drain_rate: spool.drain_rate,
        };
        let (data_dir, connect_timeout) = (backend.data_dir, backend.connect_timeout.get());
        Some(match backend.set {
            BackendSet::Embedded => {
                Self::Embedded(EmbeddedConfig { data_dir, spool, lookup, connect_timeout })
            }
            BackendSet::Clustered => Self::Clustered(ClusteredConfig {
                postgres: PostgresConfig {
                    url: postgres.url?,
                    connections: postgres.connections.into(),
                    connect_timeout,
                    acquire_timeout: postgres.acquire_timeout.get(),
                    statement_timeout: postgres.statement_timeout.get(),
                    lock_timeout: postgres.lock_timeout.get(),
                },
                replica: postgres
                    .replica_url
                    .map(|url| ReplicaConfig { url, lag_max: postgres.replica_lag_max.get() }),
                redis: RedisConfig {
                    url: redis.url?,
                    root_certificates,
                    connect_timeout: redis.connect_timeout.get(),
                    response_timeout: redis.response_timeout.get(),
                    lookup_timeout: redis.lookup_timeout.get(),
                },
                spool,
                lookup,
                data_dir,
                connect_timeout,
            }),
        })
    }
}
