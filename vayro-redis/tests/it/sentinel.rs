//! A master that sentinels replace.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use vayro_core::change::Invalidation;
use vayro_core::click::Click;
use vayro_core::ids::ClickId;
use vayro_core::ports::{ClickSink as _, ClickStream as _, InvalidationFeed as _};
use vayro_redis::{
    RedisClickSink, RedisClickStream, RedisClient, RedisConfig, RedisInvalidationFeed, RedisPublisher,
};
use vayro_testing::{sentinel, wait};

use crate::support::{self, SOON, click, run};

const MANY: NonZeroUsize = NonZeroUsize::new(500).expect("not zero");

fn ids(clicks: impl IntoIterator<Item = u64>) -> BTreeSet<ClickId> {
    clicks.into_iter().map(|n| click(n).id).collect()
}

/// Appends clicks of the numbers one after the other, each as often as it takes, like an edge with its spool.
async fn append_all(sink: &RedisClickSink, numbers: std::ops::Range<u64>) {
    for n in numbers {
        wait::until("the sink", SOON, async || sink.append(&[click(n)]).await.ok()).await;
    }
}

/// Takes and settles clicks until all of these have come; failures are part of the game.
async fn take(stream: &RedisClickStream, expected: &BTreeSet<ClickId>, got: &mut BTreeSet<ClickId>) {
    wait::until("the clicks", SOON, async || {
        let mut batch = stream.next_batch(MANY, Duration::from_millis(50)).await.unwrap_or_default();
        batch.extend(stream.reclaim(MANY, Duration::ZERO).await.unwrap_or_default());
        let ids: Vec<_> = batch.iter().map(|delivery| delivery.id.clone()).collect();
        // What cannot be settled comes again and is the same click.
        got.extend(batch.iter().map(|d| Click::decode(&d.fields).expect("a click").id));
        drop(stream.ack(&ids).await);
        expected.is_subset(got).then_some(())
    })
    .await;
}

/// The new master may use the ids of entries again that only the old one had.
#[tokio::test]
async fn clicks_flow_on_over_a_failover() {
    let mut trio = sentinel::trio().await;
    let client = support::connect(&trio.url).await;
    let (sink, stream) = (RedisClickSink::new(&client), RedisClickStream::new(&client, "one"));
    let mut got = BTreeSet::new();
    append_all(&sink, 0..100).await;
    take(&stream, &ids(0..50), &mut got).await;
    let mut cli = support::cli(&trio.servers[0].url).await;
    assert_eq!(run::<u64>(&mut cli, "WAIT 1 5000").await, 1, "the replica has all so far");

    trio.servers[0].kill();
    let flow = append_all(&sink, 100..300);
    let (flowed, ()) = tokio::join!(flow, trio.promoted(1));
    let () = flowed;
    take(&stream, &ids(0..300), &mut got).await;
    assert_eq!(got, ids(0..300), "none is lost, and none is taken for another");

    let mut cli = support::cli(&trio.servers[1].url).await;
    run::<()>(&mut cli, "XGROUP DESTROY stream:clicks workers").await;
    append_all(&sink, 300..301).await;
    take(&stream, &ids(300..301), &mut got).await;
    let groups: Vec<redis::Value> = run(&mut cli, "XINFO GROUPS stream:clicks").await;
    assert_eq!(groups.len(), 1, "a replica that knew no group gets one");
}

#[tokio::test]
async fn a_frozen_master_is_left_and_not_returned_to() {
    let trio = sentinel::trio().await;
    let client = support::connect(&trio.url).await;
    let (sink, stream) = (RedisClickSink::new(&client), RedisClickStream::new(&client, "one"));
    let mut feed = RedisInvalidationFeed::new(&client);
    assert_eq!(feed.next().await, Invalidation::Everything);
    let mut got = BTreeSet::new();
    append_all(&sink, 0..10).await;
    take(&stream, &ids(0..10), &mut got).await;

    trio.servers[0].pause();
    trio.promoted(1).await;
    append_all(&sink, 10..20).await;
    take(&stream, &ids(10..20), &mut got).await;
    trio.servers[0].resume();
    wait::until("the demotion", SOON, async || {
        // It drops its connections when it is demoted.
        let server = redis::Client::open(trio.servers[0].url.as_str()).ok()?;
        let mut cli = server.get_multiplexed_async_connection().await.ok()?;
        let info: String = redis::cmd("INFO").arg("replication").query_async(&mut cli).await.ok()?;
        info.contains("role:slave").then_some(())
    })
    .await;
    append_all(&sink, 20..30).await;
    take(&stream, &ids(20..30), &mut got).await;
    let publisher = RedisPublisher::new(&client);
    support::heard_again(&publisher, &mut feed).await;
    let mut cli = support::cli(&trio.servers[1].url).await;
    assert!(run::<u64>(&mut cli, "XLEN stream:clicks").await >= 20, "all went to the new master");
}

#[tokio::test]
async fn two_of_three_sentinels_are_enough_and_the_name_must_be_known() {
    let mut trio = sentinel::trio().await;
    trio.kill_sentinel();
    let client = support::connect(&trio.url).await;
    client.ping().await.expect("it answers");
    let wrong = trio.url.replace(&format!("/{}", sentinel::MASTER), "/other");
    let error = RedisClient::connect(&RedisConfig::new(wrong)).await.expect_err("nobody knows it");
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("does not know the master"), "{cause}");
}
