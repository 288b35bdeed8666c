//! What the edge counts, and the Prometheus text of it.

use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::counter::Counter;

/// Upper bounds of the look-up histogram: microseconds, and the same in seconds as text.
const BOUNDS: [(u64, &str); 10] = [
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (1_000_000, "1"),
];

/// Counts durations by size.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub(crate) fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(index) = BOUNDS.iter().position(|(bound, _)| micros <= *bound) {
            self.buckets[index].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

macro_rules! counters {
    ($($field:ident: $doc:literal),* $(,)?) => {
        /// Every counter of one edge.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $(#[doc = $doc] pub(crate) $field: Counter,)*
            /// How long look-ups took.
            pub(crate) lookup_seconds: Histogram,
        }
    };
}

counters! {
    redirects: "Visits sent on.",
    not_found: "Visits of unknown or inactive links.",
    gone: "Visits of expired links.",
    too_many_misses: "Visits turned away because their network asked for too many unknown codes.",
    unavailable: "Visits that nobody could decide.",
    method_not_allowed: "Requests with another method.",
    unknown_host: "Requests for a host that is not ours.",
    to_https: "Requests sent to HTTPS.",
    other_pages: "The root, `robots.txt` and the like.",
    proxied: "Requests handed to another server.",
    upstream_failed: "Requests another server did not answer.",
    fast_lane: "Visits sent on by the fast lane.",
    cache_hits: "Visits answered from memory.",
    cache_aging: "Of these, with a refresh behind the visitor's back.",
    cache_absent: "Visits of codes remembered as unknown.",
    cache_misses: "Visits that needed a look-up.",
    cache_stale_on_error: "Visits answered with an old state because nobody could be asked.",
    links_restored: "Links of an earlier run taken from the disk.",
    snapshots_saved: "Times that links in memory were saved.",
    snapshots_failed: "Times that they could not be.",
    lookups_found: "Look-ups that found a link.",
    lookups_absent: "Look-ups that found none.",
    lookups_failed: "Look-ups that failed.",
    lookups_timed_out: "Look-ups that took too long.",
    lookups_refused: "Look-ups not begun because too many ran.",
    invalidations_links: "Links that changed.",
    invalidations_domains: "Changes of the set of domains.",
    invalidations_everything: "Times that everything may have changed.",
    clicks_accepted: "Clicks put into a ring.",
    clicks_shipped: "Clicks the sink took.",
    clicks_dropped_ring_full: "Clicks dropped because a ring was full.",
    clicks_dropped_shutdown: "Clicks dropped because the sink did not take them before the process ended.",
    click_appends_failed: "Batches the sink did not take, offered again.",
    connections_accepted: "Connections taken.",
    connections_refused_total: "Connections closed because there were too many.",
    connections_refused_address: "Connections closed because there were too many from one address.",
    proxy_headers_visitor: "PROXY headers that name a visitor.",
    proxy_headers_local: "PROXY headers that name nobody: of the balancer's own connections, for the most part.",
    proxy_headers_missing: "Connections of balancers that began with something else.",
    proxy_headers_malformed: "Connections of balancers with a damaged PROXY header.",
    proxy_headers_too_long: "Connections of balancers with too long a PROXY header.",
    proxy_headers_timed_out: "Connections of balancers whose PROXY header took too long.",
    proxy_headers_closed: "Connections of balancers that ended before their PROXY header.",
    challenges_answered: "Answers to ACME servers.",
    challenges_unknown: "Requests for answers to ACME servers that there are none of.",
    handshakes_done: "TLS handshakes that succeeded.",
    handshakes_failed: "TLS handshakes that failed.",
    handshakes_timed_out: "TLS handshakes that took too long.",
    heads_timed_out: "Request heads that took too long.",
    heads_too_large: "Request heads that were too large.",
}

/// Writes Prometheus text.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

impl Exposition {
    /// Writes one family of samples; a sample's label is `name="value"` or empty.
    pub(crate) fn family<V: Display>(&mut self, name: &str, kind: &str, help: &str, samples: &[(&str, V)]) {
        self.head(name, kind, help);
        for (label, value) in samples {
            let (open, close) = if label.is_empty() { ("", "") } else { ("{", "}") };
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "{name}{open}{label}{close} {value}");
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let mut below = 0;
        for (bucket, (_, bound)) in histogram.buckets.iter().zip(BOUNDS) {
            below += bucket.load(Ordering::Relaxed);
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        // Read after the buckets, so that the last bucket is never smaller than one before it.
        let count = histogram.count.load(Ordering::Relaxed).max(below);
        let _ = writeln!(self.text, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let seconds = Duration::from_micros(histogram.sum_micros.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(self.text, "{name}_sum {seconds}\n{name}_count {count}");
    }

    /// Returns the text.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

impl Metrics {
    /// Writes every counter.
    pub(crate) fn write(&self, out: &mut Exposition) {
        out.family(
            "vayro_edge_answers_total",
            "counter",
            "Answers by kind.",
            &[
                ("kind=\"redirect\"", self.redirects.get()),
                ("kind=\"not_found\"", self.not_found.get()),
                ("kind=\"gone\"", self.gone.get()),
                ("kind=\"too_many_misses\"", self.too_many_misses.get()),
                ("kind=\"unavailable\"", self.unavailable.get()),
                ("kind=\"method_not_allowed\"", self.method_not_allowed.get()),
                ("kind=\"unknown_host\"", self.unknown_host.get()),
                ("kind=\"to_https\"", self.to_https.get()),
                ("kind=\"page\"", self.other_pages.get()),
                ("kind=\"proxied\"", self.proxied.get()),
                ("kind=\"upstream_failed\"", self.upstream_failed.get()),
            ],
        );
        out.family(
            "vayro_edge_fast_lane_total",
            "counter",
            "Redirects answered by the fast lane.",
            &[("", self.fast_lane.get())],
        );
        out.family(
            "vayro_edge_cache_reads_total",
            "counter",
            "Looks into the link cache by result.",
            &[
                ("result=\"hit\"", self.cache_hits.get()),
                ("result=\"aging\"", self.cache_aging.get()),
                ("result=\"absent\"", self.cache_absent.get()),
                ("result=\"miss\"", self.cache_misses.get()),
            ],
        );
        out.family(
            "vayro_edge_cache_stale_on_error_total",
            "counter",
            "Old states served because nobody could be asked.",
            &[("", self.cache_stale_on_error.get())],
        );
        out.family(
            "vayro_edge_links_restored",
            "gauge",
            "Links taken from the disk at the start.",
            &[("", self.links_restored.get())],
        );
        out.family(
            "vayro_edge_snapshots_total",
            "counter",
            "Snapshots of the links in memory by result.",
            &[
                ("result=\"saved\"", self.snapshots_saved.get()),
                ("result=\"failed\"", self.snapshots_failed.get()),
            ],
        );
        out.family(
            "vayro_edge_lookups_total",
            "counter",
            "Look-ups behind the cache by result.",
            &[
                ("result=\"found\"", self.lookups_found.get()),
                ("result=\"absent\"", self.lookups_absent.get()),
                ("result=\"failed\"", self.lookups_failed.get()),
                ("result=\"timed_out\"", self.lookups_timed_out.get()),
                ("result=\"refused\"", self.lookups_refused.get()),
            ],
        );
        out.histogram("vayro_edge_lookup_seconds", "Duration of look-ups.", &self.lookup_seconds);
        out.family(
            "vayro_edge_invalidations_total",
            "counter",
            "Invalidations heard by kind.",
            &[
                ("kind=\"links\"", self.invalidations_links.get()),
                ("kind=\"domains\"", self.invalidations_domains.get()),
                ("kind=\"everything\"", self.invalidations_everything.get()),
            ],
        );
        self.write_clicks(out);
        self.write_connections(out);
    }

    fn write_clicks(&self, out: &mut Exposition) {
        out.family(
            "vayro_edge_clicks_accepted_total",
            "counter",
            "Clicks accepted.",
            &[("", self.clicks_accepted.get())],
        );
        out.family(
            "vayro_edge_clicks_shipped_total",
            "counter",
            "Clicks the stream or the spool took.",
            &[("", self.clicks_shipped.get())],
        );
        out.family(
            "vayro_edge_click_appends_failed_total",
            "counter",
            "Batches of clicks that were not taken and offered again.",
            &[("", self.click_appends_failed.get())],
        );
    }

    fn write_connections(&self, out: &mut Exposition) {
        out.family(
            "vayro_edge_connections_accepted_total",
            "counter",
            "Connections taken.",
            &[("", self.connections_accepted.get())],
        );
        out.family(
            "vayro_edge_connections_refused_total",
            "counter",
            "Connections closed at a limit.",
            &[
                ("limit=\"total\"", self.connections_refused_total.get()),
                ("limit=\"address\"", self.connections_refused_address.get()),
            ],
        );
        out.family(
            "vayro_edge_proxy_headers_total",
            "counter",
            "Connections of balancers by their PROXY header; only visitor and local are served.",
            &[
                ("result=\"visitor\"", self.proxy_headers_visitor.get()),
                ("result=\"local\"", self.proxy_headers_local.get()),
                ("result=\"missing\"", self.proxy_headers_missing.get()),
                ("result=\"malformed\"", self.proxy_headers_malformed.get()),
                ("result=\"too_long\"", self.proxy_headers_too_long.get()),
                ("result=\"timed_out\"", self.proxy_headers_timed_out.get()),
                ("result=\"closed\"", self.proxy_headers_closed.get()),
            ],
        );
        out.family(
            "vayro_edge_acme_challenges_total",
            "counter",
            "Requests for answers to ACME servers by result.",
            &[
                ("result=\"answered\"", self.challenges_answered.get()),
                ("result=\"unknown\"", self.challenges_unknown.get()),
            ],
        );
        out.family(
            "vayro_edge_tls_handshakes_total",
            "counter",
            "TLS handshakes by result.",
            &[
                ("result=\"done\"", self.handshakes_done.get()),
                ("result=\"failed\"", self.handshakes_failed.get()),
                ("result=\"timed_out\"", self.handshakes_timed_out.get()),
            ],
        );
        out.family(
            "vayro_edge_heads_refused_total",
            "counter",
            "Request heads refused at a limit.",
            &[("limit=\"time\"", self.heads_timed_out.get()), ("limit=\"size\"", self.heads_too_large.get())],
        );
    }
}
