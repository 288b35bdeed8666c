//! The click stream: its form in Redis, and the traps of streams.

use std::num::NonZeroUsize;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use vayro_core::click::{Click, Fields};
use vayro_core::ports::{ClickSink as _, ClickStream as _, DeadLetterStore as _};
use vayro_core::stream::{DeadLetterFilter, DeadReason, Delivery, DeliveryId, NewDeadLetter};
use vayro_redis::{RedisClickSink, RedisClickStream, RedisClient, RedisDeadLetters};

use crate::support::{self, SOON, click, clicks, run};

const HOUR: Duration = Duration::from_hours(1);
const GLANCE: Duration = Duration::from_millis(20);

struct Setting {
    client: RedisClient,
    cli: MultiplexedConnection,
    sink: RedisClickSink,
    stream: RedisClickStream,
}

async fn setting() -> Setting {
    let redis = vayro_testing::redis::database().await;
    setting_on(&redis.url).await
}

async fn setting_on(url: &str) -> Setting {
    let client = support::connect(url).await;
    Setting {
        cli: support::cli(url).await,
        sink: RedisClickSink::new(&client),
        stream: RedisClickStream::new(&client, "one"),
        client,
    }
}

fn size(max: usize) -> NonZeroUsize {
    NonZeroUsize::new(max).expect("not zero")
}

async fn take(stream: &RedisClickStream, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let batch = stream.next_batch(size(count - taken.len()), SOON).await.expect("a batch");
        assert!(!batch.is_empty(), "got {} of {count}", taken.len());
        taken.extend(batch);
    }
    taken
}

async fn ack(stream: &RedisClickStream, taken: &[Delivery]) {
    let ids: Vec<DeliveryId> = taken.iter().map(|delivery| delivery.id.clone()).collect();
    stream.ack(&ids).await.expect("settled");
}

fn letter(delivery: Delivery) -> NewDeadLetter {
    NewDeadLetter { delivery, reason: DeadReason::Rejected, error: "no".to_owned(), at: support::now() }
}

fn decode(delivery: &Delivery) -> Click {
    Click::decode(&delivery.fields).expect("a click")
}

#[tokio::test]
async fn an_entry_has_the_specifications_fields() {
    let mut s = setting().await;
    s.sink.append(&[click(1)]).await.expect("taken");
    let entries: Vec<(String, Vec<(String, String)>)> = run(&mut s.cli, "XRANGE stream:clicks - +").await;
    let find = |name: &str| entries[0].1.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!(find("link_id"), Some("00000000-0000-0000-0000-000000000003"));
    assert_eq!(find("timestamp"), Some("2026-09-21T14:13:20Z"));
    assert_eq!(find("ip"), Some("192.0.2.7"));
    assert_eq!(find("user_agent"), Some("Mozilla/5.0"));
    assert_eq!(find("referer"), Some("https://t.co/"));
    assert_eq!(find("id"), Some(click(1).id.to_string().as_str()));
    take(&s.stream, 1).await;
    let groups: Vec<Vec<(String, redis::Value)>> = run(&mut s.cli, "XINFO GROUPS stream:clicks").await;
    assert_eq!(groups.len(), 1);
    assert!(groups[0].contains(&("name".to_owned(), redis::Value::BulkString(b"workers".to_vec()))));
}

/// After a failover the server may use an id again, so clicks are told apart by their own ids.
#[tokio::test]
async fn the_servers_id_says_nothing_about_the_click() {
    let mut s = setting().await;
    s.sink.append(&[click(1), click(1)]).await.expect("taken");
    let twice = take(&s.stream, 2).await;
    assert_ne!(twice[0].id, twice[1].id);
    assert_eq!(decode(&twice[0]).id, decode(&twice[1]).id, "sent again, it is the same click");

    run::<()>(&mut s.cli, "FLUSHDB").await;
    let mut add = redis::cmd("XADD");
    add.arg("stream:clicks").arg(&twice[0].id.0);
    click(2).encode(|name, value| {
        add.arg(name).arg(value);
    });
    add.query_async::<()>(&mut s.cli).await.expect("added");
    let other = take(&s.stream, 1).await;
    assert_eq!(other[0].id, twice[0].id);
    assert_eq!(decode(&other[0]).id, click(2).id, "under an old id, it is another click");
}

/// A length limit would drop clicks that no worker has seen.
#[tokio::test]
async fn the_stream_grows_for_as_long_as_nobody_reads() {
    let mut s = setting().await;
    s.sink.append(&clicks(12_000)).await.expect("taken");
    assert_eq!(run::<u64>(&mut s.cli, "XLEN stream:clicks").await, 12_000);
    take(&s.stream, 1).await;
    let stats = s.stream.stats(support::now()).await.expect("stats");
    assert_eq!(
        (stats.undelivered.count, stats.undelivered.is_capped),
        (10_000, true),
        "counting has a bound"
    );
    assert_eq!(stats.added_total, Some(12_000));
}

/// Nil is unknown, and a wrong lag is only a hint.
#[tokio::test]
async fn undelivered_entries_are_counted_where_the_server_cannot() {
    let mut s = setting().await;
    s.sink.append(&clicks(5)).await.expect("taken");
    take(&s.stream, 2).await;
    let ids: Vec<(String, redis::Value)> = run(&mut s.cli, "XRANGE stream:clicks - +").await;
    run::<()>(&mut s.cli, &format!("XDEL stream:clicks {}", ids[3].0)).await;
    let stats = s.stream.stats(support::now()).await.expect("stats");
    assert_eq!(stats.server_lag, None, "a hole in what is undelivered, and the server cannot tell");
    assert_eq!(stats.undelivered.count, 2);

    // Cutting entries that were never delivered confuses the lag of 7.0 and 7.2 for good.
    run::<()>(&mut s.cli, "XTRIM stream:clicks MAXLEN 1").await;
    let stats = s.stream.stats(support::now()).await.expect("stats");
    assert_eq!(stats.undelivered.count, 1);
}

/// A group made late, or made again, begins at the beginning.
#[tokio::test]
async fn a_lost_group_is_made_again_from_the_beginning() {
    let mut s = setting().await;
    s.sink.append(&clicks(3)).await.expect("taken");
    assert_eq!(take(&s.stream, 3).await.len(), 3);
    run::<()>(&mut s.cli, "XGROUP DESTROY stream:clicks workers").await;
    assert_eq!(s.stream.reclaim(size(9), Duration::ZERO).await.expect("a batch"), []);
    assert_eq!(take(&s.stream, 3).await.len(), 3, "handed out again, to be told by their ids");

    run::<()>(&mut s.cli, "FLUSHDB").await;
    assert_eq!(s.stream.stats(support::now()).await.expect("stats").length, 0);
    s.sink.append(&[click(7)]).await.expect("taken");
    assert_eq!(decode(&take(&s.stream, 1).await[0]), click(7));
}

#[tokio::test]
async fn a_stream_that_vanishes_under_a_waiting_consumer_is_made_again() {
    let mut s = setting().await;
    assert_eq!(s.stream.next_batch(size(1), GLANCE).await.expect("a batch"), []);
    let waiting = async { take(&s.stream, 1).await };
    let vanish = async {
        let mut cli = s.cli.clone();
        vayro_testing::wait::until("the waiting call", SOON, async || {
            let clients: String = run(&mut cli, "CLIENT LIST").await;
            clients.contains("cmd=xreadgroup").then_some(())
        })
        .await;
        run::<()>(&mut s.cli, "FLUSHDB").await;
        s.sink.append(&[click(1)]).await.expect("taken");
    };
    let (taken, ()) = tokio::join!(waiting, vanish);
    assert_eq!(decode(&taken[0]), click(1));
}

/// Entries of a deleted consumer can never be claimed.
#[tokio::test]
async fn only_consumers_that_hold_nothing_are_forgotten() {
    let mut s = setting().await;
    s.sink.append(&clicks(2)).await.expect("taken");
    let killed = RedisClickStream::new(&s.client, "killed");
    let idle = RedisClickStream::new(&s.client, "idle");
    let held = take(&killed, 1).await;
    ack(&idle, &take(&idle, 1).await).await;
    killed.leave().await.expect("left");

    assert_eq!(s.stream.forget_idle_consumers(HOUR).await.expect("forgotten"), 0);
    assert_eq!(s.stream.forget_idle_consumers(Duration::ZERO).await.expect("forgotten"), 1);
    let stats = s.stream.stats(support::now()).await.expect("stats");
    assert_eq!(stats.consumers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["killed"]);
    let again = s.stream.reclaim(size(9), Duration::ZERO).await.expect("a batch");
    assert_eq!(again[0].id, held[0].id);
    assert_eq!(
        s.stream.forget_idle_consumers(Duration::ZERO).await.expect("forgotten"),
        1,
        "now it is empty"
    );
    run::<()>(&mut s.cli, "FLUSHDB").await;
    assert_eq!(s.stream.forget_idle_consumers(Duration::ZERO).await.expect("nobody"), 0);
    s.stream.leave().await.expect("nothing to leave");
}

/// Putting aside is one step, so doing it again finds nothing to do.
#[tokio::test]
async fn an_entry_becomes_one_dead_letter_however_often_it_is_tried() {
    let mut s = setting().await;
    s.sink.append(&clicks(2)).await.expect("taken");
    let taken = take(&s.stream, 2).await;
    let other = RedisClickStream::new(&s.client, "two");
    for stream in [&s.stream, &other] {
        stream.dead_letter(&[letter(taken[0].clone())]).await.expect("put aside");
    }
    ack(&s.stream, &taken[1..]).await;
    s.stream.dead_letter(&[letter(taken[1].clone())]).await.expect("settled already");
    assert_eq!(run::<u64>(&mut s.cli, "XLEN stream:clicks:dead").await, 1);
    assert_eq!(s.stream.stats(support::now()).await.expect("stats").acked_total, Some(2));
}

#[tokio::test]
async fn a_dead_letter_keeps_the_bytes_of_its_entry() {
    let mut s = setting().await;
    let raw: Fields = vec![
        ("link_id".into(), b"\xFF\x00\r\n".to_vec()),
        ("dead.reason".into(), b"a name of ours".to_vec()),
        ("empty".into(), Vec::new()),
    ];
    let mut add = redis::cmd("XADD");
    add.arg("stream:clicks").arg("*");
    for (name, value) in &raw {
        add.arg(&**name).arg(value);
    }
    add.query_async::<()>(&mut s.cli).await.expect("added");
    let taken = take(&s.stream, 1).await;
    assert_eq!(taken[0].fields, raw);
    s.stream.dead_letter(&[letter(taken[0].clone())]).await.expect("put aside");

    let store = RedisDeadLetters::new(&s.client);
    let page = store.list(&DeadLetterFilter::default(), None, 10).await.expect("a page");
    let kept = &page.items[0];
    assert_eq!((kept.reason, kept.fields[0].1.as_str()), (DeadReason::Rejected, "\u{FFFD}\0\r\n"));
    assert_eq!(store.replay(std::slice::from_ref(&kept.id)).await.expect("replayed"), 1);
    assert_eq!(take(&s.stream, 1).await[0].fields, raw);
}

#[tokio::test]
async fn a_letter_of_unknown_origin_is_listed_all_the_same() {
    let mut s = setting().await;
    run::<()>(&mut s.cli, "XADD stream:clicks:dead * what ever").await;
    let store = RedisDeadLetters::new(&s.client);
    let page = store.list(&DeadLetterFilter::default(), None, 10).await.expect("a page");
    assert_eq!(page.items.len(), 1);
    assert_eq!(store.list(&DeadLetterFilter::default(), Some("odd"), 10).await.expect("a page").items, []);
    assert_eq!(store.purge(&[page.items[0].id.clone()]).await.expect("purged"), 1);
}

/// A call that waits holds up nobody.
#[tokio::test]
async fn a_waiting_call_does_not_hold_up_others() {
    let s = setting().await;
    s.stream.next_batch(size(1), GLANCE).await.expect("a batch");
    let busy = async {
        for _ in 0..20 {
            s.stream.stats(support::now()).await.expect("stats");
            s.stream.reclaim(size(1), Duration::ZERO).await.expect("a batch");
            s.stream.ack(&[DeliveryId("1-1".to_owned())]).await.expect("settled");
        }
    };
    tokio::select! {
        batch = s.stream.next_batch(size(1), SOON) => panic!("the others waited for {batch:?}"),
        () = busy => {}
    }
}

#[tokio::test]
async fn entries_that_somebody_removed_are_counted_as_lost() {
    let mut s = setting().await;
    s.sink.append(&clicks(3)).await.expect("taken");
    let taken = take(&s.stream, 3).await;
    run::<()>(&mut s.cli, &format!("XDEL stream:clicks {}", taken[1].id.0)).await;
    let again = s.stream.reclaim(size(9), Duration::ZERO).await.expect("a batch");
    assert_eq!(again.len(), 2);
    assert_eq!(s.stream.lost(), 1);
    assert_eq!(s.stream.stats(support::now()).await.expect("stats").pending, 2);
    s.stream.reclaim(size(9), Duration::ZERO).await.expect("a batch");
    assert_eq!(s.stream.lost(), 1, "lost once");
}

#[tokio::test]
async fn reclaiming_looks_past_entries_in_work() {
    let s = setting().await;
    s.sink.append(&clicks(900)).await.expect("taken");
    let lost = RedisClickStream::new(&s.client, "lost");
    take(&lost, 900).await;
    let again = s.stream.reclaim(size(700), Duration::ZERO).await.expect("a batch");
    assert_eq!(again.len(), 700);
    assert!(again.iter().all(|delivery| delivery.attempts == 2));
    assert_eq!(
        again.iter().map(|d| decode(d).id).collect::<Vec<_>>(),
        clicks(700).iter().map(|c| c.id).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn trimming_removes_what_is_settled_and_outside_the_window() {
    let mut s = setting().await;
    s.sink.append(&clicks(300)).await.expect("taken");
    let taken = take(&s.stream, 250).await;
    ack(&s.stream, &taken[..200]).await;
    ack(&s.stream, &taken[210..]).await;
    let now = support::now();
    assert_eq!(s.stream.trim(HOUR, now).await.expect("trimmed"), 0, "the window holds them all");
    assert_eq!(s.stream.trim(Duration::ZERO, now).await.expect("trimmed"), 200);
    assert_eq!(run::<u64>(&mut s.cli, "XLEN stream:clicks").await, 100);
    ack(&s.stream, &taken[200..210]).await;
    assert_eq!(s.stream.trim(Duration::ZERO, now).await.expect("trimmed"), 50);
    let stats = s.stream.stats(now).await.expect("stats");
    assert_eq!((stats.length, stats.undelivered.count, stats.server_lag), (50, 50, Some(50)));
}

#[tokio::test]
async fn settled_entries_go_after_a_day_even_on_a_quiet_stream() {
    let mut s = setting().await;
    s.sink.append(&clicks(3)).await.expect("taken");
    let taken = take(&s.stream, 2).await;
    ack(&s.stream, &taken).await;
    let tomorrow = support::now().plus(25 * HOUR);
    assert_eq!(s.stream.trim(HOUR, tomorrow).await.expect("trimmed"), 2);
    assert_eq!(run::<u64>(&mut s.cli, "XLEN stream:clicks").await, 1, "never what was not delivered");
}

#[tokio::test]
async fn trimming_waits_for_every_group() {
    let mut s = setting().await;
    s.sink.append(&clicks(3)).await.expect("taken");
    assert_eq!(s.stream.trim(Duration::ZERO, support::now()).await.expect("no group yet"), 0);
    run::<()>(&mut s.cli, "XGROUP CREATE stream:clicks audit 0").await;
    ack(&s.stream, &take(&s.stream, 3).await).await;
    assert_eq!(s.stream.trim(Duration::ZERO, support::now()).await.expect("trimmed"), 0);
    run::<()>(&mut s.cli, "XGROUP DESTROY stream:clicks audit").await;
    assert_eq!(s.stream.trim(Duration::ZERO, support::now()).await.expect("trimmed"), 3);
}
