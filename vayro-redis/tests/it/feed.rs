//! Invalidations over failures.

use vayro_core::change::{Invalidation, LinkChange};
use vayro_core::ports::{InvalidationFeed as _, LinkPublisher as _};
use vayro_redis::{RedisClient, RedisInvalidationFeed, RedisPublisher};
use vayro_testing::wait;

use crate::support::{self, SOON, key, link, run};

fn change(code: &str, revision: i64) -> LinkChange {
    LinkChange { key: key(code), link: Some(link("https://example.com/", revision)), revision }
}

async fn publish(client: &RedisClient, code: &str, revision: i64) {
    let publisher = RedisPublisher::new(client);
    // The publisher's own connection may have to be made anew first.
    wait::until("a publication", SOON, async || publisher.publish(&[change(code, revision)]).await.ok())
        .await;
}

async fn next(feed: &mut RedisInvalidationFeed) -> Invalidation {
    tokio::time::timeout(SOON, feed.next()).await.expect("a message")
}

/// A feed that has said its first `Everything`.
async fn started(client: &RedisClient) -> RedisInvalidationFeed {
    let mut feed = RedisInvalidationFeed::new(client);
    assert_eq!(next(&mut feed).await, Invalidation::Everything, "changes before the start may be missing");
    feed
}

fn links(code: &str, revision: i64) -> Invalidation {
    Invalidation::Links(vec![(key(code), revision)])
}

async fn disconnected(feed: &RedisInvalidationFeed) {
    wait::until("the loss", SOON, async || (!feed.is_connected()).then_some(())).await;
}

#[tokio::test]
async fn a_feed_outlives_a_restart_without_missing_anything() {
    let mut server = vayro_testing::redis::server().await;
    let client = support::connect(&server.url).await;
    let mut feed = started(&client).await;
    publish(&client, "abc", 1).await;
    assert_eq!(next(&mut feed).await, links("abc", 1));

    server.kill();
    disconnected(&feed).await;
    server.restart().await;
    publish(&client, "abc", 2).await;
    assert_eq!(next(&mut feed).await, links("abc", 2), "the log was kept, so nothing else may be said");
    assert!(feed.is_connected());
}

#[tokio::test]
async fn a_server_that_lost_its_memory_invalidates_everything() {
    let mut server = vayro_testing::redis::server_with(&["--appendonly", "no"]).await;
    let client = support::connect(&server.url).await;
    let mut feed = started(&client).await;
    publish(&client, "abc", 1).await;
    assert_eq!(next(&mut feed).await, links("abc", 1));
    server.kill();
    server.restart().await;
    assert_eq!(next(&mut feed).await, Invalidation::Everything);
    publish(&client, "abc", 2).await;
    assert_eq!(next(&mut feed).await, links("abc", 2));
}

#[tokio::test]
async fn an_emptied_server_invalidates_everything() {
    let redis = vayro_testing::redis::database().await;
    let client = support::connect(&redis.url).await;
    let mut feed = started(&client).await;
    publish(&client, "abc", 1).await;
    assert_eq!(next(&mut feed).await, links("abc", 1));
    run::<()>(&mut support::cli(&redis.url).await, "FLUSHDB").await;
    assert_eq!(next(&mut feed).await, Invalidation::Everything);
}

#[tokio::test]
async fn a_feed_that_fell_behind_the_kept_messages_says_so() {
    let redis = vayro_testing::redis::database().await;
    let client = support::connect(&redis.url).await;
    let mut feed = started(&client).await;
    // More than one read and the queue can hold, so that reading has to pause before the end.
    for _ in 0..600 {
        RedisPublisher::new(&client).publish_domains().await.expect("published");
    }
    let mut cli = support::cli(&redis.url).await;
    run::<()>(&mut cli, "XTRIM vayro:invalidations MAXLEN 1").await;
    let mut domains = 0;
    while next(&mut feed).await == Invalidation::Domains {
        domains += 1;
        assert!(domains < 600, "cut messages were passed over in silence");
    }
}

#[tokio::test]
async fn a_frozen_server_is_noticed() {
    let server = vayro_testing::redis::server().await;
    let client = support::connect(&server.url).await;
    let mut feed = started(&client).await;
    assert!(feed.is_connected());
    server.pause();
    disconnected(&feed).await;
    server.resume();
    wait::until("the return", SOON, async || feed.is_connected().then_some(())).await;
    publish(&client, "abc", 1).await;
    while next(&mut feed).await != links("abc", 1) {}
}
