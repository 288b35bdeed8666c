//! An edge and everything around it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use vayro_backends::config::Layers;
use vayro_core::account::Domain;
use vayro_core::certificate::{Certificate, CertificateName, Challenge, TicketKey};
use vayro_core::change::{ChangeContext, Invalidation};
use vayro_core::click::Click;
use vayro_core::day::Day;
use vayro_core::host::Host;
use vayro_core::ids::{DomainId, LinkId, WorkspaceId};
use vayro_core::ledger::{DayCounts, DayTally, EdgeLedger, KnownEdge, Removal};
use vayro_core::link::{LinkKey, RedirectStatus};
use vayro_core::ports::{
    ClickSink, DomainStore, EdgeReports, InvalidationFeed, LedgerError, LedgerFile, LedgerStore, LinkLookup,
    ServedCertificates, SinkError, SpoolStats, StoreError, StreamError, TicketKeyStore,
};
use vayro_core::resolve::CachedLink;
use vayro_core::stream::EdgeReport;
use vayro_core::target::TargetUrl;
use vayro_core::timestamp::Timestamp;
use vayro_edge::admin::Observer;
use vayro_edge::{BindError, Edge, EdgeAddresses, EdgeDeps, EdgeSettings, RunError};

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `is_so`.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never: {what}");
}

/// What an answer of the outside does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Works.
    Well,
    /// Fails at once.
    Failing,
    /// Answers after a while.
    Slow,
    /// Never answers.
    Hanging,
    /// Panics.
    Panicking,
}

/// The outside of one edge.
pub(crate) struct World {
    links: Mutex<HashMap<LinkKey, CachedLink>>,
    revision: AtomicI64,
    pub(crate) lookups: AtomicUsize,
    pub(crate) lookup_mood: Mutex<Mood>,
    /// A look-up reads the link, then waits here, when there is one.
    pub(crate) lookup_gate: Mutex<Option<Arc<Semaphore>>>,
    pub(crate) lookups_waiting: AtomicUsize,
    clicks: Mutex<Vec<Click>>,
    pub(crate) sink_mood: Mutex<Mood>,
    pub(crate) batches: Mutex<Vec<usize>>,
    appending: AtomicUsize,
    pub(crate) appending_most: AtomicUsize,
    pub(crate) reports: Mutex<Vec<EdgeReport>>,
    /// What was saved to the disk, in order.
    pub(crate) saved: Mutex<Vec<EdgeLedger>>,
    /// What earlier starts left.
    pub(crate) earlier: Mutex<Vec<EdgeLedger>>,
    /// What was recorded, in order.
    pub(crate) recorded: Mutex<Vec<EdgeLedger>>,
    pub(crate) hosts: Mutex<Vec<Host>>,
    pub(crate) hosts_mood: Mutex<Mood>,
    pub(crate) issued: Mutex<Vec<Certificate>>,
    pub(crate) challenges: Mutex<Vec<Challenge>>,
    pub(crate) challenge_looks: AtomicUsize,
    pub(crate) issued_mood: Mutex<Mood>,
    pub(crate) ticket_keys: Mutex<BTreeMap<i64, TicketKey>>,
    messages: Mutex<VecDeque<Invalidation>>,
    message_came: Notify,
    pub(crate) is_feed_connected: AtomicBool,
    /// Where the edge keeps its links.
    pub(crate) snapshot: Mutex<Option<PathBuf>>,
    /// Microseconds.
    now: AtomicI64,
    pub(crate) is_clock_broken: AtomicBool,
}

/// 2026-05-01.
pub(crate) const START_MICROS: i64 = 1_777_593_600_000_000;

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            links: Mutex::default(),
            revision: AtomicI64::new(0),
            lookups: AtomicUsize::new(0),
            lookup_mood: Mutex::new(Mood::Well),
            lookup_gate: Mutex::default(),
            lookups_waiting: AtomicUsize::new(0),
            clicks: Mutex::default(),
            sink_mood: Mutex::new(Mood::Well),
            batches: Mutex::default(),
            appending: AtomicUsize::new(0),
            appending_most: AtomicUsize::new(0),
            reports: Mutex::default(),
            saved: Mutex::default(),
            earlier: Mutex::default(),
            recorded: Mutex::default(),
            hosts: Mutex::default(),
            hosts_mood: Mutex::new(Mood::Well),
            issued: Mutex::default(),
            challenges: Mutex::default(),
            challenge_looks: AtomicUsize::new(0),
            issued_mood: Mutex::new(Mood::Well),
            ticket_keys: Mutex::default(),
            messages: Mutex::default(),
            message_came: Notify::new(),
            is_feed_connected: AtomicBool::new(true),
            snapshot: Mutex::default(),
            now: AtomicI64::new(START_MICROS),
            is_clock_broken: AtomicBool::new(false),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::SeqCst)).expect("in range")
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_micros()).expect("short"), Ordering::SeqCst);
    }

    /// Stores a link without telling anybody.
    pub(crate) fn put(&self, code: &str, change: impl FnOnce(&mut CachedLink)) -> CachedLink {
        self.put_on(None, code, change)
    }

    pub(crate) fn put_on(
        &self,
        domain: Option<&str>,
        code: &str,
        change: impl FnOnce(&mut CachedLink),
    ) -> CachedLink {
        let key = key(domain, code);
        let mut links = self.links.lock();
        let mut link = links.get(&key).cloned().unwrap_or_else(|| CachedLink {
            target: target(&format!("https://example.com/{code}")),
            active: true,
            id: LinkId::from_uuid(uuid::Uuid::from_u128(0x10)),
            workspace_id: WorkspaceId::from_uuid(uuid::Uuid::from_u128(0x20)),
            status: RedirectStatus::Found,
            expires_at: None,
            revision: 0,
        });
        change(&mut link);
        link.revision = self.revision.fetch_add(1, Ordering::SeqCst) + 1;
        links.insert(key, link.clone());
        link
    }

    pub(crate) fn remove(&self, code: &str) {
        self.revision.fetch_add(1, Ordering::SeqCst);
        self.links.lock().remove(&key(None, code));
    }

    pub(crate) fn tell(&self, message: Invalidation) {
        self.messages.lock().push_back(message);
        self.message_came.notify_one();
    }

    /// Tells the edge that `code` changed just now.
    pub(crate) fn tell_changed(&self, code: &str) {
        let revision = self.revision.load(Ordering::SeqCst);
        self.tell(Invalidation::Links(vec![(key(None, code), revision)]));
    }

    pub(crate) fn lookups(&self) -> usize {
        self.lookups.load(Ordering::SeqCst)
    }

    pub(crate) fn clicks(&self) -> Vec<Click> {
        self.clicks.lock().clone()
    }

    pub(crate) async fn until_clicks(&self, count: usize) -> Vec<Click> {
        until("clicks arrive", || self.clicks.lock().len() >= count).await;
        self.clicks()
    }
}

pub(crate) fn key(domain: Option<&str>, code: &str) -> LinkKey {
    LinkKey { domain: domain.map(host), short_code: code.parse().expect("valid code") }
}

pub(crate) fn host(text: &str) -> Host {
    text.parse().expect("valid host")
}

pub(crate) fn target(text: &str) -> TargetUrl {
    TargetUrl::parse(text, &[]).expect("valid target")
}

async fn feel(mood: Mood) -> Result<(), &'static str> {
    match mood {
        Mood::Well => Ok(()),
        Mood::Failing => Err("out of order"),
        Mood::Slow => {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(())
        }
        Mood::Hanging => std::future::pending().await,
        Mood::Panicking => panic!("told to panic"),
    }
}

struct Lookup(Arc<World>);

#[async_trait]
impl LinkLookup for Lookup {
    async fn lookup(&self, key: &LinkKey) -> Result<Option<CachedLink>, StoreError> {
        let world = &self.0;
        world.lookups.fetch_add(1, Ordering::SeqCst);
        let found = world.links.lock().get(key).cloned();
        let gate = world.lookup_gate.lock().clone();
        if let Some(gate) = gate {
            world.lookups_waiting.fetch_add(1, Ordering::SeqCst);
            let pass = gate.acquire().await.expect("open");
            pass.forget();
            world.lookups_waiting.fetch_sub(1, Ordering::SeqCst);
        }
        let mood = *world.lookup_mood.lock();
        feel(mood).await.map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(found)
    }
}

struct Sink(Arc<World>);

#[async_trait]
impl ClickSink for Sink {
    async fn append(&self, clicks: &[Click]) -> Result<(), SinkError> {
        let world = &self.0;
        let running = world.appending.fetch_add(1, Ordering::SeqCst) + 1;
        world.appending_most.fetch_max(running, Ordering::SeqCst);
        world.batches.lock().push(clicks.len());
        tokio::task::yield_now().await;
        let mood = *world.sink_mood.lock();
        let felt = feel(mood).await;
        world.appending.fetch_sub(1, Ordering::SeqCst);
        felt.map_err(|error| SinkError(error.into()))?;
        world.clicks.lock().extend_from_slice(clicks);
        Ok(())
    }

    fn spool_stats(&self) -> SpoolStats {
        SpoolStats::default()
    }
}

struct Feed(Arc<World>);

#[async_trait]
impl InvalidationFeed for Feed {
    async fn next(&mut self) -> Invalidation {
        loop {
            let came = self.0.message_came.notified();
            if let Some(message) = self.0.messages.lock().pop_front() {
                return message;
            }
            came.await;
        }
    }

    fn is_connected(&self) -> bool {
        self.0.is_feed_connected.load(Ordering::SeqCst)
    }
}

struct Reports(Arc<World>);

#[async_trait]
impl EdgeReports for Reports {
    async fn report(&self, report: &EdgeReport) -> Result<(), StreamError> {
        self.0.reports.lock().push(report.clone());
        Ok(())
    }

    async fn list(&self, _: Timestamp) -> Result<Vec<EdgeReport>, StreamError> {
        Ok(self.0.reports.lock().clone())
    }
}

struct Ledgers(Arc<World>);

#[async_trait]
impl LedgerFile for Ledgers {
    async fn save(&self, ledger: &EdgeLedger) -> Result<(), LedgerError> {
        self.0.saved.lock().push(ledger.clone());
        Ok(())
    }

    fn earlier(&self) -> Vec<EdgeLedger> {
        self.0.earlier.lock().clone()
    }

    async fn forget(&self, edges: &[String]) {
        self.0.earlier.lock().retain(|ledger| !edges.contains(&ledger.edge));
    }
}

#[async_trait]
impl LedgerStore for Ledgers {
    async fn record(&self, ledgers: &[EdgeLedger]) -> Result<(), StoreError> {
        self.0.recorded.lock().extend_from_slice(ledgers);
        Ok(())
    }

    async fn figures(&self, _: Day, _: Day) -> Result<Vec<(Day, String, DayCounts)>, StoreError> {
        unreachable!("not the edge's business")
    }

    async fn edges(&self) -> Result<Vec<KnownEdge>, StoreError> {
        unreachable!("not the edge's business")
    }

    async fn tally(&self, _: Day, _: Day, _: Timestamp) -> Result<Vec<(Day, DayTally)>, StoreError> {
        unreachable!("not the edge's business")
    }

    async fn note_removed(&self, _: &[(Day, u64)], _: Removal) -> Result<(), StoreError> {
        unreachable!("not the edge's business")
    }
}

struct Issued(Arc<World>);

#[async_trait]
impl ServedCertificates for Issued {
    async fn versions(&self, _: u32) -> Result<Vec<(CertificateName, Timestamp)>, StoreError> {
        let mood = *self.0.issued_mood.lock();
        feel(mood).await.map_err(|error| StoreError::Unavailable(error.into()))?;
        let issued = self.0.issued.lock();
        Ok(issued.iter().map(|one| (one.name.clone(), one.issued_at)).collect())
    }

    async fn load(&self, names: &[CertificateName]) -> Result<Vec<Certificate>, StoreError> {
        let issued = self.0.issued.lock();
        Ok(issued.iter().filter(|one| names.contains(&one.name)).cloned().collect())
    }

    async fn challenges(&self, now: Timestamp, _: u32) -> Result<Vec<Challenge>, StoreError> {
        self.0.challenge_looks.fetch_add(1, Ordering::SeqCst);
        let mood = *self.0.issued_mood.lock();
        feel(mood).await.map_err(|error| StoreError::Unavailable(error.into()))?;
        let challenges = self.0.challenges.lock();
        Ok(challenges.iter().filter(|one| one.expires_at > now).cloned().collect())
    }
}

#[async_trait]
impl TicketKeyStore for Issued {
    async fn exchange(&self, proposed: &[TicketKey], oldest: i64) -> Result<Vec<TicketKey>, StoreError> {
        let mood = *self.0.issued_mood.lock();
        feel(mood).await.map_err(|error| StoreError::Unavailable(error.into()))?;
        let mut keys = self.0.ticket_keys.lock();
        for key in proposed {
            keys.entry(key.period).or_insert_with(|| key.clone());
        }
        keys.retain(|period, _| *period >= oldest);
        Ok(keys.values().cloned().collect())
    }
}

struct Domains(Arc<World>);

/// An edge asks for the hosts and for nothing else.
#[async_trait]
impl DomainStore for Domains {
    async fn ensure_default(&self, _: &Host, _: Timestamp) -> Result<(), StoreError> {
        unreachable!("not the edge's business")
    }

    async fn insert(&self, _: &Domain, _: &ChangeContext) -> Result<(), StoreError> {
        unreachable!("not the edge's business")
    }

    async fn find(&self, _: WorkspaceId, _: DomainId) -> Result<Option<Domain>, StoreError> {
        unreachable!("not the edge's business")
    }

    async fn find_by_host(&self, _: WorkspaceId, _: &Host) -> Result<Option<Domain>, StoreError> {
        unreachable!("not the edge's business")
    }

    async fn list(&self, _: WorkspaceId) -> Result<Vec<Domain>, StoreError> {
        unreachable!("not the edge's business")
    }

    async fn delete(&self, _: WorkspaceId, _: DomainId, _: &ChangeContext) -> Result<bool, StoreError> {
        unreachable!("not the edge's business")
    }

    async fn verify(&self, _: &Host, _: &ChangeContext) -> Result<(), StoreError> {
        unreachable!("not the edge's business")
    }

    async fn hosts(&self) -> Result<Vec<Host>, StoreError> {
        let mood = *self.0.hosts_mood.lock();
        feel(mood).await.map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(self.0.hosts.lock().clone())
    }
}

/// A running edge.
pub(crate) struct TestEdge {
    pub(crate) world: Arc<World>,
    pub(crate) addresses: EdgeAddresses,
    pub(crate) observer: Observer,
    shutdown: watch::Sender<bool>,
    ended: tokio::task::JoinHandle<Result<(), RunError>>,
}

impl TestEdge {
    pub(crate) async fn start() -> Self {
        Self::start_with(World::new(), |_| {}).await
    }

    pub(crate) async fn start_with(world: Arc<World>, change: impl FnOnce(&mut EdgeSettings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        let edge = Edge::bind(settings, deps(&world)).await.expect("edge binds");
        let addresses = edge.addresses().clone();
        let observer = edge.observer();
        let (shutdown, told) = watch::channel(false);
        let ended = tokio::spawn(edge.serve(told));
        until("edge takes connections", || {
            !vayro_edge::admin::readiness(&observer).reasons.contains(&"edge does not take connections yet")
        })
        .await;
        Self { world, addresses, observer, shutdown, ended }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.addresses.http[0]
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.addresses.https[0]
    }

    pub(crate) fn tell_to_stop(&self) {
        self.shutdown.send_replace(true);
    }

    pub(crate) async fn stop(self) -> Arc<World> {
        self.tell_to_stop();
        self.ended().await
    }

    pub(crate) async fn ended(self) -> Arc<World> {
        let ended = tokio::time::timeout(PATIENCE, self.ended).await.expect("edge ends");
        ended.expect("no panic").expect("ends as told");
        self.world
    }

    /// Returns the value of a metric with its labels, such as `vayro_edge_draining`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = vayro_edge::admin::metrics_text(&self.observer);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name} in\n{text}")).parse().expect("a number")
    }

    pub(crate) async fn until_metric(&self, name: &str, value: f64) {
        until(name, || self.metric(name) >= value).await;
    }
}

fn deps(world: &Arc<World>) -> EdgeDeps {
    let clock_world = Arc::clone(world);
    EdgeDeps {
        name: "test:1".into(),
        lookup: Arc::new(Lookup(Arc::clone(world))),
        feed: Box::new(Feed(Arc::clone(world))),
        sink: Arc::new(Sink(Arc::clone(world))),
        reports: Arc::new(Reports(Arc::clone(world))),
        ledger_file: Arc::new(Ledgers(Arc::clone(world))),
        ledger: Arc::new(Ledgers(Arc::clone(world))),
        domains: Arc::new(Domains(Arc::clone(world))),
        served: Arc::new(Issued(Arc::clone(world))),
        tickets: Arc::new(Issued(Arc::clone(world))),
        default_host: host("default.example"),
        snapshot: world.snapshot.lock().clone(),
        clock: Arc::new(move || {
            assert!(!clock_world.is_clock_broken.load(Ordering::SeqCst), "told to break");
            clock_world.now()
        }),
    }
}

/// Returns why an edge with these settings does not start.
pub(crate) async fn bind_error(change: impl FnOnce(&mut EdgeSettings)) -> BindError {
    let mut settings = settings();
    change(&mut settings);
    match Edge::bind(settings, deps(&World::new())).await {
        Ok(_) => panic!("the edge starts"),
        Err(error) => error,
    }
}

/// The defaults, on ports that the kernel chooses and with limits that no test meets by chance.
fn settings() -> EdgeSettings {
    let layers = Layers::load(None, std::iter::empty(), &[]).expect("defaults load");
    let mut errors = layers.errors();
    let settings = EdgeSettings::read(&layers, &mut errors).expect("defaults are sound");
    EdgeSettings {
        listen: vec!["127.0.0.1:0".parse().expect("valid")],
        admin: None,
        threads: 2,
        certificate_reload: Duration::from_millis(20),
        cache_stale: Duration::from_secs(3600),
        misses_per_minute: 0,
        not_found_after: Duration::ZERO,
        lookup_timeout: PATIENCE,
        head_timeout: PATIENCE,
        handshake_timeout: PATIENCE,
        write_timeout: PATIENCE,
        ..settings
    }
}
