//! `vayro up` on the embedded set, working off a full segment log, against inserting the same rows and
//! nothing else.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, SqliteConnection};
use vayro_core::ports::ClickSink as _;
use vayro_spool::{EmbeddedClicks, SpoolOptions};
use vayro_sqlite::SqliteStores;

use super::{
    BACK, BATCH, LINKS, ROUND_MAX, WORKER_CORE, all_rows, assert_flat, clicks_from, first_rows, rounds,
};
use crate::bench::report::{Bound, Report};
use crate::bench::{bin_dir, cpu, median, memory, now};
use crate::process::Process;
use crate::{fixture, port};

pub(super) async fn run(report: &mut Report, clicks: u32) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=rounds(clicks) {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let data = dir.path().join("data");
        prepare(&data, clicks).await;
        let admin_port = port::free();
        let process = start(dir.path(), &data, admin_port);
        let first = first_rows(admin_port).await;
        let (started, before) = (Instant::now(), cpu::used(&[process.id()]));
        let mut memories = Vec::new();
        all_rows(admin_port, clicks, |_| memories.push(memory::own(process.id()))).await;
        let rows = f64::from(clicks) - first as f64;
        let rate = rows / started.elapsed().as_secs_f64();
        let spent = (cpu::used(&[process.id()]) - before) * 1e6 / rows;
        let memory = memories.last().copied().unwrap_or(f64::NAN);
        if clicks > ROUND_MAX {
            assert_flat(memory, memories[memories.len() / 2]);
        }
        drop(process);
        report.row(
            format!("vayro up on SQLite, round {round}"),
            &[rate, spent, f64::NAN, f64::NAN, memory / 1024.0 / 1024.0],
        );
        ours.push(rate);

        let file = data.join("vayro.db");
        let rate = raw(Raw::Move, &file, &dir.path().join("moved.db"), clicks).await;
        report.row(format!("rows from file to file, round {round}"), &[rate]);
        let rate = raw(Raw::Insert, &file, &dir.path().join("inserted.db"), clicks).await;
        report.row(format!("raw inserts, round {round}"), &[rate]);
        theirs.push(rate);
    }
    report.aim("pipeline-sqlite-ratio", median(&ours) / median(&theirs), Bound::AtLeast(0.5));
}

/// Makes a migrated file with links, and a full click stream beside it.
async fn prepare(data: &Path, clicks: u32) {
    let file = data.join("vayro.db");
    let stores = SqliteStores::open(&file).await.expect("a file can be made");
    stores.migrate().await.expect("the migrations apply");
    stores.close().await;
    insert_links(&file).await;

    let options = SpoolOptions {
        dir: data.join("clicks"),
        segment_bytes: 16 * 1024 * 1024,
        bytes_max: 64 * 1024 * 1024 * 1024,
        sync_every: Duration::from_millis(200),
        clock: now,
    };
    let stream = EmbeddedClicks::open(options, "bench").await.expect("a stream can be made");
    let mut maker = clicks_from(now().minus(BACK));
    let mut left = clicks;
    while left > 0 {
        let count = left.min(1_000);
        stream.sink().append(&maker.take(count)).await.expect("the stream takes clicks");
        left -= count;
    }
    stream.close().await.expect("the stream can be closed");
}

async fn open(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // As the product has it.
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", "-16384")
        .disable_statement_logging()
        .connect()
        .await
        .expect("the file can be opened")
}

async fn insert_links(file: &Path) {
    let mut connection = open(file).await;
    let (workspace, user) = (hex(fixture::WORKSPACE), hex(fixture::USER));
    let statements = format!(
        "INSERT INTO users (id, email, password_hash, created_at) VALUES ({user}, 'bench@example.com', '!', 0);
         INSERT INTO workspaces (id, name, created_at) VALUES ({workspace}, 'Bench', 0);
         INSERT INTO memberships (workspace_id, user_id, role, created_at) VALUES ({workspace}, {user}, 'owner', 0);
         WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {LINKS})
         INSERT INTO links (id, workspace_id, user_id, domain_id, short_code, target_url, created_at, updated_at, revision)
         SELECT unhex('0189000000007000' || '9000' || printf('%012d', n)), {workspace}, {user},
                (SELECT id FROM domains LIMIT 1), 'b' || printf('%06d', n), 'https://www.example.com/' || n, 0, 0, n + 1
         FROM numbers;"
    );
    connection.execute(AssertSqlSafe(statements)).await.expect("links can be inserted");
    connection.close().await.expect("the file can be closed");
}

fn hex(id: &str) -> String {
    format!("X'{}'", id.replace('-', ""))
}

fn start(dir: &Path, data: &Path, admin_port: u16) -> Process {
    let mut command = Command::new("taskset");
    command
        .args(["-c", WORKER_CORE])
        .arg(bin_dir().join("vayro"))
        .args(["up", "--edge", "127.0.0.1:0", "--api", "127.0.0.1:0"])
        .args(["--admin", &format!("127.0.0.1:{admin_port}"), "--data-dir"])
        .arg(data)
        .current_dir(dir)
        .env("XDG_CONFIG_HOME", dir.join("config"))
        .env("VAYRO_GEOIP__FILE", fixture::data("GeoLite2-City.mmdb"))
        .env("VAYRO_SPOOL__SIZE_MAX", "64GiB")
        .env("VAYRO_LOG__LEVEL", "warn")
        .stdout(Stdio::null());
    Process::start(&mut command)
}

/// What the raw side does with the rows of a batch.
#[derive(Clone, Copy)]
enum Raw {
    /// Inserts them one by one with a prepared statement, out of memory, as a program would that does nothing
    /// else; reading them into memory does not count.
    Insert,
    /// Has SQLite move them from the other file by itself.
    Move,
}

/// Stores the rows of one file in an empty table of the same form in another, a transaction per batch, and
/// returns rows per second.
async fn raw(how: Raw, from: &Path, to: &Path, clicks: u32) -> f64 {
    let stores = SqliteStores::open(to).await.expect("a file can be made");
    stores.migrate().await.expect("the migrations apply");
    stores.close().await;
    insert_links(to).await;
    let (from, to) = (from.to_owned(), to.to_owned());
    tokio::task::spawn_blocking(move || fill(how, &from, &to, clicks).expect("rows can be stored"))
        .await
        .expect("the raw side ends")
}

fn fill(how: Raw, from: &Path, to: &Path, rows: u32) -> rusqlite::Result<f64> {
    let mut connection = Connection::open(to)?;
    // As the product has it.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -131072;
         PRAGMA wal_autocheckpoint = 32768; PRAGMA foreign_keys = ON;",
    )?;
    connection.execute("ATTACH ? AS source", [from.to_str()])?;
    let mut taken = Duration::ZERO;
    for start in (0..rows).step_by(BATCH as usize) {
        let span = (start, start + BATCH);
        taken += match how {
            Raw::Insert => insert_batch(&mut connection, span)?,
            Raw::Move => move_batch(&mut connection, span)?,
        };
    }
    let stored: u32 = connection.query_row("SELECT count(*) FROM main.click_events", (), |row| row.get(0))?;
    assert_eq!(stored, rows, "the raw side stored every row");
    Ok(f64::from(rows) / taken.as_secs_f64())
}

fn insert_batch(connection: &mut Connection, span: (u32, u32)) -> rusqlite::Result<Duration> {
    let mut select = connection
        .prepare("SELECT * FROM source.click_events WHERE rowid > ? AND rowid <= ? ORDER BY rowid")?;
    let columns = select.column_count();
    let row = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get::<_, Value>(column)).collect();
    let rows: Vec<Vec<Value>> = select.query_map(span, row)?.collect::<rusqlite::Result<_>>()?;
    drop(select);
    let started = Instant::now();
    let transaction = connection.transaction()?;
    let places = vec!["?"; columns].join(", ");
    let mut insert = transaction.prepare(&format!("INSERT INTO main.click_events VALUES ({places})"))?;
    for row in &rows {
        for (place, value) in (1..).zip(row) {
            insert.raw_bind_parameter(place, value)?;
        }
        insert.raw_execute()?;
    }
    drop(insert);
    transaction.commit()?;
    Ok(started.elapsed())
}

fn move_batch(connection: &mut Connection, span: (u32, u32)) -> rusqlite::Result<Duration> {
    let started = Instant::now();
    connection.execute(
        "INSERT INTO main.click_events SELECT * FROM source.click_events WHERE rowid > ? AND rowid <= ?",
        span,
    )?;
    Ok(started.elapsed())
}
