//! Servers that freeze, die, fill up or turn read-only.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use vayro_core::change::LinkChange;
use vayro_core::click::Click;
use vayro_core::ids::ClickId;
use vayro_core::ports::{ClickSink as _, ClickStream as _, LinkLookup as _, LinkPublisher as _};
use vayro_core::stream::{DeadReason, NewDeadLetter};
use vayro_redis::{RedisClickSink, RedisClickStream, RedisClient, RedisConfig, RedisLookup, RedisPublisher};
use vayro_testing::wait;

use crate::support::{self, Database, SOON, click, clicks, key, link, run};

const ONE: NonZeroUsize = NonZeroUsize::MIN;

/// Waits until the cache answers again: the database is not asked anymore.
async fn cache_answers(lookup: &RedisLookup, database: &Database) {
    wait::until("the cache", SOON, async || {
        let before = database.asked();
        lookup.lookup(&key("abc")).await.expect("an answer");
        (database.asked() == before).then_some(())
    })
    .await;
}

/// Asks so often that it would take far too long if every question waited for the server.
async fn lookups_go_on(lookup: &RedisLookup, database: &Database) {
    let before = database.asked();
    let ask = async {
        for _ in 0..1000 {
            assert!(lookup.lookup(&key("abc")).await.expect("an answer").is_some());
        }
    };
    tokio::time::timeout(SOON, ask).await.expect("a server that is away costs little");
    assert_eq!(database.asked() - before, 1000);
}

#[tokio::test]
async fn lookups_pass_over_a_frozen_server() {
    let server = vayro_testing::redis::server().await;
    let client = support::connect(&server.url).await;
    let database = Database::with(&key("abc"), link("https://example.com/", 1));
    let lookup = RedisLookup::new(&client, database.clone());
    cache_answers(&lookup, &database).await;
    server.pause();
    lookups_go_on(&lookup, &database).await;
    server.resume();
    cache_answers(&lookup, &database).await;
}

/// A server that lets everybody in and answers no question; returns its address and counts the questions.
async fn mute_server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("redis://{}/", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = socket.read(&mut bytes).await {
                    let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                    count.fetch_add(text.matches("GETEX").count(), Ordering::SeqCst);
                    let greetings = text.matches("SETINFO").count();
                    if socket.write_all("+OK\r\n".repeat(greetings).as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (url, asked)
}

#[tokio::test]
async fn a_server_that_never_answers_is_asked_ever_less() {
    let (url, asked) = mute_server().await;
    let client = RedisClient::open(&RedisConfig::new(url)).expect("an address");
    let lookup = RedisLookup::new(&client, Database::with(&key("abc"), link("https://example.com/", 1)));
    for _ in 0..60 {
        assert!(lookup.lookup(&key("abc")).await.expect("an answer").is_some());
    }
    let asked = asked.load(Ordering::SeqCst);
    assert!((1..30).contains(&asked), "{asked} of 60 visitors waited for it");
}

#[tokio::test]
async fn lookups_pass_over_a_dead_server() {
    let mut server = vayro_testing::redis::server().await;
    let client = support::connect(&server.url).await;
    let database = Database::with(&key("abc"), link("https://example.com/", 1));
    let lookup = RedisLookup::new(&client, database.clone());
    cache_answers(&lookup, &database).await;
    server.kill();
    lookups_go_on(&lookup, &database).await;
    server.restart().await;
    cache_answers(&lookup, &database).await;
}

#[tokio::test]
async fn a_process_may_start_while_the_server_is_away() {
    let mut server = vayro_testing::redis::server().await;
    server.stop();
    let client = RedisClient::open(&RedisConfig::new(server.url.as_str())).expect("an address");
    let database = Database::with(&key("abc"), link("https://example.com/", 1));
    let lookup = RedisLookup::new(&client, database.clone());
    lookups_go_on(&lookup, &database).await;
    assert!(RedisClickSink::new(&client).append(&[click(1)]).await.is_err());
    server.restart().await;
    cache_answers(&lookup, &database).await;
}

/// Edges call from the runtimes of their own threads, which end earlier than the connections may.
#[test]
fn connections_outlive_the_runtimes_of_their_callers() {
    let home = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (redis, client) = home.block_on(async {
        let redis = vayro_testing::redis::database().await;
        let client = RedisClient::open(&RedisConfig::new(redis.url.as_str())).expect("an address");
        (redis, client)
    });
    for n in 0..3 {
        let visitor = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let sink = RedisClickSink::new(&client);
        visitor.block_on(async { sink.append(&[click(n)]).await.expect("taken") });
    }
    let length: u64 =
        home.block_on(async { run(&mut support::cli(&redis.url).await, "XLEN stream:clicks").await });
    assert_eq!(length, 3);
}

/// Takes and settles until this many have come, and returns their ids.
async fn take(stream: &RedisClickStream, count: usize) -> Vec<ClickId> {
    let max = NonZeroUsize::new(100).expect("not zero");
    let mut taken = Vec::new();
    wait::until("the clicks", SOON, async || {
        // Failures are part of the game; what was handed out and lost on the way is reclaimed.
        for is_new in [true, false] {
            let batch = if is_new {
                stream.next_batch(max, Duration::from_millis(50)).await
            } else {
                stream.reclaim(max, Duration::ZERO).await
            };
            let batch = batch.unwrap_or_default();
            let ids: Vec<_> = batch.iter().map(|delivery| delivery.id.clone()).collect();
            if stream.ack(&ids).await.is_ok() {
                taken.extend(batch.iter().map(|d| Click::decode(&d.fields).expect("a click").id));
            }
        }
        (taken.len() >= count).then_some(())
    })
    .await;
    taken
}

fn ids(clicks: &[Click]) -> Vec<ClickId> {
    clicks.iter().map(|click| click.id).collect()
}

#[tokio::test]
async fn clicks_outlive_a_killed_server() {
    let mut server = vayro_testing::redis::server().await;
    let client = support::connect(&server.url).await;
    let (sink, stream) = (RedisClickSink::new(&client), RedisClickStream::new(&client, "one"));
    sink.append(&clicks(40)).await.expect("taken");
    assert_eq!(take(&stream, 40).await, ids(&clicks(40)));
    sink.append(&clicks(40)).await.expect("taken");
    server.kill();
    assert!(sink.append(&clicks(40)).await.is_err(), "refused, not swallowed");
    assert!(stream.next_batch(ONE, Duration::ZERO).await.is_err());
    server.restart().await;
    wait::until("the sink", SOON, async || sink.append(&[click(99)]).await.ok()).await;
    let mut expected = clicks(40);
    expected.push(click(99));
    assert_eq!(take(&stream, 41).await, ids(&expected));
}

#[tokio::test]
async fn a_server_that_dies_under_a_waiting_consumer_is_found_again() {
    let mut server = vayro_testing::redis::server().await;
    let client = support::connect(&server.url).await;
    let stream = RedisClickStream::new(&client, "one");
    let mut cli = support::cli(&server.url).await;
    let die = async {
        wait::until("the waiting call", SOON, async || {
            run::<String>(&mut cli, "CLIENT LIST").await.contains("cmd=xreadgroup").then_some(())
        })
        .await;
        server.kill();
    };
    let (waited, ()) = tokio::join!(stream.next_batch(ONE, SOON), die);
    assert!(waited.is_err(), "{waited:?}");
    server.restart().await;
    let sink = RedisClickSink::new(&client);
    wait::until("the sink", SOON, async || sink.append(&[click(1)]).await.ok()).await;
    assert_eq!(take(&stream, 1).await, [click(1).id]);
}

#[tokio::test]
async fn a_frozen_server_takes_no_clicks_and_loses_none() {
    let server = vayro_testing::redis::server().await;
    let client = support::connect(&server.url).await;
    let (sink, stream) = (RedisClickSink::new(&client), RedisClickStream::new(&client, "one"));
    sink.append(&[click(0)]).await.expect("taken");
    assert_eq!(take(&stream, 1).await, [click(0).id]);
    server.pause();
    assert!(sink.append(&[click(1)]).await.is_err());
    assert!(stream.stats(support::now()).await.is_err());
    server.resume();
    wait::until("the sink", SOON, async || sink.append(&[click(2)]).await.ok()).await;
    // The frozen server may still take what it was sent; the same click twice is no harm.
    let mut taken = Vec::new();
    while !taken.contains(&click(2).id) {
        taken.extend(take(&stream, 1).await);
    }
}

/// A server of 4 MiB that clicks have filled.
async fn full_server() -> (vayro_testing::redis::RedisServer, RedisClient, RedisClickSink) {
    let server = vayro_testing::redis::server_with(&["--maxmemory", "4mb"]).await;
    let client = support::connect(&server.url).await;
    let sink = RedisClickSink::new(&client);
    let error = loop {
        if let Err(error) = sink.append(&clicks(500)).await {
            break error;
        }
    };
    assert!(error.0.to_string().contains("OOM") || error.0.to_string().contains("maxmemory"), "{error:?}");
    (server, client, sink)
}

#[tokio::test]
async fn a_full_server_refuses_clicks_until_there_is_room() {
    let (server, client, sink) = full_server().await;
    let stream = RedisClickStream::new(&client, "one");
    let held = stream.next_batch(ONE, SOON).await.expect("reading goes on").remove(0);
    let letter = NewDeadLetter {
        delivery: held.clone(),
        reason: DeadReason::Rejected,
        error: String::new(),
        at: support::now(),
    };
    assert!(stream.dead_letter(std::slice::from_ref(&letter)).await.is_err());
    let again = stream.reclaim(ONE, Duration::ZERO).await.expect("a batch").remove(0);
    assert_eq!(again.id, held.id, "what could not be put aside is still held");

    let mut cli = support::cli(&server.url).await;
    run::<()>(&mut cli, "CONFIG SET maxmemory 64mb").await;
    sink.append(&[click(1)]).await.expect("taken");
    stream.dead_letter(&[letter]).await.expect("put aside");
    assert_eq!(run::<u64>(&mut cli, "XLEN stream:clicks:dead").await, 1);
}

/// Somebody must be able to switch off a link that draws more clicks than the server can hold.
#[tokio::test]
async fn edits_act_on_a_full_server() {
    let (server, client, _) = full_server().await;
    let publisher = RedisPublisher::new(&client);
    let off = vayro_core::resolve::CachedLink { active: false, ..link("https://example.com/", 2) };
    let changes = [
        LinkChange { key: key("off"), revision: 2, link: Some(off) },
        LinkChange { key: key("gone"), revision: 3, link: None },
    ];
    publisher.publish(&changes).await.expect("published");
    let mut cli = support::cli(&server.url).await;
    assert!(run::<String>(&mut cli, "GET url:off").await.contains("\"active\":false"));
    assert_eq!(run::<u64>(&mut cli, "XLEN vayro:invalidations").await, 2);
}

#[tokio::test]
async fn a_demoted_server_takes_no_clicks() {
    let server = vayro_testing::redis::server().await;
    let client = support::connect(&server.url).await;
    let (sink, stream) = (RedisClickSink::new(&client), RedisClickStream::new(&client, "one"));
    sink.append(&[click(0)]).await.expect("taken");
    let mut cli = support::cli(&server.url).await;
    run::<()>(&mut cli, "REPLICAOF 127.0.0.1 1").await;
    assert!(sink.append(&[click(1)]).await.is_err());
    assert!(stream.next_batch(ONE, Duration::ZERO).await.is_err());
    run::<()>(&mut cli, "REPLICAOF NO ONE").await;
    sink.append(&[click(2)]).await.expect("taken");
    assert_eq!(take(&stream, 2).await, [click(0).id, click(2).id]);
}
