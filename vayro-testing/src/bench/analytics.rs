//! How long dashboards wait: questions to `/v1/analytics` over many clicks on both back-end sets, and the
//! same answers from the rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_distr::{Distribution as _, Zipf};
use secrecy::SecretString;
use serde_json::{Value, json};
use vayro_core::analytics::{
    BucketSize, ClickScope, Dimension, Interval, bucket_edges, local_text, time_zone,
};
use vayro_core::click::ClickClass;
use vayro_core::day::Day;
use vayro_core::ids::{LinkId, WorkspaceId};
use vayro_core::ports::{AnalyticsStore, ClickStore, RollupStore};
use vayro_core::timestamp::Timestamp;
use vayro_postgres::{PgStores, PostgresConfig};
use vayro_sqlite::SqliteStores;

use super::report::{Bound, Report};
use super::rows::Rows;
use super::{median, now, percentile};
use crate::postgres;
use crate::redis;
use crate::system::System;

/// Links that the clicks go to.
const LINKS: u32 = 5_000;
/// Days that the clicks are spread over, up to now.
const DAYS: u64 = 365;
/// Rows stored by one transaction.
const BATCH: u32 = 100_000;
/// How far back days are looked at whose hours may have to be counted.
const LATELY: Duration = Duration::from_hours(2 * 24);
/// Questions asked.
const QUESTIONS: usize = 200;
/// Every so many questions one is also answered from the rows, which takes seconds.
const RAW_EVERY: usize = 8;
/// Questions named because they took longest.
const SLOWEST: usize = 12;
/// Memory for pages of PostgreSQL; its manual advises a quarter of the machine's.
const POSTGRES_CACHE: &str = "2GB";
/// Rows of a breakdown.
const ROWS_MAX: u16 = 10;
/// Longest time for one answer from the rows.
const RAW_TIMEOUT: Duration = Duration::from_mins(10);
/// Share of the questions about the whole workspace; the others are about one link.
const WORKSPACE_SHARE: f64 = 0.25;

/// One question of a dashboard: totals, a series and one breakdown.
struct Question {
    link: Option<LinkId>,
    interval: Interval,
    zone: &'static str,
    dimension: Dimension,
}

impl Question {
    fn path(&self) -> String {
        let subject = self.link.map(|id| format!("/{id}")).unwrap_or_default();
        let interval = Interval::ALL.iter().find(|(_, interval)| *interval == self.interval);
        let interval = interval.expect("every interval has a name").0;
        format!(
            "/v1/analytics{subject}?interval={interval}&timezone={}&group_by={}&limit={ROWS_MAX}",
            self.zone,
            self.dimension.as_str()
        )
    }
}

/// One of the databases with a system that runs on it.
struct Side {
    name: &'static str,
    system: System,
    clicks: Arc<dyn ClickStore>,
    raw: Arc<dyn AnalyticsStore>,
    rollups: Arc<dyn RollupStore>,
    workspace_id: WorkspaceId,
    /// How many may store clicks at a time.
    writers: u32,
}

/// Runs the benchmark with `rows` clicks on the sets named, `clustered` or `embedded`.
///
/// # Panics
///
/// When a server does not come up or an answer is wrong.
pub async fn run(rows: u32, sets: &[&str]) {
    let mut report =
        Report::new("analytics", &["p50 ms", "p95 ms", "max ms", "raw p50 ms", "raw p95 ms", "raw / ours"]);
    report.note(format!(
        "{rows} clicks over {DAYS} days on {LINKS} links, Zipf; {QUESTIONS} questions over HTTP, each totals, series and one breakdown; every {RAW_EVERY}th also from the rows, in the process of the benchmark; PostgreSQL has {POSTGRES_CACHE} for pages"
    ));
    for set in sets {
        match *set {
            "clustered" => {
                let database = postgres::server_with(POSTGRES_CACHE).await;
                let redis_server = redis::server().await;
                let system = System::clustered(&database.url, &redis_server.url).await;
                let config = PostgresConfig {
                    url: SecretString::from(database.url.clone()),
                    connections: 4,
                    connect_timeout: Duration::from_secs(10),
                    acquire_timeout: Duration::from_secs(10),
                    statement_timeout: RAW_TIMEOUT,
                    lock_timeout: Duration::from_secs(10),
                };
                let stores = PgStores::connect(&config).await.expect("PostgreSQL answers");
                measure(&mut report, ("PostgreSQL", 2), system, stores, rows).await;
            }
            "embedded" => {
                let system = System::embedded().await;
                let file = system.data_dir().join("vayro.db");
                let stores = SqliteStores::open(file).await.expect("the file can be opened");
                measure(&mut report, ("SQLite", 1), system, stores, rows).await;
            }
            other => panic!("`{other}` is neither clustered nor embedded"),
        }
    }
    report.finish().expect("results can be written");
}

async fn measure<S: ClickStore + AnalyticsStore + RollupStore + Clone + 'static>(
    report: &mut Report,
    (name, writers): (&'static str, u32),
    system: System,
    stores: S,
    rows: u32,
) {
    let (status, me) = system.api("GET", "/v1/me", None).await;
    assert_eq!(status, 200, "{me}");
    let workspace_id = me["workspaces"][0]["id"].as_str().and_then(|id| id.parse().ok());
    let workspace_id = workspace_id.unwrap_or_else(|| panic!("no workspace: {me}"));
    let side = Side {
        name,
        system,
        clicks: Arc::new(stores.clone()),
        raw: Arc::new(stores.clone()),
        rollups: Arc::new(stores),
        workspace_id,
        writers,
    };
    let links = make_links(&side.system).await;
    fill(&side, &links, rows).await;
    ask_all(report, &side, &links, rows).await;
}

async fn make_links(system: &System) -> Vec<LinkId> {
    let mut links = Vec::new();
    for chunk in (0..LINKS).collect::<Vec<_>>().chunks(100) {
        let create = |number: &u32| json!({ "op": "create", "link": { "target_url": format!("https://example.com/{number}") } });
        let operations: Vec<Value> = chunk.iter().map(create).collect();
        let (status, body) =
            system.api("POST", "/v1/links/bulk", Some(json!({ "operations": operations }))).await;
        assert_eq!(status, 207, "{body}");
        for result in body["results"].as_array().into_iter().flatten() {
            let id = result["link"]["id"].as_str().and_then(|id| id.parse().ok());
            links.push(id.unwrap_or_else(|| panic!("no link: {result}")));
        }
    }
    links
}

/// Stores the clicks, each writer those of its own part of the time.
async fn fill(side: &Side, links: &[LinkId], rows: u32) {
    let now = now();
    let start = now.minus(Duration::from_secs(DAYS * 86_400));
    side.clicks.ensure_partitions(start, now).await.expect("partitions can be made");
    let step = (now.as_micros() - start.as_micros()) / i64::from(rows);
    let at = |number: u32| {
        Timestamp::from_micros(start.as_micros() + step * i64::from(number)).expect("before now")
    };
    let each = rows.div_ceil(side.writers);
    join_all((0..side.writers).map(async |writer| {
        let mut maker = Rows::new(7 + u64::from(writer), side.workspace_id, links.to_vec());
        let (first, past) = (each * writer, (each * (writer + 1)).min(rows));
        let started = Instant::now();
        let (mut next, mut rolled_up) = (first, at(first));
        while next < past {
            let count = BATCH.min(past - next);
            let batch = maker.between(at(next), at(next + count), count);
            side.clicks.write(&batch).await.expect("rows can be stored");
            next += count;
            // As time goes on, like a worker: what it reads then was written a moment ago.
            if Day::of(at(next)) > Day::of(rolled_up) {
                roll_up(side, at(first), rolled_up.minus(LATELY), at(next)).await;
                rolled_up = at(next);
            }
            if (next - first) % 1_000_000 == 0 {
                let rate = f64::from(next - first) / started.elapsed().as_secs_f64();
                progress(&format!("{}, writer {writer}: {} rows, {rate:.0} rows/s", side.name, next - first));
            }
        }
    }))
    .await;
    roll_up(side, start, start, now).await;
}

#[expect(clippy::print_stderr, reason = "filling takes minutes and standard output is for the figures")]
fn progress(text: &str) {
    eprintln!("{text}");
}

/// Does what the worker's housekeeping does for days from `days` on and weeks from `weeks` on that are over at `now`.
async fn roll_up(side: &Side, weeks: Timestamp, days: Timestamp, now: Timestamp) {
    side.rollups.roll_up_parts(days.max(weeks), now).await.expect("parts of days can be counted");
    let settled = now.minus(Duration::from_hours(24));
    while side.rollups.roll_up_weeks(weeks, settled, 1).await.expect("weeks can be put together") > 0 {}
}

fn questions(links: &[LinkId]) -> Vec<Question> {
    let mut rng = StdRng::seed_from_u64(17);
    let popularity = Zipf::new(f64::from(LINKS), 1.0).expect("the parameters are in range");
    let intervals = [
        Interval::Last24Hours,
        Interval::Last7Days,
        Interval::Last30Days,
        Interval::Last90Days,
        Interval::LastYear,
        Interval::MonthToDate,
    ];
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"];
    (0..QUESTIONS)
        .map(|_| Question {
            link: (!rng.random_bool(WORKSPACE_SHARE))
                .then(|| links[popularity.sample(&mut rng) as usize - 1]),
            interval: *intervals.choose(&mut rng).expect("there are some"),
            zone: zones.choose(&mut rng).expect("there are some"),
            dimension: *Dimension::ALL.choose(&mut rng).expect("there are some"),
        })
        .collect()
}

async fn ask_all(report: &mut Report, side: &Side, links: &[LinkId], rows: u32) {
    let questions = questions(links);
    // Once before anything counts: plans, caches, connections.
    for question in &questions {
        ask(side, question).await;
    }
    let (mut ours, mut answers) = (Vec::new(), Vec::new());
    for question in &questions {
        let started = Instant::now();
        answers.push(ask(side, question).await);
        ours.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    show_slowest(&questions, &ours);
    let p95 = percentile(&ours, 0.95);
    progress(&format!("{}: p50 {:.2} ms, p95 {p95:.2} ms; now from the rows", side.name, median(&ours)));
    // Afterwards: reading all rows throws what dashboards read out of the system's cache.
    let (mut from_rows, mut pairs) = (Vec::new(), (0.0, 0.0));
    for ((question, answer), millis) in questions.iter().zip(&answers).zip(&ours).step_by(RAW_EVERY) {
        let started = Instant::now();
        assert_same(side, question, answer).await;
        let raw = started.elapsed().as_secs_f64() * 1000.0;
        from_rows.push(raw);
        pairs = (pairs.0 + millis, pairs.1 + raw);
    }
    let ratio = pairs.1 / pairs.0;
    report.row(
        format!("{}, {rows} rows", side.name),
        &[
            median(&ours),
            p95,
            percentile(&ours, 1.0),
            median(&from_rows),
            percentile(&from_rows, 0.95),
            ratio,
        ],
    );
    let short = side.name.to_lowercase();
    report.aim(format!("analytics-{short}-p95-ms"), p95, Bound::AtMost(20.0));
    report.aim(format!("analytics-{short}-raw-ratio"), ratio, Bound::AtLeast(100.0));
}

/// Names the questions that took longest.
fn show_slowest(questions: &[Question], millis: &[f64]) {
    let mut slowest: Vec<(&Question, f64)> = questions.iter().zip(millis.iter().copied()).collect();
    slowest.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (question, millis) in slowest.iter().take(SLOWEST) {
        progress(&format!("{millis:8.2} ms  {}", question.path()));
    }
}

async fn ask(side: &Side, question: &Question) -> Value {
    let path = question.path();
    let (status, answer) = side.system.api("GET", &path, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Answers from the rows and compares the clicks with those of `answer`.
async fn assert_same(side: &Side, question: &Question, answer: &Value) {
    let instant = |name: &str| {
        let text = answer[name].as_str().expect("an instant is text");
        text.parse::<Timestamp>().expect("an instant")
    };
    let scope = ClickScope {
        workspace_id: side.workspace_id,
        link_id: question.link,
        start: instant("start"),
        end: instant("end"),
        classes: vec![ClickClass::Counted],
        filters: Vec::new(),
    };
    let zone = time_zone(question.zone).expect("a zone");
    let bucket = BucketSize::automatic(scope.start, scope.end);
    let edges = bucket_edges(scope.start, scope.end, bucket, &zone).expect("few buckets");
    let totals = side.raw.totals(&scope).await.expect("the rows answer");
    let series = side.raw.series(&scope, &edges).await.expect("the rows answer");
    let breakdown = side.raw.breakdown(&scope, question.dimension, ROWS_MAX).await.expect("the rows answer");
    assert_eq!(answer["totals"]["clicks"].as_i64(), Some(totals.clicks), "{scope:?}");
    let points = answer["series"].as_array().expect("points");
    assert_eq!(points.len(), series.len(), "{scope:?}");
    for ((point, count), edge) in points.iter().zip(&series).zip(&edges) {
        assert_eq!(point["start"].as_str(), Some(&*local_text(*edge, &zone)));
        assert_eq!(point["clicks"].as_i64(), Some(count.clicks), "{scope:?} at {edge}");
    }
    let found = &answer["breakdowns"][question.dimension.as_str()];
    assert_eq!(found["total"].as_i64(), Some(breakdown.total), "{scope:?}");
    let top = breakdown.rows.first().map(|row| row.clicks);
    assert_eq!(found["rows"][0]["clicks"].as_i64(), top, "{scope:?} by {:?}", question.dimension);
}
