//! How an edge is: metrics and readiness, for its own listener or for somebody who embeds it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use vayro_core::link::LinkKey;
use vayro_core::visit::Remembered;

use crate::cache::key_of;
use crate::metrics::Exposition;
use crate::shared::Shared;

/// Looks into a running edge.
#[derive(Clone)]
pub struct Observer {
    pub(crate) shared: Arc<Shared>,
}

impl Observer {
    /// Tells what the edge has in its memory about a link, without asking anybody and without a trace.
    pub fn remembered(&self, key: &LinkKey) -> Remembered {
        let shared = &self.shared;
        match shared.routes.index_of(key.domain.as_ref()) {
            Some(index) => shared.links.peek(key_of(index, key), (shared.clock)()),
            None => Remembered::Nothing,
        }
    }
}

/// Whether an edge should get requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether it should.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<&'static str>,
    /// What is wrong without keeping it from answering.
    pub degraded: Vec<&'static str>,
}

/// Returns whether the edge should get requests, and why not.
pub fn readiness(observer: &Observer) -> Readiness {
    let shared = &observer.shared;
    let mut reasons = Vec::new();
    let mut degraded = Vec::new();
    if shared.is_draining() {
        reasons.push("edge is stopping");
    } else if !shared.is_serving.load(Ordering::Acquire) {
        reasons.push("edge does not take connections yet");
    }
    if shared.routes.is_restored() {
        degraded.push("domains cannot be read, those of the last run are served");
    } else if !shared.routes.is_loaded() {
        reasons.push("domains could not be read yet");
    }
    if !shared.is_feed_connected.load(Ordering::Relaxed) {
        degraded.push("invalidation feed is not connected, edits act when cached links age");
    }
    if shared.sink.spool_stats().bytes > 0 {
        degraded.push("clicks wait in the spool");
    }
    Readiness { ready: reasons.is_empty(), reasons, degraded }
}

/// Returns the edge's metrics in Prometheus' text format.
pub fn metrics_text(observer: &Observer) -> String {
    let shared = &observer.shared;
    let mut out = Exposition::default();
    shared.metrics.write(&mut out);
    let (links, bytes, absent) = shared.links.sizes();
    out.family("vayro_edge_cache_links", "gauge", "Links in memory.", &[("", links)]);
    out.family("vayro_edge_cache_bytes", "gauge", "Bytes of links in memory, roughly.", &[("", bytes)]);
    out.family("vayro_edge_cache_absent_codes", "gauge", "Codes remembered as unknown.", &[("", absent)]);
    let running = shared.links.lookups_running();
    out.family("vayro_edge_lookups_running", "gauge", "Look-ups under way.", &[("", running)]);
    let spool = shared.sink.spool_stats();
    let metrics = &shared.metrics;
    out.family(
        "vayro_edge_clicks_dropped_total",
        "counter",
        "Clicks lost at a named limit.",
        &[
            ("reason=\"ring_full\"", metrics.clicks_dropped_ring_full.get()),
            ("reason=\"shutdown\"", metrics.clicks_dropped_shutdown.get()),
            ("reason=\"spool\"", spool.dropped),
        ],
    );
    out.family("vayro_edge_clicks_queued", "gauge", "Clicks in the rings.", &[("", shared.rings.len())]);
    out.family("vayro_edge_spool_bytes", "gauge", "Bytes of clicks waiting on disk.", &[("", spool.bytes)]);
    let now = (shared.clock)();
    let oldest = spool.oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64());
    out.family("vayro_edge_spool_oldest_seconds", "gauge", "Age of the oldest of them.", &[("", oldest)]);
    let open = shared.connections.open();
    out.family("vayro_edge_connections", "gauge", "Open connections.", &[("", open)]);
    let names = shared.certificates.name_count();
    out.family("vayro_edge_certificate_names", "gauge", "Host names with a certificate.", &[("", names)]);
    let unusable = shared.certificates.issued().map_or(0, crate::tls::IssuedCertificates::unusable_count);
    out.family(
        "vayro_edge_certificates_unusable",
        "gauge",
        "Issued certificates that cannot be served, as with another acme.key.",
        &[("", unusable)],
    );
    let connected = u8::from(shared.is_feed_connected.load(Ordering::Relaxed));
    out.family("vayro_edge_feed_connected", "gauge", "Whether invalidations come in.", &[("", connected)]);
    let draining = u8::from(shared.is_draining());
    out.family("vayro_edge_draining", "gauge", "Whether the edge is stopping.", &[("", draining)]);
    out.finish()
}
