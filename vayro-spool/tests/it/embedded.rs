//! The embedded click stream.

use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use vayro_core::click::Click;
use vayro_core::contract::stream::StreamFixture;
use vayro_core::ports::{ClickSink, ClickStream, DeadLetterStore};
use vayro_core::stream::{DeadLetterFilter, DeadReason, Delivery, NewDeadLetter};
use vayro_core::timestamp::Timestamp;
use vayro_spool::{EmbeddedClicks, SpoolError, SpoolOptions};

use crate::support::{PATIENCE, click, now, options};

struct Fixture {
    clicks: EmbeddedClicks,
    _dir: TempDir,
}

impl Fixture {
    /// With answers that wait for the disk only now and then.
    async fn relaxed() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clicks = EmbeddedClicks::open(options(dir.path()), "one").await.expect("opens");
        Self { clicks, _dir: dir }
    }

    /// With answers that all wait for the disk.
    async fn strict() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let strict = SpoolOptions { sync_every: Duration::ZERO, ..options(dir.path()) };
        let clicks = EmbeddedClicks::open(strict, "one").await.expect("opens");
        Self { clicks, _dir: dir }
    }
}

#[async_trait]
impl StreamFixture for Fixture {
    fn sink(&self) -> Arc<dyn ClickSink> {
        Arc::new(self.clicks.sink())
    }

    async fn consumer(&self, _: &str) -> Arc<dyn ClickStream> {
        Arc::new(self.clicks.stream())
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetterStore> {
        Arc::new(self.clicks.dead_letters())
    }

    fn now(&self) -> Timestamp {
        now()
    }
}

mod relaxed {
    use super::Fixture;

    vayro_core::click_stream_contract!(Fixture::relaxed());
}

mod strict {
    use super::Fixture;

    vayro_core::click_stream_contract!(Fixture::strict());
}

fn size(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("not zero")
}

fn decode(deliveries: &[Delivery]) -> Vec<Click> {
    deliveries.iter().map(|d| Click::decode(&d.fields).expect("a click")).collect()
}

async fn open(dir: &TempDir) -> EmbeddedClicks {
    EmbeddedClicks::open(options(dir.path()), "one").await.expect("opens")
}

#[tokio::test]
async fn held_entries_come_back_after_a_restart_with_their_attempts() {
    let dir = tempfile::tempdir().expect("a directory");
    let clicks = open(&dir).await;
    let sent: Vec<Click> = (0..60).map(click).collect();
    clicks.sink().append(&sent).await.expect("taken");
    let stream = clicks.stream();
    let taken = stream.next_batch(size(40), Duration::ZERO).await.expect("a batch");
    stream.reclaim(size(3), Duration::ZERO).await.expect("a batch");
    let acked: Vec<_> = taken[1..30].iter().map(|d| d.id.clone()).collect();
    stream.ack(&acked).await.expect("settled");
    clicks.close().await.expect("closed");
    assert!(stream.next_batch(size(1), Duration::ZERO).await.is_err(), "a closed stream fails");

    let clicks = open(&dir).await;
    let stream = clicks.stream();
    let long = Duration::from_hours(1);
    let again = stream.reclaim(size(100), long).await.expect("idle since the last process");
    let attempts: Vec<u32> = again.iter().map(|d| d.attempts).collect();
    assert_eq!(decode(&again), [&sent[..1], &sent[30..40]].concat());
    assert_eq!(attempts, [&[3][..], &[2; 10]].concat());
    let rest = stream.next_batch(size(100), Duration::ZERO).await.expect("a batch");
    assert_eq!(decode(&rest), sent[40..]);
    let stats = stream.stats(now()).await.expect("stats");
    assert_eq!((stats.pending, stats.acked_total, stats.added_total), (31, Some(29), Some(60)));
}

#[tokio::test]
async fn a_process_that_vanishes_loses_nothing_and_attempts_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    for attempts in 1..=3 {
        let clicks = open(&dir).await;
        let stream = clicks.stream();
        let batch = if attempts == 1 {
            clicks.sink().append(&[click(1)]).await.expect("taken");
            stream.next_batch(size(1), Duration::ZERO).await.expect("a batch")
        } else {
            stream.reclaim(size(1), Duration::from_mins(1)).await.expect("a batch")
        };
        assert_eq!(batch.iter().map(|d| d.attempts).collect::<Vec<_>>(), [attempts]);
        // What a crash leaves: the files as they are now, without a clean end.
        let copy = tempfile::tempdir().expect("a directory");
        for entry in std::fs::read_dir(dir.path()).expect("lists") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_file() {
                std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
            }
        }
        let crashed = open(&copy).await;
        let again = crashed.stream().reclaim(size(1), Duration::ZERO).await.expect("a batch");
        assert_eq!(decode(&again), [click(1)]);
        crashed.close().await.expect("closed");
        clicks.close().await.expect("closed");
    }
}

#[tokio::test]
async fn settled_segments_are_given_back_and_young_ones_stay() {
    let dir = tempfile::tempdir().expect("a directory");
    let clicks = open(&dir).await;
    let sent: Vec<Click> = (0..200).map(click).collect();
    clicks.sink().append(&sent[..100]).await.expect("taken");
    clicks.sink().append(&sent[100..]).await.expect("taken");
    let stream = clicks.stream();
    let taken = stream.next_batch(size(200), Duration::ZERO).await.expect("a batch");
    stream.ack(&taken.iter().map(|d| d.id.clone()).collect::<Vec<_>>()).await.expect("settled");
    let hour = Duration::from_hours(1);
    assert_eq!(stream.trim(hour, now()).await.expect("trimmed"), 0);
    assert_eq!(stream.stats(now()).await.expect("stats").length, 200);
    assert_eq!(stream.trim(hour, now().plus(hour * 2)).await.expect("trimmed"), 200);
    assert_eq!(stream.stats(now()).await.expect("stats").length, 0);
}

#[tokio::test]
async fn dead_letters_survive_a_restart_and_a_half_done_one_is_not_doubled() {
    let dir = tempfile::tempdir().expect("a directory");
    let clicks = open(&dir).await;
    clicks.sink().append(&[click(1), click(2)]).await.expect("taken");
    let stream = clicks.stream();
    let taken = stream.next_batch(size(2), Duration::ZERO).await.expect("a batch");
    let progress = std::fs::read(dir.path().join("progress")).expect("is there");
    let letter = |delivery: &Delivery| NewDeadLetter {
        delivery: delivery.clone(),
        reason: DeadReason::Crashed,
        error: "why".to_owned(),
        at: now(),
    };
    stream.dead_letter(&[letter(&taken[0])]).await.expect("put aside");
    stream.dead_letter(&[letter(&taken[0])]).await.expect("settled twice changes nothing");
    clicks.close().await.expect("closed");

    // As if the process had ended after writing the letter and before settling the entry.
    std::fs::write(dir.path().join("progress"), progress).expect("written");
    std::fs::remove_file(dir.path().join("cursor")).ok();
    std::fs::write(dir.path().join("dead/half.json.tmp"), b"{").expect("written");
    let clicks = open(&dir).await;
    let stream = clicks.stream();
    let again = stream.reclaim(size(2), Duration::ZERO).await.expect("a batch");
    assert_eq!(again.len(), 2);
    stream.dead_letter(&[letter(&again[0])]).await.expect("put aside");
    let list = clicks.dead_letters().list(&DeadLetterFilter::default(), None, 10).await.expect("a page");
    assert_eq!(list.items.len(), 1);
    assert_eq!(list.items[0].attempts, 2);
}

#[tokio::test]
async fn entries_that_are_no_clicks_come_out_for_the_worker_to_judge() {
    let dir = tempfile::tempdir().expect("a directory");
    let clicks = open(&dir).await;
    clicks.sink().append(&[click(1)]).await.expect("taken");
    let stream = clicks.stream();
    let mut taken = stream.next_batch(size(1), Duration::ZERO).await.expect("a batch");
    taken[0].fields = vec![("payload".into(), b"\xFF no json".to_vec())];
    let letter = NewDeadLetter {
        delivery: taken.remove(0),
        reason: DeadReason::Undecodable,
        error: "no click".to_owned(),
        at: now(),
    };
    stream.dead_letter(&[letter]).await.expect("put aside");
    let letters = clicks.dead_letters();
    let id = letters.list(&DeadLetterFilter::default(), None, 1).await.expect("a page").items.remove(0).id;
    assert_eq!(letters.replay(&[id]).await.expect("replayed"), 1);
    let back = stream.next_batch(size(1), Duration::ZERO).await.expect("a batch");
    assert!(Click::decode(&back[0].fields).is_err());
}

#[tokio::test]
async fn a_directory_is_held_by_one_and_read_by_nobody_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let inner = dir.path().join("clicks");
    let clicks = EmbeddedClicks::open(options(&inner), "one").await.expect("opens");
    clicks.sink().append(&[click(1)]).await.expect("taken");
    let second = EmbeddedClicks::open(options(&inner), "two").await;
    assert!(matches!(second, Err(SpoolError::Locked(_))), "{second:?}");
    let taken = clicks.stream().next_batch(size(1), Duration::ZERO).await.expect("a batch");
    clicks.stream().ack(&[taken[0].id.clone()]).await.expect("settled");
    clicks.close().await.expect("closed");
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&inner).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 3, "segment, cursor, progress");
    EmbeddedClicks::open(options(&inner), "two").await.expect("free again");
}

#[tokio::test]
async fn a_replay_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let clicks = open(&dir).await;
    let all: Vec<Click> = (0..50).map(click).collect();
    clicks.sink().append(&all).await.expect("taken");
    let stream = clicks.stream();
    let taken = stream.next_batch(size(50), Duration::ZERO).await.expect("a batch");
    let ids: Vec<_> = taken.iter().map(|delivery| delivery.id.clone()).collect();
    stream.ack(&ids).await.expect("settled");
    // All are young, so they are kept, but the cursor is on the disk.
    assert_eq!(stream.trim(Duration::from_secs(3600), now()).await.expect("trims"), 0);
    assert_eq!(stream.replay(Timestamp::EPOCH).await.expect("replayed").count, 50);
    let half = stream.next_batch(size(20), Duration::ZERO).await.expect("a batch");
    stream.ack(&half.iter().map(|d| d.id.clone()).collect::<Vec<_>>()).await.expect("settled");
    clicks.close().await.expect("closed");
    drop((clicks, stream));

    let clicks = open(&dir).await;
    let rest = clicks.stream().next_batch(size(100), Duration::ZERO).await.expect("a batch");
    let rest: Vec<Click> = rest.iter().map(|d| Click::decode(&d.fields).expect("a click")).collect();
    assert_eq!(rest, all[20..], "in order, none twice");
}

#[tokio::test]
async fn a_consumer_that_holds_all_it_may_goes_on_as_soon_as_something_is_settled() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = SpoolOptions { segment_bytes: 16 << 20, bytes_max: 1 << 30, ..options(dir.path()) };
    let clicks = EmbeddedClicks::open(options, "one").await.expect("opens");
    let stream = clicks.stream();
    let mut number = 0;
    let mut held = Vec::new();
    loop {
        let sent: Vec<Click> = (number..number + 1_000).map(click).collect();
        clicks.sink().append(&sent).await.expect("taken");
        number += 1_000;
        let batch = stream.next_batch(size(1_000), Duration::ZERO).await.expect("a batch");
        if batch.is_empty() {
            break;
        }
        held.extend(batch.into_iter().map(|delivery| delivery.id));
        assert!(number < 10_000_000, "what one consumer holds is bounded");
    }
    let waiting = {
        let stream = clicks.stream();
        // Far longer than the test's own patience.
        tokio::spawn(async move { stream.next_batch(size(1_000), 10 * PATIENCE).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.ack(&held[..10]).await.expect("settled");
    let batch = tokio::time::timeout(PATIENCE, waiting).await.expect("it is woken").expect("it ends");
    assert_eq!(batch.expect("a batch").len(), 10);
}

#[tokio::test]
async fn a_waiting_consumer_is_handed_what_is_replayed() {
    let dir = tempfile::tempdir().expect("a directory");
    let clicks = EmbeddedClicks::open(options(dir.path()), "one").await.expect("opens");
    let stream = clicks.stream();
    clicks.sink().append(&[click(1), click(2)]).await.expect("taken");
    let batch = stream.next_batch(size(10), PATIENCE).await.expect("a batch");
    let ids: Vec<_> = batch.into_iter().map(|delivery| delivery.id).collect();
    stream.ack(&ids).await.expect("settled");
    let waiting = {
        let stream = clicks.stream();
        // Far longer than the test's own patience.
        tokio::spawn(async move { stream.next_batch(size(10), 10 * PATIENCE).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(stream.replay(Timestamp::EPOCH).await.expect("rewound").count, 2);
    let batch = tokio::time::timeout(PATIENCE, waiting).await.expect("it is woken").expect("it ends");
    assert_eq!(batch.expect("a batch").len(), 2);
}
