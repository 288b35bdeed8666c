//! What the worker counts, in Prometheus' text format.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use vayro_core::certificate::{CertificateRecord, CertificateState};
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::ports::WriteOutcome;
use vayro_core::stream::DeadReason;
use vayro_core::timestamp::Timestamp;

use crate::enrich::{Enricher, GeoIpStatus};
use crate::ingest::Pipeline;

/// Upper bounds of the histograms of durations, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Upper bounds of the histogram of delays, in seconds.
const LAG_SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0, 300.0, 3600.0];
/// Upper bounds of the histogram of batch sizes.
const CLICKS: [f64; 8] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0];

/// The counters of one worker.
pub(crate) struct Metrics {
    registry: Registry,
    clicks_read: IntCounter,
    clicks_written: IntCounterVec,
    clicks_duplicate: IntCounter,
    batch_clicks: Histogram,
    dead_letters: IntCounterVec,
    pub(crate) lag_seconds: Histogram,
    pub(crate) enrich_seconds: Histogram,
    pub(crate) repeats_seconds: Histogram,
    pub(crate) write_seconds: Histogram,
    pub(crate) database_retries: IntCounter,
    pub(crate) stream_retries: IntCounter,
    pub(crate) reclaimed: IntCounter,
    pub(crate) trimmed: IntCounter,
    pub(crate) geoip_failures: IntCounter,
    in_flight: IntGauge,
    shards: IntGauge,
    database_up: IntGauge,
    stream_up: IntGauge,
    geoip_loaded: IntGauge,
    geoip_built: IntGauge,
    agents_read: IntGauge,
    agents_remembered: IntGauge,
    pub(crate) certificates: Arc<CertificateMetrics>,
}

/// What an issuer of certificates counts.
pub(crate) struct CertificateMetrics {
    states: IntGaugeVec,
    expiring: IntGaugeVec,
    orders: IntCounterVec,
}

/// Times until certificates end that are told apart; each counts what ends sooner too.
const EXPIRY: [(&str, Duration); 4] = [
    ("0d", Duration::ZERO),
    ("1d", Duration::from_hours(24)),
    ("7d", Duration::from_hours(7 * 24)),
    ("30d", Duration::from_hours(30 * 24)),
];

impl CertificateMetrics {
    fn new(r: &Registry) -> Self {
        let metrics = Self {
            states: gauges(r, "certificates", "Names that are to have a certificate by state", "state"),
            expiring: gauges(
                r,
                "certificates_expiring",
                "Certificates that end within this time, those that have ended included",
                "within",
            ),
            orders: counters(
                r,
                "certificate_orders_total",
                "Tries to get a certificate by result; unavailable: the ACME server, not the name, was at fault",
                "result",
            ),
        };
        for result in ["issued", "failed", "unavailable"] {
            metrics.orders.with_label_values(&[result]).reset();
        }
        metrics.survey(&[], Timestamp::EPOCH);
        metrics
    }

    /// Takes over how far all certificates are.
    pub(crate) fn survey(&self, records: &[CertificateRecord], now: Timestamp) {
        for state in CertificateState::ALL.into_iter().filter(|state| *state != CertificateState::None) {
            let count = records.iter().filter(|record| record.state(now) == state).count();
            self.states.with_label_values(&[state.as_str()]).set(whole(count));
        }
        for (within, time) in EXPIRY {
            let ends = |record: &&CertificateRecord| {
                record.validity.is_some_and(|validity| validity.not_after <= now.plus(time))
            };
            self.expiring.with_label_values(&[within]).set(whole(records.iter().filter(ends).count()));
        }
    }

    /// Counts a certificate that was issued.
    pub(crate) fn issued(&self) {
        self.orders.with_label_values(&["issued"]).inc();
    }

    /// Counts a try that came to nothing, with its result.
    pub(crate) fn failed(&self, result: &str) {
        self.orders.with_label_values(&[result]).inc();
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let r = Registry::new();
        let metrics = Self {
            clicks_read: counter(&r, "clicks_read_total", "Clicks handed to this worker for the first time"),
            clicks_written: counters(
                &r,
                "clicks_written_total",
                "Clicks written by class, those written before included",
                "class",
            ),
            clicks_duplicate: counter(&r, "clicks_duplicate_total", "Clicks that were stored already"),
            batch_clicks: histogram(&r, "batch_clicks", "Clicks in one batch", &CLICKS),
            dead_letters: counters(&r, "dead_letters_total", "Clicks put aside by reason", "reason"),
            lag_seconds: histogram(
                &r,
                "lag_seconds",
                "From a redirect to its row, for the newest click of each write",
                &LAG_SECONDS,
            ),
            enrich_seconds: histogram(&r, "enrich_seconds", "Time to enrich one batch", &SECONDS),
            repeats_seconds: histogram(
                &r,
                "repeats_seconds",
                "Time to ask which visits of one batch are repeats, failed calls included",
                &SECONDS,
            ),
            write_seconds: histogram(
                &r,
                "write_seconds",
                "Time of one write, failed ones included",
                &SECONDS,
            ),
            database_retries: counter(&r, "database_retries_total", "Failed calls of the database"),
            stream_retries: counter(&r, "stream_retries_total", "Failed calls of the click stream"),
            reclaimed: counter(&r, "clicks_reclaimed_total", "Clicks taken over from workers that died"),
            trimmed: counter(&r, "clicks_trimmed_total", "Settled clicks removed from the stream"),
            geoip_failures: counter(&r, "geoip_failures_total", "GeoIP files that could not be used"),
            in_flight: gauge(&r, "batches_in_flight", "Batches in memory"),
            shards: gauge(&r, "shards", "Shards of the click stream that this worker reads"),
            database_up: gauge(&r, "database_up", "Whether the last write was answered"),
            stream_up: gauge(&r, "stream_up", "Whether the last call of the click stream was answered"),
            geoip_loaded: gauge(&r, "geoip_loaded", "Whether a GeoIP database is in use"),
            geoip_built: gauge(&r, "geoip_build_timestamp_seconds", "When the GeoIP database was built"),
            agents_read: gauge(
                &r,
                "user_agents_read",
                "User agents read since start; others were remembered",
            ),
            agents_remembered: gauge(&r, "user_agents_remembered", "User agents remembered"),
            certificates: Arc::new(CertificateMetrics::new(&r)),
            registry: r,
        };
        // Series that exist from the start can be told from series that are broken.
        for class in ClickClass::ALL {
            metrics.clicks_written.with_label_values(&[class.as_str()]).reset();
        }
        for reason in DeadReason::ALL {
            metrics.dead_letters.with_label_values(&[reason.as_str()]).reset();
        }
        metrics
    }

    /// Counts a batch handed out for the first time.
    pub(crate) fn read(&self, clicks: usize) {
        self.clicks_read.inc_by(clicks as u64);
        #[expect(clippy::cast_precision_loss, reason = "batches are small")]
        self.batch_clicks.observe(clicks as f64);
    }

    /// Counts rows that were written.
    pub(crate) fn written(&self, rows: &[ClickRow], outcome: WriteOutcome) {
        self.clicks_duplicate.inc_by(outcome.duplicates);
        for class in ClickClass::ALL {
            let count = rows.iter().filter(|row| row.class == class).count();
            self.clicks_written.with_label_values(&[class.as_str()]).inc_by(count as u64);
        }
    }

    /// Counts a click that was put aside.
    pub(crate) fn dead_letter(&self, reason: DeadReason) {
        self.dead_letters.with_label_values(&[reason.as_str()]).inc();
    }

    /// Returns the text of all metrics, with what only `pipeline` knows.
    pub(crate) fn text(&self, pipeline: &Pipeline) -> String {
        self.in_flight.set(whole(pipeline.in_flight.count()));
        self.shards.set(whole(pipeline.deps.stream.shards_held()));
        self.database_up.set(pipeline.database.is_up().into());
        self.stream_up.set(pipeline.stream.is_up().into());
        self.observe(&pipeline.enricher);
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }

    fn observe(&self, enricher: &Enricher) {
        let built_at = match enricher.geoip().status() {
            GeoIpStatus::Loaded { info, .. } => Some(info.built_at),
            GeoIpStatus::Off | GeoIpStatus::Missing { .. } => None,
        };
        self.geoip_loaded.set(built_at.is_some().into());
        self.geoip_built.set(built_at.map_or(0, |at| at.as_millis() / 1000));
        self.agents_read.set(i64::try_from(enricher.user_agents().misses()).unwrap_or(i64::MAX));
        self.agents_remembered.set(whole(enricher.user_agents().remembered()));
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("names and labels are valid");
    registry.register(Box::new(metric.clone())).expect("names differ");
    metric
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::with_opts(opts(name, help)))
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> IntCounterVec {
    register(registry, IntCounterVec::new(opts(name, help), &[label]))
}

fn gauges(registry: &Registry, name: &str, help: &str, label: &str) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(opts(name, help), &[label]))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::with_opts(opts(name, help)))
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    register(registry, Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec())))
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("vayro_worker")
}
