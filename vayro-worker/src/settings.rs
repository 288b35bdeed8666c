//! What can be configured about the worker. `config/vayro.toml` has the defaults and the reasons.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::enrich::EnrichConfig;

/// The settings of one worker, checked.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Address of health, readiness and metrics; `None` if somebody else serves them.
    pub admin: Option<SocketAddr>,
    /// Most clicks in one batch and one transaction.
    pub batch_max: NonZeroUsize,
    /// How long one read waits for the first click.
    pub batch_wait: Duration,
    /// How long clicks gather after a batch that was not full.
    pub linger: Duration,
    /// Batches in memory at a time.
    pub batches_in_flight: usize,
    /// Batches enriched at a time.
    pub enrich_threads: usize,
    /// Batches written at a time.
    pub writers: usize,
    /// How long the batches in hand may take once stopping is asked for.
    pub stop_timeout: Duration,
    /// How long a click may be held by a worker before another one takes it over.
    pub reclaim_idle: Duration,
    /// How often such clicks are looked for.
    pub reclaim_every: Duration,
    /// How often settled clicks are removed from the stream.
    pub trim_every: Duration,
    /// How long settled clicks stay in the stream.
    pub trim_window: Duration,
    /// How often partitions are made and old data is removed.
    pub housekeeping_every: Duration,
    /// How long a deleted link can be restored.
    pub restore_window: Duration,
    /// How long the salt of visitors' pseudonyms is kept.
    pub salt_retention: Duration,
    /// How often the GeoIP file is looked at.
    pub geoip_poll: Duration,
    /// How clicks are enriched.
    pub enrich: EnrichConfig,
}

impl Default for WorkerSettings {
    /// The defaults of `config/vayro.toml`, without an admin listener.
    fn default() -> Self {
        Self {
            admin: None,
            batch_max: NonZeroUsize::new(1000).expect("not zero"),
            batch_wait: Duration::from_secs(1),
            linger: Duration::from_millis(50),
            batches_in_flight: 6,
            enrich_threads: 2,
            writers: 2,
            stop_timeout: Duration::from_secs(10),
            reclaim_idle: Duration::from_secs(60),
            reclaim_every: Duration::from_secs(15),
            trim_every: Duration::from_secs(5),
            trim_window: Duration::from_secs(30 * 60),
            housekeeping_every: Duration::from_secs(60 * 60),
            restore_window: Duration::from_secs(30 * 86_400),
            salt_retention: Duration::from_secs(72 * 3_600),
            geoip_poll: Duration::from_secs(10),
            enrich: EnrichConfig::default(),
        }
    }
}
