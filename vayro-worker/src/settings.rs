//! What can be configured about the worker. `config/vayro.toml` has the defaults and the reasons.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use vayro_backends::config::{Acme, AcmeConfig, ConfigErrors, InstanceSettings, Layers, Span, retention};
use vayro_core::host::Host;
use vayro_core::retention::Retention;

use crate::enrich::{AddressPolicy, EXCLUDED_ADDRESSES_MAX, EnrichConfig, Network};

/// Most clicks in one batch; the memory is made for no more.
const BATCH_MAX: usize = 100_000;
/// Most batches in memory.
const IN_FLIGHT_MAX: usize = 256;
/// Longest window of repeats; marks are kept in memory for so long.
const REPEAT_WINDOW_MAX: Duration = Duration::from_hours(24);
/// Most threads and connections.
const PARALLEL_MAX: usize = 64;
/// Most entries of a cache.
const CACHE_MAX: usize = 10_000_000;

/// Section `[worker]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerSection {
    #[serde(default)]
    admin: Option<SocketAddr>,
    batch_max: NonZeroUsize,
    batch_wait: Span,
    linger: Span,
    batches_in_flight: usize,
    enrich_threads: usize,
    writers: usize,
    stop_timeout: Span,
    reclaim_idle: Span,
    reclaim_every: Span,
    trim_every: Span,
    trim_window: Span,
    housekeeping_every: Span,
    restore_window: Span,
    salt_retention: Span,
    ip: AddressPolicy,
    excluded_addresses: Vec<Network>,
    repeat_window: Span,
    user_agents_max: usize,
    #[serde(default)]
    user_agent_rules: Option<PathBuf>,
    #[serde(default)]
    bot_rules: Option<PathBuf>,
}

/// Section `[geoip]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GeoIpSection {
    #[serde(default)]
    file: Option<PathBuf>,
    poll: Span,
    places_max: usize,
}

/// What other sections say.
struct Rest {
    retention: Retention,
    acme: Acme,
    default_host: Host,
}

/// The settings of one worker, complete and valid.
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
    /// How long clicks and rollups are kept.
    pub retention: Retention,
    /// How long after a counted visit another one of the same visitor to the same link is a repeat; zero if
    /// never.
    pub repeat_window: Duration,
    /// How often the GeoIP file is looked at.
    pub geoip_poll: Duration,
    /// How clicks are enriched.
    pub enrich: EnrichConfig,
    /// How certificates are issued, if they are.
    pub acme: Option<Arc<AcmeConfig>>,
    /// The host of the default domain, which gets one too.
    pub default_host: Host,
}

impl WorkerSettings {
    /// Reads and checks the sections `[worker]`, `[geoip]`, `[retention]` and `[acme]`; mistakes go to `errors`.
    pub fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        // All are read before giving up, so that the mistakes of all are reported.
        let (worker, geoip) = (layers.section("worker", errors), layers.section("geoip", errors));
        let retention = retention(layers, errors);
        let acme = Acme::read(layers, errors);
        let instance = InstanceSettings::read(layers, errors);
        let (worker, geoip): (WorkerSection, GeoIpSection) = (worker?, geoip?);
        let mut is_sound = true;
        let mut check = |key: &str, holds: bool, message: &str| {
            if !holds {
                layers.reject(key, message, errors);
                is_sound = false;
            }
        };
        let is_long = |span: Span| span.get() >= Duration::from_millis(100);
        check("worker.batch_max", worker.batch_max.get() <= BATCH_MAX, "must be at most 100000");
        check(
            "worker.batches_in_flight",
            (2..=IN_FLIGHT_MAX).contains(&worker.batches_in_flight),
            "must be 2 to 256",
        );
        check("worker.enrich_threads", worker.enrich_threads <= PARALLEL_MAX, "must be at most 64");
        check("worker.writers", (1..=PARALLEL_MAX).contains(&worker.writers), "must be 1 to 64");
        check("worker.batch_wait", is_long(worker.batch_wait), "must be at least 100ms");
        check(
            "worker.excluded_addresses",
            worker.excluded_addresses.len() <= EXCLUDED_ADDRESSES_MAX,
            "must be at most 10000 networks",
        );
        check("worker.repeat_window", worker.repeat_window.get() <= REPEAT_WINDOW_MAX, "must be at most 24h");
        check("worker.linger", worker.linger.get() <= Duration::from_secs(10), "must be at most 10s");
        check("worker.reclaim_idle", is_long(worker.reclaim_idle), "must be at least 100ms");
        check("worker.reclaim_every", is_long(worker.reclaim_every), "must be at least 100ms");
        check("worker.trim_every", is_long(worker.trim_every), "must be at least 100ms");
        check("worker.housekeeping_every", is_long(worker.housekeeping_every), "must be at least 100ms");
        check("geoip.poll", is_long(geoip.poll), "must be at least 100ms");
        check(
            "worker.user_agents_max",
            (1..=CACHE_MAX).contains(&worker.user_agents_max),
            "must be 1 to 10000000",
        );
        check("geoip.places_max", (1..=CACHE_MAX).contains(&geoip.places_max), "must be 1 to 10000000");
        let (retention, acme, instance) = (retention?, acme?, instance?);
        let rest = Rest { retention, acme, default_host: instance.default_host() };
        is_sound.then(|| Self::from_sections(worker, geoip, rest))
    }

    fn from_sections(worker: WorkerSection, geoip: GeoIpSection, rest: Rest) -> Self {
        Self {
            admin: worker.admin,
            batch_max: worker.batch_max,
            batch_wait: worker.batch_wait.get(),
            linger: worker.linger.get(),
            batches_in_flight: worker.batches_in_flight,
            enrich_threads: match worker.enrich_threads {
                0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(PARALLEL_MAX),
                threads => threads,
            },
            writers: worker.writers,
            stop_timeout: worker.stop_timeout.get(),
            reclaim_idle: worker.reclaim_idle.get(),
            reclaim_every: worker.reclaim_every.get(),
            trim_every: worker.trim_every.get(),
            trim_window: worker.trim_window.get(),
            housekeeping_every: worker.housekeeping_every.get(),
            restore_window: worker.restore_window.get(),
            salt_retention: worker.salt_retention.get(),
            retention: rest.retention,
            acme: rest.acme.on().cloned(),
            default_host: rest.default_host,
            repeat_window: worker.repeat_window.get(),
            geoip_poll: geoip.poll.get(),
            enrich: EnrichConfig {
                ip: worker.ip,
                excluded: worker.excluded_addresses.into_iter().collect(),
                user_agent_rules: worker.user_agent_rules,
                bot_rules: worker.bot_rules,
                user_agents_max: worker.user_agents_max,
                geoip_file: geoip.file,
                places_max: geoip.places_max,
            },
        }
    }
}

impl Default for WorkerSettings {
    /// The defaults of `config/vayro.toml`.
    fn default() -> Self {
        Layers::load(None, std::iter::empty(), &[])
            .ok()
            .and_then(|layers| Self::read(&layers, &mut layers.errors()))
            .expect("the defaults are compiled in and tested")
    }
}

#[cfg(test)]
mod tests {
    use vayro_core::visits::MARK_SLACK;

    use super::*;

    fn read(flags: &[(&str, &str)]) -> Result<WorkerSettings, ConfigErrors> {
        let flags: Vec<(&str, String)> =
            flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let layers = Layers::load(None, std::iter::empty(), &flags)?;
        let mut errors = layers.errors();
        let settings = WorkerSettings::read(&layers, &mut errors);
        errors.finish()?;
        Ok(settings.expect("no mistakes"))
    }

    #[test]
    fn defaults_are_valid() {
        let settings = WorkerSettings::default();
        assert_eq!(settings.batch_max.get(), 50_000);
        assert!(settings.enrich_threads >= 1);
        assert_eq!(settings.enrich.geoip_file, None);
        assert_eq!(settings.enrich.bot_rules, None);
        assert_eq!(settings.salt_retention, Duration::from_secs(3 * 86_400));
        assert_eq!(settings.repeat_window, Duration::from_secs(10));
        // Clicks of a dead worker meet their own marks.
        assert!(MARK_SLACK > settings.reclaim_idle + settings.reclaim_every);
        assert!(settings.reclaim_idle >= 3 * settings.batch_wait);
    }

    #[test]
    fn settings_are_read() {
        let settings = read(&[
            ("worker.admin", ""),
            ("worker.ip", "none"),
            ("worker.enrich_threads", "3"),
            ("worker.excluded_addresses", "192.0.2.0/24, 2001:db8::1"),
            ("geoip.file", "/data/city.mmdb"),
        ])
        .expect("valid");
        assert_eq!(settings.admin, None);
        assert_eq!(settings.enrich.ip, AddressPolicy::None);
        assert_eq!(settings.enrich_threads, 3);
        assert!(settings.enrich.excluded.contains([192, 0, 2, 7].into()));
        assert!(!settings.enrich.excluded.contains([198, 51, 100, 7].into()));
        assert_eq!(settings.enrich.geoip_file, Some("/data/city.mmdb".into()));
    }

    #[test]
    fn every_mistake_is_told() {
        let errors = read(&[
            ("worker.ip", "all"),
            ("worker.batch_max", "0"),
            ("worker.excluded_addresses", "192.0.2.0/24, the office"),
            ("geoip.poll", "often"),
        ])
        .expect_err("four mistakes");
        let keys: Vec<&str> = errors.mistakes().iter().map(|mistake| mistake.key.as_str()).collect();
        for key in ["worker.ip", "worker.batch_max", "worker.excluded_addresses", "geoip.poll"] {
            assert!(keys.contains(&key), "{errors}");
        }
        let errors =
            read(&[("worker.writers", "0"), ("worker.reclaim_idle", "1ms"), ("worker.repeat_window", "25h")])
                .expect_err("three mistakes");
        assert_eq!(errors.mistakes().len(), 3, "{errors}");
    }
}
