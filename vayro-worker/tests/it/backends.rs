//! The worker on both back-end sets: real PostgreSQL and Redis, real SQLite and segment log.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use vayro_backends::config::{BackendConfig, Layers};
use vayro_backends::{Backends, Roles, clock};
use vayro_core::account::{NewUser, Plan, Workspace};
use vayro_core::analytics::ClickScope;
use vayro_core::change::ChangeContext;
use vayro_core::click::{Click, ClickClass, ClickMethod, ClickRow};
use vayro_core::ids::{AuditId, ClickId, DomainId, LinkId, UserId, WorkspaceId};
use vayro_core::link::{NewLink, RedirectStatus};
use vayro_core::ports::{ClickStore, ClickStream, StoreError, StreamError, WriteError, WriteOutcome};
use vayro_core::stream::{
    DeadLetterFilter, DeadReason, Delivery, DeliveryId, NewDeadLetter, StreamStats, Unsettled,
};
use vayro_core::target::TargetUrl;
use vayro_core::timestamp::Timestamp;
use vayro_testing::{postgres, redis, wait};
use vayro_worker::{Worker, WorkerDeps, WorkerSettings};

/// Longest wait for clicks to be counted.
const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A migrated back-end set with one link.
pub(crate) struct Bench {
    flags: Vec<(&'static str, String)>,
    pub(crate) backends: Backends,
    workspace: WorkspaceId,
    link: LinkId,
    _dir: TempDir,
}

impl Bench {
    async fn embedded() -> Self {
        Self::new(vec![("backend.set", "embedded".to_owned())]).await
    }

    pub(crate) async fn clustered(postgres: &str, redis: &str) -> Self {
        let flags = [("backend.set", "clustered"), ("postgres.url", postgres), ("redis.url", redis)];
        Self::new(flags.map(|(key, value)| (key, value.to_owned())).to_vec()).await
    }

    async fn new(mut flags: Vec<(&'static str, String)>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        flags.push(("backend.data_dir", dir.path().display().to_string()));
        let backends = connect(&flags).await;
        backends.migrate().await.expect("migrated");
        let now = clock::now();
        let (user, workspace, link) = (
            UserId::from_parts(now, [1; 10]),
            WorkspaceId::from_parts(now, [2; 10]),
            LinkId::from_parts(now, [3; 10]),
        );
        let context = |n: u8| ChangeContext {
            audit_id: AuditId::from_parts(now, [n; 10]),
            user_id: Some(user),
            key_id: None,
            request_id: None,
            at: now,
        };
        let account = NewUser {
            id: user,
            email: "ada@example.com".parse().expect("valid"),
            password_hash: "!".to_owned(),
            plan: Plan::Free,
            is_operator: false,
        };
        let home = Workspace { id: workspace, name: "Ada".to_owned(), created_at: now };
        backends.users.insert(account, &home, &context(4)).await.expect("stored");
        let new = NewLink {
            id: link,
            workspace_id: workspace,
            user_id: user,
            domain_id: DomainId::DEFAULT,
            short_code: "launch".parse().expect("valid"),
            target_url: TargetUrl::parse("https://example.com/", &[]).expect("valid"),
            title: String::new(),
            redirect_status: RedirectStatus::default(),
            is_active: true,
            expires_at: None,
        };
        backends.links.insert(new, &context(5)).await.expect("stored");
        Self { flags, backends, workspace, link, _dir: dir }
    }

    /// Closes everything and connects again, as the next process would.
    async fn reconnect(&mut self) {
        self.backends.close().await;
        self.backends = connect(&self.flags).await;
    }

    pub(crate) fn clicks(&self, numbers: std::ops::Range<u32>) -> Vec<Click> {
        let now = clock::now();
        numbers.map(|n| self.click(n, now)).collect()
    }

    fn click(&self, n: u32, at: Timestamp) -> Click {
        let mut random = [0; 10];
        random[6..].copy_from_slice(&n.to_be_bytes());
        Click {
            id: ClickId::from_parts(at, random),
            link_id: self.link,
            workspace_id: self.workspace,
            domain: "go.example".into(),
            ip: Some(IpAddr::from([192, 0, 2, u8::try_from(n % 100).expect("small")])),
            user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0".into(),
            referer: "https://www.example.com/page".into(),
            language: "de-CH,de;q=0.9".into(),
            query: "utm_source=mail".into(),
            method: ClickMethod::Get,
            is_prefetch: false,
        }
    }

    pub(crate) async fn append(&self, clicks: &[Click]) {
        self.backends.sink.append(clicks).await.expect("appended");
    }

    /// Returns the rows in the database, whatever they count as.
    async fn stored(&self) -> i64 {
        let now = clock::now();
        let scope = ClickScope {
            workspace_id: self.workspace,
            link_id: None,
            start: now.minus(DAY * 400),
            end: now.plus(DAY),
            classes: ClickClass::ALL.to_vec(),
            filters: Vec::new(),
        };
        self.backends.analytics.totals(&scope).await.map_or(-1, |count| count.clicks)
    }

    pub(crate) async fn until_stored(&self, count: i64) {
        wait::until("every click is stored", PATIENCE, async || (self.stored().await == count).then_some(()))
            .await;
    }

    pub(crate) async fn until_settled(&self) {
        wait::until("every click is settled", PATIENCE, async || {
            let stats = self.stats().await?;
            (stats.pending == 0 && stats.undelivered.count == 0).then_some(())
        })
        .await;
    }

    pub(crate) async fn stats(&self) -> Option<StreamStats> {
        self.backends.stream.stats(clock::now()).await.ok()
    }

    async fn counter(&self) -> i64 {
        let link = self.backends.links.find(self.workspace, self.link).await.expect("found");
        link.expect("the link is there").clicks
    }

    async fn dead_reasons(&self) -> Vec<DeadReason> {
        let letters = self.backends.dead_letters.list(&DeadLetterFilter::default(), None, 100).await;
        letters.expect("listed").items.iter().map(|letter| letter.reason).collect()
    }

    /// Starts a worker whose ports are first handed through `wrap`.
    async fn start(&self, wrap: impl FnOnce(&mut WorkerDeps)) -> Running {
        let mut deps = WorkerDeps::new(&self.backends);
        wrap(&mut deps);
        let settings = WorkerSettings {
            admin: None,
            reclaim_idle: Duration::from_secs(1),
            reclaim_every: Duration::from_millis(100),
            // A hundred visitors send all clicks of these tests.
            repeat_window: Duration::ZERO,
            ..WorkerSettings::default()
        };
        let worker = Worker::new(settings, deps).await.expect("a worker");
        let (stop, shutdown) = watch::channel(false);
        Running { stop, task: tokio::spawn(worker.run(shutdown)) }
    }
}

async fn connect(flags: &[(&'static str, String)]) -> Backends {
    let layers = Layers::load(None, std::iter::empty(), flags).expect("loaded");
    let mut errors = layers.errors();
    let config = BackendConfig::read(&layers, &mut errors);
    errors.finish().expect("valid");
    Backends::connect(&config.expect("valid"), Roles::ALL).await.expect("connected")
}

struct Running {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(PATIENCE, self.task).await.expect("it stops").expect("it does not panic");
    }

    async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

/// A stream that never returns from an acknowledgement while told so: the worker dies just before.
struct StuckAck {
    stream: Arc<dyn ClickStream>,
    is_stuck: Arc<AtomicBool>,
}

#[async_trait]
impl ClickStream for StuckAck {
    async fn next_batch(
        &self,
        max: std::num::NonZeroUsize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, StreamError> {
        self.stream.next_batch(max, wait).await
    }

    async fn reclaim(
        &self,
        max: std::num::NonZeroUsize,
        min_idle: Duration,
    ) -> Result<Vec<Delivery>, StreamError> {
        self.stream.reclaim(max, min_idle).await
    }

    async fn ack(&self, ids: &[DeliveryId]) -> Result<(), StreamError> {
        if self.is_stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.stream.ack(ids).await
    }

    async fn dead_letter(&self, letters: &[NewDeadLetter]) -> Result<(), StreamError> {
        self.stream.dead_letter(letters).await
    }

    async fn trim(&self, window: Duration, now: Timestamp) -> Result<u64, StreamError> {
        self.stream.trim(window, now).await
    }

    async fn stats(&self, now: Timestamp) -> Result<StreamStats, StreamError> {
        self.stream.stats(now).await
    }

    async fn unsettled(&self, max: u64) -> Result<Unsettled, StreamError> {
        self.stream.unsettled(max).await
    }

    async fn leave(&self) -> Result<(), StreamError> {
        self.stream.leave().await
    }
}

/// A store that says when a write has begun.
struct ToldWrites {
    clicks: Arc<dyn ClickStore>,
    begun: Arc<Notify>,
}

#[async_trait]
impl ClickStore for ToldWrites {
    async fn write(&self, rows: &[ClickRow]) -> Result<WriteOutcome, WriteError> {
        self.begun.notify_one();
        self.clicks.write(rows).await
    }

    async fn ensure_partitions(&self, from: Timestamp, to: Timestamp) -> Result<(), StoreError> {
        self.clicks.ensure_partitions(from, to).await
    }

    async fn visitor_salt(
        &self,
        day: Timestamp,
        candidate: [u8; 16],
        oldest: Timestamp,
    ) -> Result<Option<[u8; 16]>, StoreError> {
        self.clicks.visitor_salt(day, candidate, oldest).await
    }

    async fn delete_salts(&self, oldest: Timestamp) -> Result<u64, StoreError> {
        self.clicks.delete_salts(oldest).await
    }
}

async fn clicks_are_counted(bench: Bench) {
    let worker = bench.start(|_| {}).await;
    bench.append(&bench.clicks(0..2_500)).await;
    bench.until_stored(2_500).await;
    bench.until_settled().await;
    worker.stop().await;
    assert_eq!(bench.counter().await, 2_500);
    assert_eq!(bench.dead_reasons().await, []);
    bench.backends.close().await;
}

async fn a_kill_before_the_acknowledgement_counts_nothing_twice(mut bench: Bench) {
    bench.append(&bench.clicks(0..2_500)).await;
    let is_stuck = Arc::new(AtomicBool::new(true));
    let worker = bench
        .start(|deps| {
            deps.stream = Arc::new(StuckAck { stream: Arc::clone(&deps.stream), is_stuck });
        })
        .await;
    bench.until_stored(2_500).await;
    worker.kill().await;
    bench.reconnect().await;

    let worker = bench.start(|_| {}).await;
    bench.append(&bench.clicks(2_500..2_600)).await;
    bench.until_stored(2_600).await;
    bench.until_settled().await;
    worker.stop().await;
    assert_eq!(bench.stored().await, 2_600);
    assert_eq!(bench.counter().await, 2_600);
    assert_eq!(bench.dead_reasons().await, []);
    bench.backends.close().await;
}

async fn kills_during_writes_lose_nothing(mut bench: Bench) {
    // Fewer kills than make a click a suspect of killing.
    for round in 0..2 {
        bench.append(&bench.clicks(round * 3_000..(round + 1) * 3_000)).await;
        let begun = Arc::new(Notify::new());
        let told = Arc::clone(&begun);
        let worker = bench
            .start(|deps| {
                deps.clicks = Arc::new(ToldWrites { clicks: Arc::clone(&deps.clicks), begun: told });
            })
            .await;
        begun.notified().await;
        worker.kill().await;
        bench.reconnect().await;
    }
    let worker = bench.start(|_| {}).await;
    bench.until_stored(6_000).await;
    bench.until_settled().await;
    worker.stop().await;
    assert_eq!(bench.stored().await, 6_000);
    assert_eq!(bench.counter().await, 6_000);
    assert_eq!(bench.dead_reasons().await, []);
    bench.backends.close().await;
}

async fn refused_clicks_are_put_aside_alone(bench: Bench) {
    let mut clicks = bench.clicks(0..1_000);
    clicks[617].link_id = LinkId::from_uuid(uuid::Uuid::from_u128(9));
    bench.append(&clicks).await;
    let worker = bench.start(|_| {}).await;
    bench.until_stored(999).await;
    bench.until_settled().await;
    assert_eq!(bench.dead_reasons().await, [DeadReason::UnknownLink]);

    // Put back after its link exists is all it takes; here it goes to the same place again.
    let letters = bench.backends.dead_letters.list(&DeadLetterFilter::default(), None, 10).await;
    let letter = letters.expect("listed").items.remove(0);
    assert_eq!(
        bench.backends.dead_letters.replay(std::slice::from_ref(&letter.id)).await.expect("replayed"),
        1
    );
    wait::until("it is put aside again", PATIENCE, async || {
        let letters = bench.backends.dead_letters.list(&DeadLetterFilter::default(), None, 10).await.ok()?;
        letters.items.iter().any(|again| again.id != letter.id).then_some(())
    })
    .await;
    worker.stop().await;
    assert_eq!(bench.stored().await, 999);
    bench.backends.close().await;
}

macro_rules! on_both_sets {
    ($($rule:ident)*) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    super::$rule(super::Bench::embedded().await).await;
                }
            )*
        }

        mod clustered {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    let (postgres, redis) = (super::postgres::database().await, super::redis::database().await);
                    super::$rule(super::Bench::clustered(&postgres.url, &redis.url).await).await;
                }
            )*
        }
    };
}

on_both_sets! {
    clicks_are_counted
    a_kill_before_the_acknowledgement_counts_nothing_twice
    kills_during_writes_lose_nothing
    refused_clicks_are_put_aside_alone
}

/// The partitions of PostgreSQL end somewhere; SQLite has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_from_before_all_partitions_is_put_aside() {
    let (postgres, redis) = (postgres::database().await, redis::database().await);
    let bench = Bench::clustered(&postgres.url, &redis.url).await;
    let mut clicks = bench.clicks(0..50);
    clicks[7] = bench.click(7, clock::now().minus(DAY * 200));
    bench.append(&clicks).await;
    let worker = bench.start(|_| {}).await;
    bench.until_stored(49).await;
    bench.until_settled().await;
    worker.stop().await;
    assert_eq!(bench.dead_reasons().await, [DeadReason::OutOfRange]);
    bench.backends.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_and_comes_back_costs_nothing() {
    let (mut postgres, redis) = (postgres::server().await, redis::database().await);
    let bench = Bench::clustered(&postgres.url, &redis.url).await;
    let worker = bench.start(|_| {}).await;
    bench.append(&bench.clicks(0..500)).await;
    bench.until_stored(500).await;
    postgres.kill();
    bench.append(&bench.clicks(500..9_000)).await;
    // What is handed out now waits in the worker; the rest waits in the stream.
    wait::until("clicks are held", PATIENCE, async || (bench.stats().await?.pending > 0).then_some(())).await;
    postgres.restart().await;
    bench.until_stored(9_000).await;
    bench.until_settled().await;
    worker.stop().await;
    assert_eq!(bench.counter().await, 9_000);
    assert_eq!(bench.dead_reasons().await, []);
    bench.backends.close().await;
}
