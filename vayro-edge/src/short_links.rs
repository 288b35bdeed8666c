//! Short links without anything that listens: what answers a request, and what runs beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vayro_core::host::Host;
use vayro_core::ports::{DomainStore, InvalidationFeed};
use vayro_core::visit::{Page, normal_host, root_redirect};

use crate::cache::{CacheOptions, Lifetimes, LinkCache};
use crate::challenges::Challenges;
use crate::clicks::{Ledger, Rings, Shipper, ship};
use crate::edge::EdgeDeps;
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::misses::MissBudgets;
use crate::pages::Pages;
use crate::redirect::{self, RedirectForms};
use crate::report::{self, Boards};
use crate::routes::{Route, Routes, host_buffer};
use crate::server::ConnectionLimits;
use crate::settings::EdgeSettings;
use crate::shared::Shared;
use crate::snapshot::Snapshots;
use crate::tls::Certificates;
use crate::upstream::Upstream;
use crate::visitor::X_FORWARDED_PROTO;
use crate::{answer, feed, proxy};

/// How long helpers may take to end.
const HELPERS_TIMEOUT: Duration = Duration::from_secs(2);

/// What became of a request.
pub(crate) enum Routed {
    /// It is answered.
    Answered,
    /// This server should answer it.
    Upstream(Arc<Upstream>),
    /// Its host is not ours.
    UnknownHost,
}

/// Answers the request of `session` if it is for a host of short links.
pub(crate) async fn route(shared: &Shared, session: &mut ServerSession) -> pingora::Result<Routed> {
    let mut buffer = host_buffer();
    let host = authority(session.req_header()).and_then(|authority| normal_host(authority, &mut buffer));
    let peer = proxy::peer_ip(session);
    if let Some(host) = host
        && shared.settings.redirect_to_https
        && shared.certificates.covers(host)
        && !is_https(shared, session, peer)
    {
        redirect::to_https(shared, session, host).await?;
        return Ok(Routed::Answered);
    }
    match shared.routes.find(host) {
        Route::Short(domain) => redirect::answer(shared, session, &domain, peer).await?,
        Route::Upstream(upstream) => return Ok(Routed::Upstream(upstream)),
        Route::Unknown => return Ok(Routed::UnknownHost),
        Route::NotYet => {
            shared.metrics.unavailable.add_one();
            redirect::page(shared, session, Page::Unavailable).await?;
        }
    }
    Ok(Routed::Answered)
}

/// Returns the host that the request is for, as sent.
pub(crate) fn authority(request: &RequestHeader) -> Option<&[u8]> {
    // HTTP/2 and absolute targets carry it in the target; Pingora has refused requests where both differ.
    match request.uri.authority() {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => request.headers.get(http::header::HOST).map(HeaderValue::as_bytes),
    }
}

/// Tells whether the visitor speaks HTTPS with us or with one of our proxies.
pub(crate) fn is_https(shared: &Shared, session: &ServerSession, peer: Option<std::net::IpAddr>) -> bool {
    if answer::is_tls(session) {
        return true;
    }
    let claim = session.req_header().headers.get(&X_FORWARDED_PROTO);
    claim.is_some_and(|claim| claim == "https") && peer.is_some_and(|peer| shared.is_trusted(peer))
}

/// Short links, ready to answer, with nothing running beside them yet.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) runtime: Handle,
    feed: Box<dyn InvalidationFeed>,
    boards: Boards,
    domains: Arc<dyn DomainStore>,
    pub(crate) snapshots: Option<Snapshots>,
}

impl Core {
    /// Puts it together and reads the domains, or what the last run knew. Nobody need be within reach.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(crate) async fn new(
        settings: EdgeSettings,
        deps: EdgeDeps,
        certificates: Certificates,
        upstreams: Vec<(Host, Arc<Upstream>)>,
    ) -> Self {
        let further_hosts = settings.default_hosts.clone();
        let routes = Routes::new(deps.default_host, further_hosts, upstreams, settings.unknown_host);
        let runtime = Handle::current();
        let metrics = Arc::new(Metrics::default());
        let links = LinkCache::new(
            cache_options(&settings),
            deps.lookup,
            Arc::clone(&deps.clock),
            Arc::clone(&metrics),
            runtime.clone(),
        );
        let rings = Rings::new(settings.thread_count(), settings.click_ring_len, Arc::clone(&metrics));
        let is_acme = settings.acme.is_some();
        let challenges =
            is_acme.then(|| Challenges::new(deps.served, Arc::clone(&deps.clock), runtime.clone()));
        let shared = Arc::new(Shared {
            ledger: Ledger::new(Arc::clone(&deps.name), deps.ledger_file),
            name: deps.name,
            clock: deps.clock,
            routes,
            links: Arc::new(links),
            rings,
            sink: deps.sink,
            redirects: RedirectForms::new(settings.permanent_max_age),
            pages: Pages::new(),
            root_redirect: settings.root_redirect.as_ref().map(root_redirect),
            certificates,
            hsts: hsts(settings.hsts),
            challenges,
            connections: ConnectionLimits::new(
                settings.connections_max,
                settings.connections_per_address_max,
            ),
            misses: MissBudgets::new(settings.misses_per_minute),
            metrics,
            header_alerts: LogLimit::new(),
            draining: watch::Sender::new(false),
            handed_over: watch::Sender::new(false),
            idle_ends: watch::Sender::new(false),
            is_feed_connected: AtomicBool::new(deps.feed.is_connected()),
            is_draining: AtomicBool::new(false),
            is_serving: AtomicBool::new(false),
            settings,
        });
        let is_wanted = !shared.settings.snapshot_every.is_zero();
        let path = deps.snapshot.filter(|_| is_wanted);
        let snapshots = path.map(|path| Snapshots { shared: Arc::clone(&shared), path });
        // Links first: with the domains come their visitors.
        let known = match &snapshots {
            Some(snapshots) => snapshots.restore().await,
            None => None,
        };
        if !shared.routes.read(&*deps.domains).await
            && let Some(domains) = known
        {
            shared.routes.restore_domains(&domains);
        }
        let boards = Boards { reports: deps.reports, ledger: deps.ledger };
        Self { shared, runtime, feed: deps.feed, boards, domains: deps.domains, snapshots }
    }

    /// Starts what runs beside the answers.
    pub(crate) fn start(self) -> Running {
        let Self { shared, runtime, feed, boards, domains, snapshots } = self;
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        let _context = runtime.enter();
        tasks.spawn(feed::follow(Arc::clone(&shared), feed, stop.subscribe()));
        tasks.spawn(report::keep_reporting(Arc::clone(&shared), boards.clone(), stop.subscribe()));
        let (routing, stopping) = (Arc::clone(&shared), stop.subscribe());
        tasks.spawn(async move { routing.routes.keep_current(&*domains, stopping).await });
        if let Some(snapshots) = snapshots.clone() {
            tasks.spawn(snapshots.keep_current(stop.subscribe()));
        }
        let shipper = ship(Arc::clone(&shared));
        Running { shared, tasks, stop, shipper, boards, snapshots }
    }
}

/// Short links with everything that runs beside them.
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    /// Ends when `stop` turns true.
    pub(crate) tasks: JoinSet<()>,
    pub(crate) stop: watch::Sender<bool>,
    shipper: Shipper,
    boards: Boards,
    snapshots: Option<Snapshots>,
}

impl Running {
    /// Flushes every accepted click, tells the last figures and ends what runs. Called when nobody can accept a click
    /// any more.
    pub(crate) async fn finish(self) {
        let Self { shared, mut tasks, stop, shipper, boards, snapshots } = self;
        shared.is_draining.store(true, Ordering::Relaxed);
        shipper.finish().await;
        shared.ledger.finish();
        boards.send(&shared, &LogLimit::new()).await;
        stop.send_replace(true);
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(HELPERS_TIMEOUT, all_ended).await.is_err() {
            tracing::warn!("helpers of the edge did not end in time");
        }
        if let Some(snapshots) = snapshots
            && !*shared.handed_over.borrow()
        {
            snapshots.save().await;
        }
        tracing::info!(
            clicks.accepted = shared.metrics.clicks_accepted.get(),
            clicks.shipped = shared.metrics.clicks_shipped.get(),
            "edge stopped"
        );
    }
}

/// Returns the value of `Strict-Transport-Security` (RFC 6797 §6.1); `None` if browsers are told nothing. Without
/// `includeSubDomains`: names below a short domain are not ours to decide about.
fn hsts(max_age: Duration) -> Option<HeaderValue> {
    let value = format!("max-age={}", max_age.as_secs());
    HeaderValue::try_from(value).ok().filter(|_| !max_age.is_zero())
}

fn cache_options(settings: &EdgeSettings) -> CacheOptions {
    CacheOptions {
        size_max: settings.cache_size,
        absent_max: settings.absent_max,
        absent_for: settings.absent_for,
        lifetimes: Lifetimes {
            fresh: settings.cache_fresh,
            revalidate: settings.cache_revalidate,
            stale: settings.cache_stale,
        },
        lookup_timeout: settings.lookup_timeout,
    }
}
