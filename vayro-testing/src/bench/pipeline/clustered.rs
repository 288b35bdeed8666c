//! A worker on Redis and PostgreSQL against COPY.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Executor as _, PgConnection};
use vayro_core::click::Click;

use super::{
    BACK, BATCH, LINKS, ROUND_MAX, WORKER_CORE, all_rows, assert_flat, clicks_from, first_rows, rounds,
};
use crate::bench::clicks::Clicks;
use crate::bench::report::{Bound, Report};
use crate::bench::{bin_dir, cpu, median, memory, now};
use crate::process::Process;
use crate::redis::RedisServer;
use crate::{fixture, port, postgres, redis};

/// Clicks put into the stream at once.
const PUSH: u32 = 1_000;

/// What one round of the worker gave.
struct Round {
    rate: f64,
    figures: [f64; 6],
}

pub(super) async fn run(report: &mut Report, clicks: u32) {
    report.note(values_note());
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let database = postgres::server().await;
    let redis_server = redis::server().await;
    fixture::migrate(&database.url).await;
    fixture::insert_links(&database.url, LINKS).await;
    let mut connection = PgConnection::connect(&database.url).await.expect("PostgreSQL answers");

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=rounds(clicks) {
        truncate(&mut connection).await;
        let folder = dir.path().join(round.to_string());
        let result = worker_round(&folder, &database, &redis_server, clicks).await;
        assert_eq!(stored(&mut connection).await, i64::from(clicks), "every click is a row");
        report.row(format!("vayro-worker on PostgreSQL, round {round}"), &result.figures);
        ours.push(result.rate);

        let batches = read_batches(&mut connection, &folder, clicks).await;
        truncate(&mut connection).await;
        let (mut elapsed, before) = (Duration::ZERO, cpu::used_by_tree(database.id()));
        for batch in &batches {
            let batch = std::fs::read(batch).expect("a batch can be read");
            let started = Instant::now();
            let mut copy = connection
                .copy_in_raw("COPY click_events FROM STDIN (FORMAT binary)")
                .await
                .expect("COPY begins");
            copy.send(batch.as_slice()).await.expect("COPY takes rows");
            copy.finish().await.expect("COPY ends");
            elapsed += started.elapsed();
        }
        let rate = f64::from(clicks) / elapsed.as_secs_f64();
        let spent = (cpu::used_by_tree(database.id()) - before) * 1e6 / f64::from(clicks);
        std::fs::remove_dir_all(&folder).expect("the round's files can be removed");
        report.row(format!("raw binary COPY, round {round}"), &[rate, f64::NAN, spent]);
        theirs.push(rate);
    }
    report.aim("pipeline-copy-ratio", median(&ours) / median(&theirs), Bound::AtLeast(0.5));
}

/// Says how long what the stream has to hold is: the values of an entry under the names that the specification gives
/// its fields, without names, lengths and pages.
fn values_note() -> String {
    let clicks = clicks_from(now()).take(PUSH);
    let (mut ids, mut agents, mut values) = (0, 0, 0);
    for click in &clicks {
        click.encode(|name, value| {
            values += value.len();
            ids += if name == "id" || name.ends_with("_id") { value.len() } else { 0 };
            agents += if name == "user_agent" { value.len() } else { 0 };
        });
    }
    let mean = |bytes: usize| bytes / clicks.len();
    format!(
        "bytes/click is what Redis uses per entry that waits; its values alone are {}, of which ids {} and user agent {}",
        mean(values),
        mean(ids),
        mean(agents)
    )
}

async fn worker_round(
    folder: &Path,
    database: &postgres::PostgresServer,
    redis_server: &RedisServer,
    clicks: u32,
) -> Round {
    fixture::clear(&redis_server.url, fixture::CLICKS).await;
    let mut maker = clicks_from(now().minus(BACK));
    let before = redis::memory(&redis_server.url).await;
    // All of them before the clock starts: making clicks takes CPU time that edges have elsewhere.
    push(&redis_server.url, &mut maker, clicks).await;
    let bytes = (redis::memory(&redis_server.url).await - before) / f64::from(clicks);

    let admin_port = port::free();
    let worker = start_worker(folder, &database.url, &redis_server.url, admin_port);
    // Start-up (partitions, regexes, GeoIP) is not the pipeline: the clock starts with the first row.
    let first = first_rows(admin_port).await;
    let used =
        || [cpu::used(&[worker.id()]), cpu::used_by_tree(database.id()), cpu::used(&[redis_server.id()])];
    let (started, before) = (Instant::now(), used());
    let mut memories = Vec::new();
    all_rows(admin_port, clicks, |_| memories.push(memory::own(worker.id()))).await;
    let (elapsed, after) = (started.elapsed().as_secs_f64(), used());
    let rows = f64::from(clicks) - first as f64;
    let per_click = |which: usize| (after[which] - before[which]) * 1e6 / rows;
    let memory = memory::own(worker.id());
    if clicks > ROUND_MAX {
        assert_flat(memory, memories[memories.len() / 2]);
    }
    let rate = rows / elapsed;
    Round { rate, figures: [rate, per_click(0), per_click(1), per_click(2), memory / 1024.0 / 1024.0, bytes] }
}

fn start_worker(dir: &Path, database: &str, redis: &str, admin_port: u16) -> Process {
    let mut command = Command::new("taskset");
    command
        .args(["-c", WORKER_CORE])
        .arg(bin_dir().join("vayro-worker"))
        .env("VAYRO_BACKEND__SET", "clustered")
        .env("VAYRO_BACKEND__DATA_DIR", dir)
        .env("VAYRO_POSTGRES__URL", database)
        .env("VAYRO_REDIS__URL", redis)
        .env("VAYRO_GEOIP__FILE", fixture::data("GeoLite2-City.mmdb"))
        .env("VAYRO_WORKER__ADMIN", format!("127.0.0.1:{admin_port}"))
        // Settled clicks go at once, or the stream would hold all of a long run.
        .env("VAYRO_WORKER__TRIM_EVERY", "1s")
        .env("VAYRO_WORKER__TRIM_WINDOW", "0s")
        .env("VAYRO_LOG__LEVEL", "warn")
        .stdout(Stdio::null());
    Process::start(&mut command)
}

async fn push(url: &str, maker: &mut Clicks, count: u32) {
    let mut connection = redis::connection(url).await;
    let mut left = count;
    while left > 0 {
        let clicks = maker.take(left.min(PUSH));
        left -= left.min(PUSH);
        let mut pipe = ::redis::pipe();
        for click in &clicks {
            add(pipe.cmd("XADD"), click);
        }
        let (): () = pipe.query_async(&mut connection).await.expect("Redis takes clicks");
    }
}

fn add(command: &mut ::redis::Pipeline, click: &Click) {
    command.arg("stream:clicks").arg("*");
    click.encode(|name, value| {
        command.arg(name).arg(value);
    });
    command.ignore();
}

async fn stored(connection: &mut PgConnection) -> i64 {
    let (rows,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM click_events").fetch_one(connection).await.expect("rows count");
    rows
}

async fn truncate(connection: &mut PgConnection) {
    connection
        .execute("TRUNCATE click_events, link_totals, click_rollups")
        .await
        .expect("tables can be emptied");
    connection.execute("CHECKPOINT").await.expect("a checkpoint can be made");
}

/// Writes the rows to files in `folder`, each the finished COPY stream of one batch.
async fn read_batches(connection: &mut PgConnection, folder: &Path, rows: u32) -> Vec<PathBuf> {
    use futures::TryStreamExt as _;
    std::fs::create_dir_all(folder).expect("a folder can be made");
    let mut batches = Vec::new();
    let mut after = "00000000-0000-0000-0000-000000000000".to_owned();
    for number in 0..rows.div_ceil(BATCH) {
        let statement = format!(
            "COPY (SELECT * FROM click_events WHERE id > '{after}' ORDER BY id LIMIT {BATCH}) TO STDOUT (FORMAT binary)"
        );
        let stream = connection.copy_out_raw(&statement).await.expect("COPY begins");
        let batch = stream
            .try_fold(Vec::new(), async |mut batch, bytes| {
                batch.extend_from_slice(&bytes);
                Ok(batch)
            })
            .await
            .expect("COPY hands out rows");
        let file = folder.join(format!("batch-{number}"));
        std::fs::write(&file, batch).expect("a batch can be written");
        batches.push(file);
        let statement = format!(
            "SELECT max(id::text) FROM (SELECT id FROM click_events WHERE id > '{after}' ORDER BY id LIMIT {BATCH}) batch"
        );
        let (last,): (Option<String>,) = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .fetch_one(&mut *connection)
            .await
            .expect("rows are there");
        after = last.expect("no batch is empty");
    }
    batches
}
