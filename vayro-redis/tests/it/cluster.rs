//! Redis Cluster: keys on several nodes, nodes that die, slots that move.

use std::collections::BTreeSet;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vayro_core::change::{Invalidation, LinkChange};
use vayro_core::click::Click;
use vayro_core::contract::messages::{BoardFixture, InvalidationFixture};
use vayro_core::contract::stream::StreamFixture;
use vayro_core::contract::visits::VisitsFixture;
use vayro_core::ids::{ClickId, LinkId};
use vayro_core::ports::{
    ClickSink, ClickStream, DeadLetterStore, EdgeReports, InvalidationFeed, LinkLookup as _, LinkPublisher,
    RateLimiter, RecentVisits,
};
use vayro_core::stream::{DeadLetterFilter, DeadReason, NewDeadLetter};
use vayro_core::timestamp::Timestamp;
use vayro_redis::{
    ConnectError, RedisClickSink, RedisClickStream, RedisClient, RedisConfig, RedisDeadLetters,
    RedisEdgeReports, RedisInvalidationFeed, RedisLookup, RedisPublisher, RedisRateLimiter,
    RedisRecentVisits,
};
use vayro_testing::cluster::{self, RedisCluster};
use vayro_testing::wait;

use crate::support::{self, Database, SOON, click, key, link};

const MANY: NonZeroUsize = NonZeroUsize::new(500).expect("not zero");

/// A cluster that is emptied for each rule.
struct World(RedisCluster);

impl World {
    async fn new() -> Self {
        Self(cluster::three_nodes().await)
    }

    async fn fixture(&self) -> Fixture {
        self.0.flush().await;
        Fixture(support::connect(&self.0.url).await)
    }
}

struct Fixture(RedisClient);

#[async_trait]
impl StreamFixture for Fixture {
    fn sink(&self) -> Arc<dyn ClickSink> {
        Arc::new(RedisClickSink::new(&self.0))
    }

    async fn consumer(&self, name: &str) -> Arc<dyn ClickStream> {
        Arc::new(RedisClickStream::new(&self.0, name))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetterStore> {
        Arc::new(RedisDeadLetters::new(&self.0))
    }

    fn now(&self) -> Timestamp {
        support::now()
    }
}

#[async_trait]
impl InvalidationFixture for Fixture {
    fn publisher(&self) -> Arc<dyn LinkPublisher> {
        Arc::new(RedisPublisher::new(&self.0))
    }

    async fn feed(&self) -> Box<dyn InvalidationFeed> {
        Box::new(RedisInvalidationFeed::new(&self.0))
    }
}

impl VisitsFixture for Fixture {
    fn visits(&self) -> Arc<dyn RecentVisits> {
        Arc::new(RedisRecentVisits::new(&self.0))
    }

    fn now(&self) -> Timestamp {
        support::now()
    }
}

impl BoardFixture for Fixture {
    fn reports(&self) -> Arc<dyn EdgeReports> {
        Arc::new(RedisEdgeReports::new(&self.0))
    }

    fn limits(&self) -> Arc<dyn RateLimiter> {
        Arc::new(RedisRateLimiter::new(&self.0))
    }

    fn now(&self) -> Timestamp {
        support::now()
    }
}

mod click_stream {
    use super::*;

    vayro_core::click_stream_contract!(contract_rules_in_turn, World::new());
}

mod shared_click_stream {
    use super::*;

    vayro_core::shared_click_stream_contract!(contract_rules_in_turn, World::new());
}

mod invalidations {
    use super::*;

    vayro_core::invalidation_contract!(contract_rules_in_turn, World::new());
}

mod board {
    use super::*;

    vayro_core::board_contract!(contract_rules_in_turn, World::new());
}

mod recent_visits {
    use super::*;

    vayro_core::recent_visits_contract!(contract_rules_in_turn, World::new());
}

/// Clicks of as many links.
fn clicks(numbers: std::ops::Range<u64>) -> Vec<Click> {
    let link = |n: u64| LinkId::from_uuid(uuid::Uuid::from_u128(u128::from(n) * 7919 + 1));
    numbers.map(|n| Click { link_id: link(n), ..click(n) }).collect()
}

fn ids(clicks: &[Click]) -> BTreeSet<ClickId> {
    clicks.iter().map(|click| click.id).collect()
}

/// Appends each click as often as it takes, like an edge with its spool.
async fn append_all(sink: &RedisClickSink, clicks: &[Click]) {
    for some in clicks.chunks(5) {
        wait::until("the sink", SOON, async || sink.append(some).await.ok()).await;
    }
}

/// Takes and settles until all of these have come; failures are part of the game.
async fn take(stream: &RedisClickStream, expected: &BTreeSet<ClickId>, got: &mut BTreeSet<ClickId>) {
    wait::until("the clicks", SOON, async || {
        let mut batch = stream.next_batch(MANY, Duration::from_millis(50)).await.unwrap_or_default();
        batch.extend(stream.reclaim(MANY, Duration::ZERO).await.unwrap_or_default());
        got.extend(batch.iter().map(|d| Click::decode(&d.fields).expect("a click").id));
        let ids: Vec<_> = batch.into_iter().map(|delivery| delivery.id).collect();
        drop(stream.ack(&ids).await);
        expected.is_subset(got).then_some(())
    })
    .await;
}

async fn sharded(cluster: &RedisCluster, shards: u16) -> RedisClient {
    let client = support::connect(&cluster.url).await;
    client.set_shards(NonZeroU16::new(shards).expect("not zero")).await.expect("set");
    client
}

#[tokio::test]
async fn shards_lie_on_different_nodes_and_links_are_cached() {
    let cluster = cluster::three_nodes().await;
    let client = sharded(&cluster, 8).await;
    let mut owners = BTreeSet::new();
    for keys in &client.shards().await.expect("the shards").active {
        owners.insert(cluster.owner(&keys.stream, None).await);
    }
    assert_eq!(owners.len(), 3, "every node has shards");

    let database = Database::with(&key("abc"), link("https://example.com/old", 1));
    let lookup = RedisLookup::new(&client, database.clone());
    let publisher = RedisPublisher::new(&client);
    let publish = async |link, revision| {
        let change = LinkChange { key: key("abc"), link, revision };
        publisher.publish(&[change]).await.expect("published");
    };
    publish(None, 2).await;
    lookup.lookup(&key("abc")).await.expect("an answer");
    assert_eq!(database.asked(), 1, "a late fill was refused");
    lookup.lookup(&key("abc")).await.expect("an answer");
    assert_eq!(database.asked(), 2);
    publish(Some(link("https://example.com/new", 3)), 3).await;
    publish(Some(link("https://example.com/old", 2)), 2).await;
    assert_eq!(lookup.lookup(&key("abc")).await.expect("an answer").expect("a link").revision, 3);
    assert_eq!(database.asked(), 2);
    let facts = client.facts().await.expect("facts");
    assert_eq!(facts.len(), 3);
    assert!(facts[0].to_string().starts_with("127.0.0.1:"), "{}", facts[0]);
}

#[tokio::test]
async fn a_dead_master_is_replaced_by_its_replica() {
    let mut cluster = cluster::six_nodes().await;
    let client = sharded(&cluster, 3).await;
    let (sink, stream) = (RedisClickSink::new(&client), RedisClickStream::new(&client, "one"));
    let mut feed = RedisInvalidationFeed::new(&client);
    let publisher = RedisPublisher::new(&client);
    assert_eq!(feed.next().await, Invalidation::Everything);
    let mut got = BTreeSet::new();
    append_all(&sink, &clicks(0..100)).await;
    take(&stream, &ids(&clicks(0..50)), &mut got).await;

    let dead = cluster.owner("stream:clicks:{1}", None).await;
    // What is not copied yet when a master dies is lost; here nothing may be on its way.
    let copied: i64 = cluster.tell(dead, &["WAIT", "1", "5000"]).await;
    assert_eq!(copied, 1);
    cluster.servers[dead].kill();
    let sent = clicks(100..300);
    tokio::join!(append_all(&sink, &sent), cluster.promoted(dead));
    take(&stream, &ids(&clicks(0..300)), &mut got).await;
    assert_eq!(got, ids(&clicks(0..300)));

    support::heard_again(&publisher, &mut feed).await;
    let stats = wait::until("stats", SOON, async || stream.stats(support::now()).await.ok()).await;
    assert_eq!((stats.pending, stats.undelivered.count), (0, 0));
}

#[tokio::test]
async fn slots_that_move_are_followed() {
    let cluster = cluster::three_nodes().await;
    let client = sharded(&cluster, 3).await;
    let (sink, stream) = (RedisClickSink::new(&client), RedisClickStream::new(&client, "one"));
    let letters = RedisDeadLetters::new(&client);
    let mut got = BTreeSet::new();
    append_all(&sink, &clicks(0..50)).await;
    take(&stream, &ids(&clicks(0..50)), &mut got).await;

    let from = cluster.owner("stream:clicks:{0}", None).await;
    let to = (from + 1) % 3;
    cluster.begin_move("stream:clicks:{0}", to).await;
    append_all(&sink, &clicks(50..100)).await;
    let batch = wait::until("a batch", SOON, async || {
        let batch = stream.next_batch(MANY, Duration::ZERO).await.expect("a batch");
        batch.iter().any(|delivery| delivery.id.0.starts_with("0:")).then_some(batch)
    })
    .await;
    got.extend(batch.iter().map(|d| Click::decode(&d.fields).expect("a click").id));
    let (moving, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(|d| d.id.0.starts_with("0:"));
    stream.ack(&others.into_iter().map(|d| d.id).collect::<Vec<_>>()).await.expect("settled");
    let letter = |delivery| NewDeadLetter {
        delivery,
        reason: DeadReason::Rejected,
        error: "no".to_owned(),
        at: support::now(),
    };
    let mut moving = moving.into_iter();
    let last = letter(moving.next().expect("one"));
    stream.ack(&moving.map(|d| d.id).collect::<Vec<_>>()).await.expect("settled");

    let slot = cluster.tell::<i64>(from, &["CLUSTER", "KEYSLOT", "stream:clicks:{0}"]).await.to_string();
    let id: String = cluster.tell(to, &["CLUSTER", "MYID"]).await;
    for node in [to, from, (from + 2) % 3] {
        cluster.tell::<()>(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &id]).await;
    }
    // Not before: a node that takes a slot over refuses scripts of which some key is not there.
    stream.dead_letter(&[last]).await.expect("put aside");
    assert_eq!(letters.list(&DeadLetterFilter::default(), None, 9).await.expect("a page").items.len(), 1);
    append_all(&sink, &clicks(100..150)).await;
    take(&stream, &ids(&clicks(0..150)), &mut got).await;
    cluster.move_slot("vayro:shards", (cluster.owner("vayro:shards", None).await + 1) % 3).await;
    assert_eq!(client.shards().await.expect("the shards").count().get(), 3);
}

#[tokio::test]
async fn the_address_must_say_that_it_is_a_cluster() {
    let cluster = cluster::three_nodes().await;
    let connect = async |url: &str| RedisClient::connect(&RedisConfig::new(url)).await;
    assert!(matches!(connect(&cluster.servers[0].url).await, Err(ConnectError::Cluster)));
    let one = cluster.servers[2].url.replace("redis://", "redis+cluster://");
    connect(&one).await.expect("one node is enough to find the others").ping().await.expect("all answer");
    let single = vayro_testing::redis::server().await.url.replace("redis://", "redis+cluster://");
    assert!(connect(&single).await.is_err());
}
