//! What the API counts.

use std::time::Duration;

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};
use vayro_backends::ReplicaUse;

/// Upper bounds of the duration buckets, in seconds.
const DURATION_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The API's counters; cheap to clone, all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    pub(crate) in_flight: IntGauge,
    pub(crate) connections: IntGauge,
    sign_ins: IntCounterVec,
    pub(crate) late_flushes: IntCounter,
    pub(crate) panics: IntCounter,
    replica: Option<ReplicaUse>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Starts counting from zero.
    ///
    /// # Panics
    ///
    /// Never: names and labels are constants that the tests have seen.
    pub fn new() -> Self {
        const VALID: &str = "metric names are constants, valid and different";
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("vayro_api_requests_total", "Requests answered."),
            &["route", "method", "status"],
        )
        .expect(VALID);
        let durations = HistogramVec::new(
            HistogramOpts::new("vayro_api_request_duration_seconds", "Time from head to answer.")
                .buckets(DURATION_BUCKETS.to_vec()),
            &["route"],
        )
        .expect(VALID);
        let in_flight =
            IntGauge::new("vayro_api_requests_in_flight", "Requests being worked on.").expect(VALID);
        let connections = IntGauge::new("vayro_api_connections", "Open connections.").expect(VALID);
        let sign_ins = IntCounterVec::new(
            Opts::new("vayro_api_sign_ins_total", "Sign-ins tried, by how they ended."),
            &["result"],
        )
        .expect(VALID);
        let late_flushes = IntCounter::new(
            "vayro_api_late_flushes_total",
            "Changes answered before every cache was told; they follow through the outbox.",
        )
        .expect(VALID);
        let panics =
            IntCounter::new("vayro_api_panics_total", "Requests that ended in a panic.").expect(VALID);
        let collectors: [Box<dyn prometheus::core::Collector>; 7] = [
            Box::new(requests.clone()),
            Box::new(durations.clone()),
            Box::new(in_flight.clone()),
            Box::new(connections.clone()),
            Box::new(sign_ins.clone()),
            Box::new(late_flushes.clone()),
            Box::new(panics.clone()),
        ];
        for collector in collectors {
            registry.register(collector).expect(VALID);
        }
        Self {
            registry,
            requests,
            durations,
            in_flight,
            connections,
            sign_ins,
            late_flushes,
            panics,
            replica: None,
        }
    }

    /// Also tells how the replica is used.
    #[must_use]
    pub(crate) fn with_replica(self, replica: Option<ReplicaUse>) -> Self {
        Self { replica, ..self }
    }

    pub(crate) fn count_request(&self, route: &str, method: &http::Method, status: u16, took: Duration) {
        // Clients choose their methods, so unknown ones share a label.
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
            _ => "other",
        };
        self.requests.with_label_values(&[route, method, &status.to_string()]).inc();
        let histogram: Histogram = self.durations.with_label_values(&[route]);
        histogram.observe(took.as_secs_f64());
    }

    pub(crate) fn count_sign_in(&self, result: &str) {
        self.sign_ins.with_label_values(&[result]).inc();
    }

    /// Returns all metrics in the Prometheus text format, for the admin listener.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(error = &error as &dyn std::error::Error, "metrics cannot be written");
        }
        let mut text = String::from_utf8_lossy(&text).into_owned();
        if let Some(replica) = &self.replica {
            text.push_str(&of_replica(
                replica.is_near(),
                replica.answered_by_replica(),
                replica.answered_by_primary(),
            ));
        }
        text
    }
}

fn of_replica(is_near: bool, by_replica: u64, by_primary: u64) -> String {
    format!(
        "# HELP vayro_api_replica_near Whether the replica was near enough to be asked at the last look.\n\
         # TYPE vayro_api_replica_near gauge\n\
         vayro_api_replica_near {}\n\
         # HELP vayro_api_replica_questions_total Questions about clicks, by who answered them.\n\
         # TYPE vayro_api_replica_questions_total counter\n\
         vayro_api_replica_questions_total{{answered_by=\"replica\"}} {by_replica}\n\
         vayro_api_replica_questions_total{{answered_by=\"primary\"}} {by_primary}\n",
        u8::from(is_near)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_what_was_counted() {
        let metrics = Metrics::new();
        metrics.count_request("/v1/links", &http::Method::POST, 201, Duration::from_millis(2));
        let odd = http::Method::from_bytes(b"BREW").expect("valid");
        metrics.count_request("unknown", &odd, 405, Duration::ZERO);
        let text = metrics.text();
        assert!(
            text.contains(r#"vayro_api_requests_total{method="POST",route="/v1/links",status="201"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"method="other""#), "{text}");
    }
}
