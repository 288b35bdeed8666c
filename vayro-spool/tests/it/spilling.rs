//! A stream that comes and goes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tempfile::TempDir;
use vayro_core::click::Click;
use vayro_core::ports::{ClickSink, SinkError, SpoolStats};
use vayro_spool::{SpillingOptions, SpillingSink, Spool};

use crate::support::{click, options, until};

/// How the stream behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Takes,
    Refuses,
    /// Never answers.
    Hangs,
    /// Takes everything and never says so.
    TakesSilently,
}

struct Stream {
    mood: Mutex<Mood>,
    taken: Mutex<Vec<Click>>,
    tries: Mutex<u64>,
}

impl Stream {
    fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self { mood: Mutex::new(mood), taken: Mutex::default(), tries: Mutex::default() })
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    fn taken(&self) -> Vec<Click> {
        self.taken.lock().clone()
    }
}

#[async_trait]
impl ClickSink for Stream {
    async fn append(&self, clicks: &[Click]) -> Result<(), SinkError> {
        let mood = *self.mood.lock();
        *self.tries.lock() += 1;
        if matches!(mood, Mood::Takes | Mood::TakesSilently) {
            self.taken.lock().extend_from_slice(clicks);
        }
        match mood {
            Mood::Takes => Ok(()),
            Mood::Refuses => Err(SinkError("away".into())),
            Mood::Hangs | Mood::TakesSilently => std::future::pending().await,
        }
    }
}

const OPTIONS: SpillingOptions =
    SpillingOptions { append_timeout: Duration::from_millis(50), drain_rate: 1_000_000 };

async fn spilling(stream: &Arc<Stream>, dir: &TempDir) -> SpillingSink {
    let spool = Spool::open(options(dir.path())).await.expect("opens");
    SpillingSink::start(stream.clone(), spool, OPTIONS)
}

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test]
async fn clicks_go_straight_through_while_the_stream_takes_them() {
    let (stream, dir) = (Stream::new(Mood::Takes), dir());
    let sink = spilling(&stream, &dir).await;
    sink.append(&[click(1), click(2)]).await.expect("taken");
    assert_eq!(stream.taken(), [click(1), click(2)]);
    assert_eq!(sink.spool_stats(), SpoolStats::default());
}

#[tokio::test]
async fn an_outage_is_bridged_in_order_without_loss() {
    let (stream, dir) = (Stream::new(Mood::Refuses), dir());
    let sink = spilling(&stream, &dir).await;
    let sent: Vec<Click> = (0..3000).map(click).collect();
    for batch in sent.chunks(100) {
        sink.append(batch).await.expect("spooled");
    }
    let stats = sink.spool_stats();
    assert!(stats.bytes > 100_000 && stats.oldest.is_some() && stats.dropped == 0, "{stats:?}");
    stream.is(Mood::Takes);
    until("the last click", || stream.taken().len() >= sent.len()).await;
    assert_eq!(stream.taken(), sent);
    until("an empty spool", || sink.spool_stats() == SpoolStats::default()).await;
    sink.append(&[click(5000)]).await.expect("taken");
    assert_eq!(stream.taken().last(), Some(&click(5000)), "back to the straight way");
}

#[tokio::test]
async fn a_dead_stream_costs_one_time_limit_not_one_per_batch() {
    let (stream, dir) = (Stream::new(Mood::Hangs), dir());
    let sink = spilling(&stream, &dir).await;
    sink.append(&[click(0)]).await.expect("spooled");
    let after_first = *stream.tries.lock();
    assert_eq!(after_first, 1);
    for n in 1..50 {
        sink.append(&[click(n)]).await.expect("spooled");
    }
    let tries = *stream.tries.lock();
    assert!(tries < 25, "{tries} tries: only the task that empties the spool asks again");
}

#[tokio::test]
async fn a_caller_that_gives_up_is_helped_by_the_spool_the_next_time() {
    let (stream, dir) = (Stream::new(Mood::Hangs), dir());
    let sink = spilling(&stream, &dir).await;
    let batch = [click(1)];
    let hasty = tokio::time::timeout(Duration::from_millis(1), sink.append(&batch)).await;
    assert!(hasty.is_err());
    sink.append(&batch).await.expect("spooled at once");
    stream.is(Mood::Takes);
    until("the click", || stream.taken() == batch).await;
}

#[tokio::test]
async fn a_batch_of_unknown_fate_keeps_its_ids() {
    let (stream, dir) = (Stream::new(Mood::TakesSilently), dir());
    let sink = spilling(&stream, &dir).await;
    sink.append(&[click(1)]).await.expect("spooled");
    stream.is(Mood::Takes);
    until("the copy", || stream.taken().len() >= 2).await;
    until("an empty spool", || sink.spool_stats().bytes == 0).await;
    assert!(stream.taken().iter().all(|taken| *taken == click(1)));
}

#[tokio::test]
async fn what_is_spooled_survives_a_restart() {
    let (stream, dir) = (Stream::new(Mood::Refuses), dir());
    let sink = spilling(&stream, &dir).await;
    let sent: Vec<Click> = (0..500).map(click).collect();
    sink.append(&sent).await.expect("spooled");
    sink.close().await.expect("closed");
    assert!(sink.append(&sent).await.is_err(), "a closed sink refuses");

    stream.is(Mood::Takes);
    let sink = spilling(&stream, &dir).await;
    until("the last click", || stream.taken().len() >= sent.len()).await;
    assert_eq!(stream.taken(), sent);
    until("an empty spool", || sink.spool_stats().bytes == 0).await;
    sink.close().await.expect("closed");
    let sink = spilling(&stream, &dir).await;
    sink.append(&[click(900)]).await.expect("taken");
    assert_eq!(stream.taken().len(), sent.len() + 1, "nothing is fed twice after a clean end");
}

#[tokio::test]
async fn a_full_spool_refuses_and_recovers() {
    let (stream, dir) = (Stream::new(Mood::Refuses), dir());
    let small = vayro_spool::SpoolOptions { bytes_max: 16_384, ..options(dir.path()) };
    let spool = Spool::open(small).await.expect("opens");
    let sink = SpillingSink::start(stream.clone(), spool.clone(), OPTIONS);
    let mut taken = 0;
    while sink.append(&[click(taken)]).await.is_ok() {
        taken += 1;
        assert!(taken < 1000, "the limit is never reached");
    }
    assert!(taken > 10);
    assert!(spool.level().disk_bytes <= 16_384);
    assert_eq!(spool.level().refused_full, 1);
    stream.is(Mood::Takes);
    sink.append(&[click(taken)]).await.expect("the stream itself takes what the spool refuses");
    until("all clicks", || stream.taken().len() as u64 > taken).await;
}

#[tokio::test]
async fn the_spool_is_fed_back_at_a_limited_rate() {
    let (stream, dir) = (Stream::new(Mood::Refuses), dir());
    let spool = Spool::open(options(dir.path())).await.expect("opens");
    let slow = SpillingOptions { drain_rate: 1, ..OPTIONS };
    let sink = SpillingSink::start(stream.clone(), spool, slow);
    let sent: Vec<Click> = (0..1000).map(click).collect();
    sink.append(&sent).await.expect("spooled");
    stream.is(Mood::Takes);
    until("the first batch", || !stream.taken().is_empty()).await;
    // At one click per second the next batch is minutes away, and new clicks pass the spooled ones.
    sink.append(&[click(5000)]).await.expect("taken");
    assert!(stream.taken().contains(&click(5000)));
    assert!(stream.taken().len() < sent.len() && sink.spool_stats().bytes > 0);
    assert!(sink.spool_stats().oldest.is_some());
}
