//! Clicks per second of one worker, full enrichment on, against a raw binary COPY of the same rows into
//! the same table.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::report::{Bound, Report};
use super::{bin_dir, median, metrics};
use crate::process::Process;
use crate::{fixture, port, postgres, redis, wait};

/// Clicks of a round.
const CLICKS: u32 = 200_000;
/// Links they go to.
const LINKS: u32 = 10_000;
/// Rows of one COPY; the worker's batch size.
const BATCH: u32 = 10_000;
/// The worker's own count of rows; asking the table would be a load of its own.
const ROWS_STORED: &str = "vayro_worker_clicks_written_total";
/// Pause between two questions for it, which shares the cores with what is measured.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Measured rounds of each side; the medians count.
const ROUNDS: usize = 3;

/// Runs the benchmark.
///
/// # Panics
///
/// When a server does not come up or the clicks do not arrive.
pub async fn run() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let database = postgres::server().await;
    let redis_server = redis::server().await;
    fixture::migrate(&database.url).await;
    fixture::insert_links(&database.url, LINKS).await;
    let mut connection = PgConnection::connect(&database.url).await.expect("PostgreSQL answers");

    let mut report = Report::new("pipeline", &["clicks/s"]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        truncate(&mut connection).await;
        fixture::push_clicks(&redis_server.url, CLICKS, LINKS).await;
        let admin_port = port::free();
        let folder = dir.path().join(round.to_string());
        let worker = start_worker(&folder, &database.url, &redis_server.url, admin_port);
        // Start-up (partitions, regexes, GeoIP) is not the pipeline: the clock starts with the first row.
        let first = wait::until("the first rows", Duration::from_secs(60), async || {
            let rows = metrics::find(admin_port, ROWS_STORED).await.unwrap_or(0);
            (rows > 0).then_some(rows)
        })
        .await;
        let started = Instant::now();
        wait::until("every click", Duration::from_secs(120), async || {
            tokio::time::sleep(ASK_EVERY).await;
            (metrics::find(admin_port, ROWS_STORED).await == Some(u64::from(CLICKS))).then_some(())
        })
        .await;
        let rate = (f64::from(CLICKS) - first as f64) / started.elapsed().as_secs_f64();
        assert_eq!(stored(&database.url).await, i64::from(CLICKS), "every click is a row");
        drop(worker);
        report.row(format!("vayro-worker, round {round}"), &[rate]);
        ours.push(rate);

        let batches = read_batches(&mut connection).await;
        truncate(&mut connection).await;
        let started = Instant::now();
        for batch in &batches {
            let mut copy = connection
                .copy_in_raw("COPY click_events FROM STDIN (FORMAT binary)")
                .await
                .expect("COPY begins");
            copy.send(batch.as_slice()).await.expect("COPY takes rows");
            copy.finish().await.expect("COPY ends");
        }
        let rate = f64::from(CLICKS) / started.elapsed().as_secs_f64();
        report.row(format!("raw binary COPY, round {round}"), &[rate]);
        theirs.push(rate);
    }
    report.note(format!(
        "{CLICKS} clicks a round on {LINKS} links, real user agents, city database, PostgreSQL with fsync, batches of {BATCH}"
    ));
    report.aim("pipeline-copy-ratio", median(&ours) / median(&theirs), Bound::AtLeast(0.4));
    report.finish().expect("results can be written");
}

fn start_worker(dir: &std::path::Path, database: &str, redis: &str, admin_port: u16) -> Process {
    let mut command = Command::new(bin_dir().join("vayro-worker"));
    command
        .env("VAYRO_BACKEND__SET", "clustered")
        .env("VAYRO_BACKEND__DATA_DIR", dir)
        .env("VAYRO_POSTGRES__URL", database)
        .env("VAYRO_REDIS__URL", redis)
        .env("VAYRO_GEOIP__FILE", fixture::data("GeoLite2-City.mmdb"))
        .env("VAYRO_WORKER__ADMIN", format!("127.0.0.1:{admin_port}"))
        .env("VAYRO_LOG__LEVEL", "warn")
        .stdout(Stdio::null());
    Process::start(&mut command)
}

async fn stored(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.expect("PostgreSQL answers");
    let (rows,): (i64,) = sqlx::query_as("SELECT count(*) FROM click_events")
        .fetch_one(&mut connection)
        .await
        .expect("rows count");
    rows
}

async fn truncate(connection: &mut PgConnection) {
    connection
        .execute("TRUNCATE click_events, link_totals, click_rollups")
        .await
        .expect("tables can be emptied");
    connection.execute("CHECKPOINT").await.expect("a checkpoint can be made");
}

/// Reads the rows back as finished COPY streams of one batch each.
async fn read_batches(connection: &mut PgConnection) -> Vec<Vec<u8>> {
    use futures::TryStreamExt as _;
    let mut batches = Vec::new();
    for start in (0..CLICKS).step_by(BATCH as usize) {
        let statement = format!(
            "COPY (SELECT * FROM click_events ORDER BY id LIMIT {BATCH} OFFSET {start}) TO STDOUT (FORMAT binary)"
        );
        let stream = connection.copy_out_raw(&statement).await.expect("COPY begins");
        let batch = stream
            .try_fold(Vec::new(), async |mut batch, bytes| {
                batch.extend_from_slice(&bytes);
                Ok(batch)
            })
            .await
            .expect("COPY hands out rows");
        batches.push(batch);
    }
    batches
}
