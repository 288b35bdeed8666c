//! A click stream of several shards: who reads what, and changing their number.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use vayro_core::click::Click;
use vayro_core::ids::{ClickId, LinkId};
use vayro_core::ports::{ClickSink as _, ClickStream as _, DeadLetterStore as _};
use vayro_core::purge::ClickSelector;
use vayro_core::stream::{DeadLetterFilter, DeadReason, Delivery, NewDeadLetter};
use vayro_core::timestamp::Timestamp;
use vayro_redis::{RedisClickSink, RedisClickStream, RedisClient, RedisDeadLetters, SetShardsError, Shard};
use vayro_testing::wait;

use crate::support::{self, SOON, click, run};

const MANY: NonZeroUsize = NonZeroUsize::new(1000).expect("not zero");
const GLANCE: Duration = Duration::from_millis(50);

struct Setting {
    url: String,
    client: RedisClient,
    cli: MultiplexedConnection,
    sink: RedisClickSink,
}

async fn setting(shards: u16) -> Setting {
    let url = vayro_testing::redis::database().await.url;
    let client = support::connect(&url).await;
    client.set_shards(count(shards)).await.expect("set");
    // The stream of before is empty and goes.
    let stream = RedisClickStream::new(&client, "nobody");
    stream.trim(Duration::ZERO, support::now()).await.expect("trimmed");
    Setting { cli: support::cli(&url).await, sink: RedisClickSink::new(&client), client, url }
}

fn count(shards: u16) -> NonZeroU16 {
    NonZeroU16::new(shards).expect("not zero")
}

/// Clicks of as many links.
fn clicks(numbers: std::ops::Range<u64>) -> Vec<Click> {
    let link = |n: u64| LinkId::from_uuid(uuid::Uuid::from_u128(u128::from(n) * 7919 + 1));
    numbers.map(|n| Click { link_id: link(n), ..click(n) }).collect()
}

fn ids(clicks: &[Click]) -> BTreeSet<ClickId> {
    clicks.iter().map(|click| click.id).collect()
}

fn decode(batch: &[Delivery]) -> BTreeSet<ClickId> {
    batch.iter().map(|delivery| Click::decode(&delivery.fields).expect("a click").id).collect()
}

/// Takes and settles until all of these have come.
async fn drain(stream: &RedisClickStream, expected: &[Click]) {
    let mut missing = ids(expected);
    wait::until("the clicks", SOON, async || {
        let batch = stream.next_batch(MANY, GLANCE).await.expect("a batch");
        for id in decode(&batch) {
            assert!(missing.remove(&id), "{id} came once too often");
        }
        let ids: Vec<_> = batch.into_iter().map(|delivery| delivery.id).collect();
        stream.ack(&ids).await.expect("settled");
        missing.is_empty().then_some(())
    })
    .await;
}

async fn lengths(cli: &mut MultiplexedConnection) -> BTreeMap<String, u64> {
    let mut lengths = BTreeMap::new();
    for name in run::<Vec<String>>(cli, "KEYS stream:clicks*").await {
        let length = run(cli, &format!("XLEN {name}")).await;
        lengths.insert(name, length);
    }
    lengths
}

/// Returns which worker reads each shard.
async fn leases(cli: &mut MultiplexedConnection) -> BTreeMap<String, String> {
    run(cli, "HGETALL vayro:leases").await
}

/// Asks for work until each of these workers reads this many shards.
async fn balanced(cli: &mut MultiplexedConnection, streams: &[(&RedisClickStream, &str, usize)]) {
    wait::until("the balance", SOON, async || {
        for (stream, ..) in streams {
            stream.next_batch(MANY, Duration::ZERO).await.expect("a batch");
        }
        let leases = leases(cli).await;
        let share = |name: &str| leases.values().filter(|worker| *worker == name).count();
        streams.iter().all(|(_, name, expected)| share(name) == *expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn clicks_lie_in_the_shards_of_their_links() {
    let mut s = setting(3).await;
    let sent = clicks(0..300);
    s.sink.append(&sent).await.expect("taken");
    for (part, length) in (0..3).zip(lengths(&mut s.cli).await.into_values()) {
        let here = |click: &&Click| Shard::of(click.link_id, count(3)) == Shard::Part(part);
        assert_eq!(length, sent.iter().filter(here).count() as u64);
        assert!(length > 50);
    }
    let stream = RedisClickStream::new(&s.client, "one");
    drain(&stream, &sent).await;
    let stats = stream.stats(support::now()).await.expect("stats");
    assert_eq!((stats.length, stats.acked_total, stats.pending), (300, Some(300), 0));
    assert_eq!(stats.shards.iter().map(|shard| shard.length).sum::<u64>(), 300);
    assert_eq!(stats.shards[2].name, "stream:clicks:{2}");
    assert_eq!(stats.shards[2].worker.as_deref(), Some("one"));
    assert_eq!(stats.consumers.len(), 1, "one worker, not one for each shard");
    assert_eq!(stream.trim(Duration::ZERO, support::now()).await.expect("trimmed"), 300);
    assert_eq!(lengths(&mut s.cli).await.into_values().sum::<u64>(), 0);
}

#[tokio::test]
async fn what_waits_is_counted_over_all_shards() {
    let s = setting(3).await;
    s.sink.append(&clicks(0..30)).await.expect("taken");
    let stream = RedisClickStream::new(&s.client, "one");
    let ten = NonZeroUsize::new(10).expect("not zero");
    let mut taken = Vec::new();
    while taken.len() < 10 {
        let room = NonZeroUsize::new(10 - taken.len()).expect("some are missing").min(ten);
        taken.extend(stream.next_batch(room, SOON).await.expect("a batch"));
    }
    let stats = stream.stats(support::now()).await.expect("stats");
    assert_eq!((stats.undelivered.count, stats.pending, stats.server_lag), (20, 10, Some(20)));
    assert!(stats.undelivered_oldest_ms.is_some() && stats.pending_oldest_ms.is_some());
    assert_eq!(stream.unsettled(1000).await.expect("counted").total(), 30);
    assert!(stream.unsettled(5).await.expect("counted").is_capped);
    let again = RedisClickStream::new(&s.client, "one").reclaim(MANY, Duration::ZERO).await.expect("a batch");
    assert_eq!(decode(&again), decode(&taken), "of every shard that is held");
    assert!(again.iter().all(|delivery| delivery.attempts == 2));
}

#[tokio::test]
async fn a_replay_reaches_back_in_every_shard() {
    let s = setting(3).await;
    let (old, new) = (clicks(0..30), clicks(30..60));
    let stream = RedisClickStream::new(&s.client, "one");
    s.sink.append(&old).await.expect("taken");
    drain(&stream, &old).await;
    tokio::time::sleep(GLANCE).await;
    let since = support::now();
    tokio::time::sleep(GLANCE).await;
    s.sink.append(&new).await.expect("taken");
    drain(&stream, &new).await;
    assert_eq!(stream.replay(since).await.expect("replayed").count, 30);
    drain(&stream, &new).await;
    assert_eq!(stream.replay(Timestamp::EPOCH).await.expect("replayed").count, 60);
    drain(&stream, &[old, new].concat()).await;
    assert!(stream.next_batch(MANY, GLANCE).await.expect("a batch").is_empty(), "each came once");
}

#[tokio::test]
async fn a_purge_goes_through_every_shard() {
    let s = setting(3).await;
    let sent = clicks(0..60);
    s.sink.append(&sent).await.expect("taken");
    let stream = RedisClickStream::new(&s.client, "one");
    let held = stream.next_batch(NonZeroUsize::new(20).expect("not zero"), SOON).await.expect("a batch");
    assert!(!held.is_empty());
    let purge = async |selector: ClickSelector| {
        let (mut purged, mut after) = (BTreeSet::new(), None);
        loop {
            let page = stream.purge(&selector, after.as_deref()).await.expect("purged");
            for id in page.items {
                assert!(purged.insert(id), "{id} was purged twice");
            }
            after = page.next;
            if after.is_none() {
                break purged;
            }
        }
    };
    let later = support::now().plus(Duration::from_hours(1_000_000));
    assert_eq!(purge(ClickSelector::of_link(sent[7].link_id, later)).await, ids(&sent[7..8]));
    // A time names clicks of every link, and so of every shard.
    let (from, to) =
        (sent[0].id.timestamp(), sent[59].id.timestamp().map(|at| at.plus(Duration::from_secs(1))));
    let everything = ClickSelector::new(None, from, to, None).expect("valid");
    let rest: BTreeSet<ClickId> = ids(&sent).into_iter().filter(|id| *id != sent[7].id).collect();
    assert_eq!(purge(everything).await, rest);
    assert!(stream.next_batch(MANY, GLANCE).await.expect("a batch").is_empty(), "nothing waits any more");
}

#[tokio::test]
async fn dead_letters_of_all_shards_are_one_list() {
    let s = setting(4).await;
    let stream = RedisClickStream::new(&s.client, "one");
    for n in 0..40 {
        // One after the other, so that each has a time of its own.
        s.sink.append(&clicks(n..n + 1)).await.expect("taken");
        let batch = stream.next_batch(MANY, SOON).await.expect("a batch");
        let letter = |delivery| NewDeadLetter {
            delivery,
            reason: DeadReason::Rejected,
            error: "no".to_owned(),
            at: support::now(),
        };
        stream.dead_letter(&batch.into_iter().map(letter).collect::<Vec<_>>()).await.expect("put aside");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let store = RedisDeadLetters::new(&s.client);
    let (mut letters, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(&DeadLetterFilter::default(), after.as_deref(), 7).await.expect("a page");
        letters.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let numbers = |letter: &vayro_core::stream::DeadLetter| {
        let id = letter.fields.iter().find(|(name, _)| name == "id").map(|(_, value)| value.clone());
        clicks(0..40).iter().position(|click| Some(click.id.to_string()) == id)
    };
    assert_eq!(letters.iter().filter_map(numbers).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
    let kinds: BTreeSet<_> =
        letters.iter().map(|letter| letter.id.split(':').next().map(str::to_owned)).collect();
    assert_eq!(kinds.len(), 4, "letters of every shard");

    assert_eq!(store.find(&letters[5].id).await.expect("found").as_ref(), Some(&letters[5]));
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    assert_eq!(store.purge(&ids[..10]).await.expect("purged"), 10);
    assert_eq!(store.replay(&ids).await.expect("replayed"), 30);
    drain(&stream, &clicks(10..40)).await;
    assert_eq!(stream.stats(support::now()).await.expect("stats").dead_letters, 0);
}

#[tokio::test]
async fn shards_are_spread_over_the_workers_that_live() {
    let mut s = setting(8).await;
    let one = RedisClickStream::new(&s.client, "one");
    balanced(&mut s.cli, &[(&one, "one", 8)]).await;
    let (two, three) = (RedisClickStream::new(&s.client, "two"), RedisClickStream::new(&s.client, "three"));
    balanced(&mut s.cli, &[(&one, "one", 3), (&two, "two", 2), (&three, "three", 3)]).await;
    let sent = clicks(0..200);
    s.sink.append(&sent).await.expect("taken");
    let mut got = BTreeSet::new();
    for stream in [&one, &two, &three] {
        let batch = stream.next_batch(MANY, SOON).await.expect("a batch");
        assert!(!batch.is_empty(), "each has some");
        for id in decode(&batch) {
            assert!(got.insert(id), "each click goes to one of them");
        }
    }
    assert_eq!(got, ids(&sent));

    three.leave().await.expect("left");
    assert_eq!(leases(&mut s.cli).await.len(), 5, "its shards are free at once");
    balanced(&mut s.cli, &[(&one, "one", 4), (&two, "two", 4)]).await;
    run::<()>(&mut s.cli, "HSET vayro:workers:{vayro:leases} two 1").await;
    balanced(&mut s.cli, &[(&one, "one", 8)]).await;
}

#[tokio::test]
async fn a_worker_more_than_there_are_shards_helps() {
    let s = setting(1).await;
    let (one, two) = (RedisClickStream::new(&s.client, "one"), RedisClickStream::new(&s.client, "two"));
    one.next_batch(MANY, Duration::ZERO).await.expect("a batch");
    s.sink.append(&clicks(0..1)).await.expect("taken");
    assert_eq!(two.next_batch(MANY, SOON).await.expect("a batch").len(), 1);
}

#[tokio::test]
async fn old_shards_are_drained_and_then_removed() {
    let mut s = setting(5).await;
    let stream = RedisClickStream::new(&s.client, "one");
    let before = clicks(0..100);
    s.sink.append(&before).await.expect("taken");
    let held = stream.next_batch(NonZeroUsize::new(20).expect("not zero"), SOON).await.expect("a batch");
    s.client.set_shards(count(2)).await.expect("set");
    let after = clicks(100..200);
    s.sink.append(&after).await.expect("taken");
    let sums = lengths(&mut s.cli).await;
    assert_eq!(sums.len(), 5);
    stream.trim(Duration::ZERO, support::now()).await.expect("trimmed");
    assert_eq!(lengths(&mut s.cli).await, sums, "nothing goes as long as something is not settled");

    stream.ack(&held.iter().map(|d| d.id.clone()).collect::<Vec<_>>()).await.expect("settled");
    let mut all = before;
    all.retain(|click| !decode(&held).contains(&click.id));
    all.extend(after);
    drain(&stream, &all).await;
    stream.trim(Duration::from_hours(1), support::now()).await.expect("trimmed");
    assert_eq!(lengths(&mut s.cli).await.len(), 5, "the window holds them");
    stream.trim(Duration::ZERO, support::now()).await.expect("trimmed");
    let left: Vec<_> = lengths(&mut s.cli).await.into_keys().collect();
    assert_eq!(left, ["stream:clicks:{0}", "stream:clicks:{1}"]);
    let known: BTreeMap<String, String> = run(&mut s.cli, "HGETALL vayro:shards").await;
    assert_eq!(known.into_keys().collect::<Vec<_>>(), left);
    let stats = stream.stats(support::now()).await.expect("stats");
    assert!(stats.shards.len() == 2 && stats.shards.iter().all(|shard| !shard.is_retiring));
}

#[tokio::test]
async fn a_dead_letter_keeps_its_shard() {
    let mut s = setting(1).await;
    let stream = RedisClickStream::new(&s.client, "one");
    s.sink.append(&clicks(0..1)).await.expect("taken");
    let delivery = stream.next_batch(MANY, SOON).await.expect("a batch").remove(0);
    let letter =
        NewDeadLetter { delivery, reason: DeadReason::Crashed, error: String::new(), at: support::now() };
    stream.dead_letter(&[letter]).await.expect("put aside");
    s.client.set_shards(count(2)).await.expect("set");
    stream.trim(Duration::ZERO, support::now()).await.expect("trimmed");
    let store = RedisDeadLetters::new(&s.client);
    let page = store.list(&DeadLetterFilter::default(), None, 10).await.expect("a page");
    assert_eq!(store.replay(&[page.items[0].id.clone()]).await.expect("replayed"), 1);
    drain(&stream, &clicks(0..1)).await;
    stream.trim(Duration::ZERO, support::now()).await.expect("trimmed");
    assert!(!lengths(&mut s.cli).await.contains_key("stream:clicks"));
}

/// A process that was stopped for long still has the old number.
#[tokio::test]
async fn a_writer_that_lags_behind_writes_into_what_is_read() {
    let mut s = setting(4).await;
    let stream = RedisClickStream::new(&s.client, "one");
    s.client.set_shards(count(1)).await.expect("set");
    stream.trim(Duration::ZERO, support::now()).await.expect("trimmed");
    assert_eq!(run::<u64>(&mut s.cli, "HLEN vayro:shards").await, 1, "the old shards are gone");
    let late = click(7);
    let mut add = redis::cmd("XADD");
    add.arg("stream:clicks:{3}").arg("*");
    late.encode(|name, value| {
        add.arg(name).arg(value);
    });
    add.query_async::<()>(&mut s.cli).await.expect("added");
    stream.trim(Duration::ZERO, support::now()).await.expect("trimmed");
    drain(&stream, &[late]).await;
    stream.trim(Duration::ZERO, support::now()).await.expect("trimmed");
    assert_eq!(run::<u64>(&mut s.cli, "EXISTS stream:clicks:{3}").await, 0);
}

/// The list of shards is gone and the shards are not, as when one node of a cluster lost its memory.
#[tokio::test]
async fn a_lost_list_of_shards_loses_no_clicks() {
    let mut s = setting(3).await;
    let sent = clicks(0..30);
    s.sink.append(&sent).await.expect("taken");
    run::<()>(&mut s.cli, "DEL vayro:shards").await;
    let stream = RedisClickStream::new(&support::connect(&s.url).await, "one");
    stream.trim(Duration::ZERO, support::now()).await.expect("trimmed");
    drain(&stream, &sent).await;
}

#[tokio::test]
async fn other_processes_follow_within_seconds() {
    let mut s = setting(1).await;
    let edge = RedisClickSink::new(&support::connect(&s.url).await);
    let worker = RedisClickStream::new(&support::connect(&s.url).await, "one");
    let mut sent = clicks(0..1);
    edge.append(&sent).await.expect("taken");
    drain(&worker, &sent).await;
    s.client.set_shards(count(6)).await.expect("set");
    wait::until("the switch", Duration::from_secs(5), async || {
        let n = sent.len() as u64;
        let more = clicks(n..n + 1);
        edge.append(&more).await.expect("taken");
        sent.extend(more.iter().cloned());
        drain(&worker, &more).await;
        (lengths(&mut s.cli).await.len() > 1).then_some(())
    })
    .await;
    assert!(matches!(s.client.set_shards(count(65)).await, Err(SetShardsError::TooMany)));
    let shards = s.client.shards().await.expect("the shards");
    assert_eq!((shards.count().get(), shards.retiring.len()), (6, 1));
}
