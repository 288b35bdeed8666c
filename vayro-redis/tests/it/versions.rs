//! What differs between versions of the server; the contracts run on each of them too.

use std::num::NonZeroUsize;
use std::time::Duration;

use vayro_core::change::LinkChange;
use vayro_core::ports::{ClickSink as _, ClickStream as _, LinkLookup as _, LinkPublisher as _};
use vayro_core::stream::Delivery;
use vayro_redis::{RedisClickSink, RedisClickStream, RedisClient, RedisLookup, RedisPublisher};
use vayro_testing::versions::{self, Version};

use crate::support::{self, Database, SOON, clicks, key, link, run};

/// Runs a check on a server of each version.
macro_rules! on_each {
    ($check:ident) => {
        mod $check {
            use super::*;

            #[tokio::test]
            async fn redis_8() {
                let server = versions::server(Version::Redis8).await;
                super::$check(&server.url).await;
            }

            #[tokio::test]
            async fn valkey_9() {
                let server = versions::server(Version::Valkey9).await;
                super::$check(&server.url).await;
            }
        }
    };
}

on_each!(it_says_what_it_is);
on_each!(a_newer_state_keeps_an_older_one_out_of_the_cache);
on_each!(a_lost_group_is_made_again);
on_each!(entries_that_somebody_removed_are_counted);
on_each!(trimming_leaves_what_is_not_settled);

async fn it_says_what_it_is(url: &str) {
    let facts = support::connect(url).await.facts().await.expect("facts").remove(0);
    let (product, is_known) = (facts.to_string(), facts.warnings().is_empty());
    assert!(["Redis 8.2.3, ", "Valkey 9.1.2, "].iter().any(|start| product.starts_with(start)), "{product}");
    assert!(is_known, "{:?}", facts.warnings());
}

async fn a_newer_state_keeps_an_older_one_out_of_the_cache(url: &str) {
    let client = support::connect(url).await;
    let database = Database::with(&key("abc"), link("https://example.com/old", 1));
    let lookup = RedisLookup::new(&client, database.clone());
    let publish = async |link_now, revision| {
        let change = LinkChange { key: key("abc"), link: link_now, revision };
        RedisPublisher::new(&client).publish(&[change]).await.expect("published");
    };
    publish(None, 2).await;
    lookup.lookup(&key("abc")).await.expect("an answer");
    let mut cli = support::cli(url).await;
    assert_eq!(run::<u64>(&mut cli, "EXISTS url:abc").await, 0, "a late fill is refused");
    publish(Some(link("https://example.com/new", 3)), 3).await;
    let asked = database.asked();
    assert_eq!(lookup.lookup(&key("abc")).await.expect("an answer").expect("a link").revision, 3);
    assert_eq!(database.asked(), asked, "the cache answers");
}

async fn take(stream: &RedisClickStream, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let max = NonZeroUsize::new(count - taken.len()).expect("some are missing");
        taken.extend(stream.next_batch(max, SOON).await.expect("a batch"));
    }
    taken
}

async fn ends(url: &str) -> (RedisClient, RedisClickSink, RedisClickStream) {
    let client = support::connect(url).await;
    let (sink, stream) = (RedisClickSink::new(&client), RedisClickStream::new(&client, "one"));
    (client, sink, stream)
}

async fn a_lost_group_is_made_again(url: &str) {
    let (_client, sink, stream) = ends(url).await;
    sink.append(&clicks(3)).await.expect("taken");
    take(&stream, 3).await;
    let mut cli = support::cli(url).await;
    run::<()>(&mut cli, "XGROUP DESTROY stream:clicks workers").await;
    assert_eq!(take(&stream, 3).await.len(), 3);
    let waiting = async { take(&stream, 1).await };
    let vanish = async {
        vayro_testing::wait::until("the waiting call", SOON, async || {
            run::<String>(&mut cli, "CLIENT LIST").await.contains("cmd=xreadgroup").then_some(())
        })
        .await;
        run::<()>(&mut cli, "FLUSHALL").await;
        sink.append(&clicks(1)).await.expect("taken");
    };
    assert_eq!(tokio::join!(waiting, vanish).0.len(), 1);
}

async fn entries_that_somebody_removed_are_counted(url: &str) {
    let (_client, sink, stream) = ends(url).await;
    sink.append(&clicks(3)).await.expect("taken");
    let taken = take(&stream, 3).await;
    run::<()>(&mut support::cli(url).await, &format!("XDEL stream:clicks {}", taken[1].id.0)).await;
    let ten = NonZeroUsize::new(10).expect("not zero");
    assert_eq!(stream.reclaim(ten, Duration::ZERO).await.expect("a batch").len(), 2);
    assert_eq!(stream.lost(), 1);
    assert_eq!(stream.stats(support::now()).await.expect("stats").pending, 2);
}

async fn trimming_leaves_what_is_not_settled(url: &str) {
    let (_client, sink, stream) = ends(url).await;
    sink.append(&clicks(300)).await.expect("taken");
    let taken = take(&stream, 250).await;
    let ids: Vec<_> = taken.iter().map(|delivery| delivery.id.clone()).collect();
    stream.ack(&ids[..200]).await.expect("settled");
    assert_eq!(stream.trim(Duration::ZERO, support::now()).await.expect("trimmed"), 200);
    stream.ack(&ids[200..]).await.expect("settled");
    let stats = stream.stats(support::now()).await.expect("stats");
    assert_eq!((stats.length, stats.undelivered.count, stats.acked_total), (100, 50, Some(250)));
}
