//! Clicks per second of one worker on one core, everything on, against the fastest way its database has to
//! take the same rows into the same table: a raw binary COPY, or rows moved from one SQLite file to another.

mod clustered;
mod embedded;
mod stages;

use std::time::{Duration, Instant};

use vayro_core::timestamp::Timestamp;

use super::clicks::Clicks;
use super::metrics;
use super::report::Report;
use crate::{fixture, wait};

/// Links of the clicks.
const LINKS: u32 = 20_000;
/// Clicks of a round when nobody says.
pub const CLICKS: u32 = 300_000;
/// With more clicks than this there is one round, which shows that memory stays flat.
const ROUND_MAX: u32 = 1_000_000;
/// Measured rounds of each side; the medians count.
const ROUNDS: usize = 3;
/// Rows of one transaction of the raw side; the worker's batch size.
const BATCH: u32 = 50_000;
/// Core of the worker.
const WORKER_CORE: &str = "0";
/// The worker's own count of rows; asking the table would be a load of its own.
const ROWS_STORED: &str = "vayro_worker_clicks_written_total";
/// Pause between two questions for it, which shares the cores with what is measured.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How far back the first click lies.
const BACK: Duration = Duration::from_secs(3 * 3600);
/// How much more memory the second half of a long round may take than the first one did.
const GROWTH_MAX: f64 = 1.25;
/// Longest time without any further row.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the benchmark with so many clicks a round on the sets named, `clustered` or `embedded`.
///
/// # Panics
///
/// When a server does not come up or clicks do not arrive.
pub async fn run(clicks: u32, sets: &[&str]) {
    let mut report = Report::new(
        "pipeline",
        &["clicks/s", "worker us", "database us", "redis us", "memory MiB", "bytes/click"],
    );
    report.note(format!(
        "{clicks} clicks a round on {LINKS} links, Zipf; real user agents, city database, durable databases, batches of {BATCH}; microseconds are CPU time per click as the kernel accounts it; memory is the worker's own"
    ));
    for set in sets {
        match *set {
            "clustered" => clustered::run(&mut report, clicks).await,
            "embedded" => embedded::run(&mut report, clicks).await,
            other => panic!("`{other}` is neither clustered nor embedded"),
        }
    }
    stages::run(&mut report);
    report.finish().expect("results can be written");
}

/// Returns the clicks on the links that the fixture numbers, from `start` on.
fn clicks_from(start: Timestamp) -> Clicks {
    let links = (0..LINKS).map(|number| fixture::link_id(number).parse().expect("an id"));
    Clicks::new(11, fixture::WORKSPACE.parse().expect("an id"), links.collect(), start)
}

const fn rounds(clicks: u32) -> usize {
    if clicks > ROUND_MAX { 1 } else { ROUNDS }
}

/// Makes sure that memory did not grow once the worker was warm.
fn assert_flat(memory: f64, half_way: f64) {
    let growth = memory / half_way;
    assert!(growth < GROWTH_MAX, "memory grew by the factor {growth:.2} in the second half");
}

/// Waits until the worker with this admin port has stored the first rows and returns how many.
async fn first_rows(admin_port: u16) -> u64 {
    wait::until_every(ASK_EVERY, "the first rows", PATIENCE, async || {
        metrics::find(admin_port, ROWS_STORED).await.filter(|rows| *rows > 0)
    })
    .await
}

/// Waits until the worker has stored so many rows, as long as it goes on storing some.
async fn all_rows(admin_port: u16, clicks: u32, mut note: impl FnMut(u64)) {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let rows = metrics::find(admin_port, ROWS_STORED).await.unwrap_or(0);
        if rows != last {
            (last, since) = (rows, Instant::now());
            note(rows);
        }
        if rows >= u64::from(clicks) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "the worker stopped at {rows} of {clicks} rows");
        tokio::time::sleep(ASK_EVERY).await;
    }
}
