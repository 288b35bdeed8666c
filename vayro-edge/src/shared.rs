//! What the parts of one edge share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderValue;
use tokio::sync::watch;
use vayro_core::ports::ClickSink;
use vayro_core::timestamp::Timestamp;
use vayro_core::visit::{Head, is_within};

use crate::cache::LinkCache;
use crate::challenges::Challenges;
use crate::clicks::{Ledger, Rings};
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::misses::MissBudgets;
use crate::pages::Pages;
use crate::redirect::RedirectForms;
use crate::routes::Routes;
use crate::server::ConnectionLimits;
use crate::settings::EdgeSettings;
use crate::tls::Certificates;

/// Returns the time. Passed in so that tests decide what it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Everything a request needs, made once.
pub(crate) struct Shared {
    pub(crate) settings: EdgeSettings,
    /// Name of this edge in reports.
    pub(crate) name: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) routes: Routes,
    pub(crate) links: Arc<LinkCache>,
    pub(crate) rings: Rings,
    /// What was accepted, by day.
    pub(crate) ledger: Ledger,
    pub(crate) sink: Arc<dyn ClickSink>,
    pub(crate) redirects: RedirectForms,
    pub(crate) pages: Pages,
    /// Where `/` leads; `None` shows a page.
    pub(crate) root_redirect: Option<Head>,
    pub(crate) certificates: Certificates,
    /// What browsers are told about HTTPS, if anything.
    pub(crate) hsts: Option<HeaderValue>,
    /// Answers to ACME servers, if there can be any.
    pub(crate) challenges: Option<Challenges>,
    pub(crate) connections: ConnectionLimits,
    /// How many unknown codes networks may still ask for.
    pub(crate) misses: MissBudgets,
    pub(crate) metrics: Arc<Metrics>,
    /// Lines about balancers that do not say whose connection they bring.
    pub(crate) header_alerts: LogLimit,
    /// Turns true when the edge stops; connections close when their request is done.
    pub(crate) draining: watch::Sender<bool>,
    /// Turns true when another process has taken over; the edge stops, but nobody who is connected hurries.
    pub(crate) handed_over: watch::Sender<bool>,
    /// Turns true when connections that wait for a request close.
    pub(crate) idle_ends: watch::Sender<bool>,
    /// Whether the invalidation feed is connected.
    pub(crate) is_feed_connected: AtomicBool,
    /// The same as a flag, for those who only look.
    pub(crate) is_draining: AtomicBool,
    /// Whether connections are taken.
    pub(crate) is_serving: AtomicBool,
}

impl Shared {
    /// Tells whether the edge stops, so that an answer should be the last of its connection.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Tells whether connections from `peer` begin with a PROXY header.
    pub(crate) fn is_balancer(&self, peer: std::net::IpAddr) -> bool {
        is_within(&self.settings.proxy_protocol_from, peer)
    }

    /// Tells whether the connection from `peer` comes from one of our own proxies.
    pub(crate) fn is_trusted(&self, peer: std::net::IpAddr) -> bool {
        is_within(&self.settings.trusted_proxies, peer)
    }
}
