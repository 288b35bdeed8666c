//! What the tests share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use vayro_core::change::{Invalidation, LinkChange};
use vayro_core::click::{Click, ClickMethod};
use vayro_core::ids::{ClickId, LinkId, WorkspaceId};
use vayro_core::link::{LinkKey, RedirectStatus};
use vayro_core::ports::{InvalidationFeed as _, LinkLookup, LinkPublisher as _, StoreError};
use vayro_core::resolve::CachedLink;
use vayro_core::target::TargetUrl;
use vayro_core::timestamp::Timestamp;
use vayro_redis::{RedisClient, RedisConfig, RedisInvalidationFeed, RedisPublisher};

/// Longest wait for something that must happen.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) fn now() -> Timestamp {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros();
    Timestamp::from_micros(i64::try_from(micros).expect("before 9999")).expect("in range")
}

pub(crate) async fn connect(url: &str) -> RedisClient {
    RedisClient::connect(&RedisConfig::new(url)).await.expect("the server will do")
}

/// A connection that looks past the adapters, as `redis-cli` does.
pub(crate) async fn cli(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("an address");
    client.get_multiplexed_async_connection().await.expect("the server answers")
}

/// Runs a command written as on a command line.
pub(crate) async fn run<T: redis::FromRedisValue>(cli: &mut MultiplexedConnection, line: &str) -> T {
    let mut words = line.split(' ');
    let mut command = redis::cmd(words.next().expect("a command"));
    command.arg(words.collect::<Vec<_>>());
    command.query_async(cli).await.expect(line)
}

pub(crate) fn key(code: &str) -> LinkKey {
    LinkKey { domain: None, short_code: code.parse().expect("a short code") }
}

pub(crate) fn link(target: &str, revision: i64) -> CachedLink {
    CachedLink {
        target: TargetUrl::parse(target, &[]).expect("a target"),
        active: true,
        id: LinkId::from_uuid(uuid::Uuid::from_u128(1)),
        workspace_id: WorkspaceId::from_uuid(uuid::Uuid::from_u128(2)),
        status: RedirectStatus::Found,
        expires_at: None,
        revision,
    }
}

pub(crate) fn click(n: u64) -> Click {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&n.to_be_bytes());
    Click {
        id: ClickId::from_parts(Timestamp::from_millis(1_790_000_000_000).expect("in range"), random),
        link_id: LinkId::from_uuid(uuid::Uuid::from_u128(3)),
        workspace_id: WorkspaceId::from_uuid(uuid::Uuid::from_u128(2)),
        domain: "go.example".into(),
        ip: Some(IpAddr::from([192, 0, 2, 7])),
        user_agent: "Mozilla/5.0".into(),
        referer: "https://t.co/".into(),
        language: "".into(),
        query: "".into(),
        method: ClickMethod::Get,
        is_prefetch: false,
        is_private: false,
    }
}

pub(crate) fn clicks(count: u64) -> Vec<Click> {
    (0..count).map(click).collect()
}

/// Publishes changes until the feed hears one: before that it may say that anything may have been missed.
pub(crate) async fn heard_again(publisher: &RedisPublisher, feed: &mut RedisInvalidationFeed) {
    let mut revision = 100;
    vayro_testing::wait::until("a change that is heard", SOON, async || {
        revision += 1;
        let link = Some(link("https://example.com/", revision));
        publisher.publish(&[LinkChange { key: key("heard"), link, revision }]).await.ok()?;
        let heard = tokio::time::timeout(Duration::from_secs(2), feed.next()).await.ok()?;
        matches!(heard, Invalidation::Links(_)).then_some(())
    })
    .await;
}

/// A database of links that counts questions.
#[derive(Default)]
pub(crate) struct Database {
    pub(crate) links: Mutex<HashMap<LinkKey, CachedLink>>,
    pub(crate) asked: AtomicUsize,
    /// Taken by each question before it answers, if there.
    pub(crate) gate: Option<Arc<tokio::sync::Semaphore>>,
}

impl Database {
    pub(crate) fn with(key: &LinkKey, link: CachedLink) -> Arc<Self> {
        Arc::new(Self { links: Mutex::new(HashMap::from([(key.clone(), link)])), ..Self::default() })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl LinkLookup for Database {
    async fn lookup(&self, key: &LinkKey) -> Result<Option<CachedLink>, StoreError> {
        // The answer is read first: what a slow reader brings may be old by then.
        let link = self.links.lock().expect("no panic").get(key).cloned();
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.acquire().await.expect("open").forget();
        }
        Ok(link)
    }
}
