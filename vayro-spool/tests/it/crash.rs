//! Real processes, killed.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::time::Duration;

use vayro_core::click::Click;
use vayro_core::ports::{ClickSink as _, ClickStream as _};
use vayro_spool::EmbeddedClicks;

use crate::support::{click, options};

/// Names the directory to the process that is going to be killed.
const DIR: &str = "VAYRO_SPOOL_CRASH_DIR";
/// Number of its first click.
const FIRST: &str = "VAYRO_SPOOL_CRASH_FIRST";
/// In front of each number that the process reports as taken.
const TAKEN: &str = "taken ";

/// Not a test of its own: what the killed process does. Alone it does nothing.
#[tokio::test]
async fn writer() {
    let (Some(dir), Ok(first)) = (std::env::var_os(DIR), std::env::var(FIRST)) else { return };
    let clicks = EmbeddedClicks::open(options(dir.as_ref()), "writer").await.expect("opens");
    let (sink, stream) = (clicks.sink(), clicks.stream());
    for n in first.parse().expect("a number").. {
        sink.append(&[click(n)]).await.expect("taken");
        // The lock keeps a line whole; stdout of a test is captured unless written to directly.
        writeln!(std::io::stdout().lock(), "{TAKEN}{n}").expect("the parent listens");
        if n % 7 == 0 {
            let max = NonZeroUsize::new(3).expect("not zero");
            let batch = stream.next_batch(max, Duration::ZERO).await.expect("a batch");
            stream.ack(&[batch[0].id.clone()]).await.expect("settled");
            writeln!(std::io::stdout().lock(), "settled {}", batch[0].id.0).expect("the parent listens");
        }
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_it_reported() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut taken, mut settled) = (BTreeSet::new(), 0);
    for round in 0..4_u64 {
        let first = round * 1_000_000;
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "crash::writer", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        for line in lines {
            let line = line.expect("text");
            // A line of the harness may stand in front.
            if let Some((_, n)) = line.split_once(TAKEN) {
                let n: u64 = n.trim().parse().expect("a number");
                taken.insert(n);
                if n == first + 300 + round * 50 {
                    child.kill().expect("killed");
                }
            }
            // What it said before it died is read to the end.
            settled += u64::from(line.contains("settled "));
        }
        child.wait().expect("gone");
    }
    assert!(taken.len() > 1200 && settled > 100, "{} taken, {settled} settled", taken.len());

    let clicks = EmbeddedClicks::open(options(dir.path()), "heir").await.expect("opens");
    let stream = clicks.stream();
    let max = NonZeroUsize::new(100_000).expect("not zero");
    let mut left = stream.reclaim(max, Duration::ZERO).await.expect("held entries");
    left.extend(stream.next_batch(max, Duration::ZERO).await.expect("new entries"));
    let read: BTreeSet<u64> = left
        .iter()
        .map(|d| Click::decode(&d.fields).expect("a click"))
        .map(|c| c.user_agent.strip_prefix("click ").expect("ours").parse().expect("a number"))
        .collect();
    assert_eq!(read.len(), left.len(), "none comes twice");
    let missing = taken.difference(&read).count() as u64;
    // What was settled is gone on purpose. Each process may have settled one click more than it could
    // say, and may have settled one that its predecessor could not report as taken.
    assert!(missing.abs_diff(settled) <= 4, "{missing} missing, {settled} settled");
}
