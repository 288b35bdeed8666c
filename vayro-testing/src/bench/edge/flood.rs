//! A flood of codes that nobody made beside a steady load of real links: what of it reaches the database, and what
//! becomes of the real ones.

use std::path::Path;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::attack::{Attack, NETWORKS, Orders};
use super::client::Target;
use super::load;
use super::servers::{self, Backends, CLIENT_CORE, Server};
use super::test_bed::TestBed;
use super::visits::{Outcome, Pace, Plan, Visits};
use crate::bench::report::{Bound, Report};
use crate::process::Process;
use crate::{fixture, wait};

/// Unknown codes per second when nobody says.
pub const DEFAULT: u32 = 50_000;
/// The same where the edge has room for them.
const SOME: f64 = 5_000.0;
/// Real visits per second, and the connections they come over.
const RATE: f64 = 5_000.0;
const VISITORS: u32 = 64;
/// How long they come, before, beside and behind the flood.
const LENGTH: Duration = Duration::from_secs(12);
/// Visits that fill the edge's memory first.
const WARM_UP: Duration = Duration::from_secs(4);
/// The flood begins and ends within them.
const MARGIN: Duration = Duration::from_secs(1);
/// `edge.misses_per_minute` as shipped.
const MISSES_PER_MINUTE: f64 = 300.0;
/// How many times as long as without a flood a real visit may take.
const SLOWER_MAX: f64 = 1.1;
/// How much of the real visits' throughput must be left.
const THROUGHPUT_MIN: f64 = 0.9;
/// How long the database may take to have counted everything.
const COUNT_LIMIT: Duration = Duration::from_secs(30);

const COLUMNS: [&str; 10] = [
    "flood/s",
    "404/s",
    "429/s",
    "503/s",
    "look-ups",
    "transactions",
    "visits/s",
    "visits p50 us",
    "visits p99 us",
    "visits failed",
];

/// A flood and the edge it meets.
struct Scenario {
    name: &'static str,
    attack: Option<Attack>,
    rate: f64,
    has_budgets: bool,
}

/// What the flood got, as it says itself.
struct Flood {
    per_second: f64,
    absent: f64,
    turned_away: f64,
    unavailable: f64,
}

/// Runs the benchmark with `rate` unknown codes per second.
///
/// # Panics
///
/// When a server does not come up.
pub async fn run(rate: u32) {
    let rate = f64::from(rate);
    let bed = TestBed::with_links(super::LINKS, CLIENT_CORE).await;
    servers::pin(bed.database.id(), CLIENT_CORE);
    // So that only the flood asks the database.
    fixture::cache_links(&bed.redis.url, 0..super::LINKS).await;

    let many = Some(Attack::UnknownFromMany);
    let scenarios = [
        Scenario { name: "no flood", attack: None, rate: 0.0, has_budgets: true },
        Scenario { name: "one network", attack: Some(Attack::UnknownFromOne), rate, has_budgets: true },
        Scenario { name: "many networks", attack: many, rate, has_budgets: true },
        Scenario { name: "many networks, no budgets", attack: many, rate, has_budgets: false },
        Scenario { name: "many networks, some", attack: many, rate: SOME, has_budgets: true },
    ];
    let mut report = Report::new("flood", &COLUMNS);
    let mut quiet = None;
    for scenario in scenarios {
        let transactions_before = transactions(&bed.database.url).await;
        let edge = start(bed.dir(), &bed.backends(), &scenario).await;
        // So that what is asked for often is in memory.
        visit(&edge, WARM_UP).finish().await;
        let lookups_before = edge.metric("vayro_edge_lookups_total").await;
        let (flood, seen) = measure(&edge, bed.dir(), &scenario).await;
        let lookups = edge.metric("vayro_edge_lookups_total").await - lookups_before;
        // Sessions tell what they did when they end, at the latest.
        drop(edge);
        let queries = transactions(&bed.database.url).await - transactions_before;
        bed.clear_clicks().await;
        let (p50, p99) = (seen.latency_us(0.5), seen.latency_us(0.99));
        let figures = [
            flood.per_second,
            flood.absent,
            flood.turned_away,
            flood.unavailable,
            lookups,
            queries,
            seen.redirects() / seen.seconds,
            p50,
            p99,
            seen.failures(),
        ];
        report.row(scenario.name, &figures);
        let Some((quiet_p50, quiet_p99, quiet_rate, quiet_queries)) = quiet else {
            quiet = Some((p50, p99, figures[6], queries));
            continue;
        };
        let name = scenario.name.replace(", ", "-").replace(' ', "-");
        if scenario.has_budgets {
            let networks = if scenario.attack == many { f64::from(NETWORKS) } else { 1.0 };
            let spent = (queries - quiet_queries) / allowed(networks);
            report.aim(format!("flood-{name}-queries-of-budget"), spent, Bound::AtMost(1.0));
        }
        report.aim(format!("flood-{name}-p50-ratio"), p50 / quiet_p50, Bound::AtMost(SLOWER_MAX));
        report.aim(format!("flood-{name}-p99-ratio"), p99 / quiet_p99, Bound::AtMost(SLOWER_MAX));
        report.aim(
            format!("flood-{name}-throughput"),
            figures[6] / quiet_rate,
            Bound::AtLeast(THROUGHPUT_MIN),
        );
    }
    report.note(format!(
        "{RATE} visits/s of real links beside up to {rate} unknown codes/s for {} s from one network or {NETWORKS} (IPv4 /24); \
         edge on one core, visitors, flood, Redis and PostgreSQL on another; look-ups of the edge behind its memory, \
         transactions of the database",
        flood_length().as_secs()
    ));
    report.finish().expect("results can be written");
}

/// How long the flood lasts.
const fn flood_length() -> Duration {
    LENGTH.saturating_sub(MARGIN).saturating_sub(MARGIN)
}

/// How many codes networks may ask for while the flood goes on: the budget of a minute and what comes back of it
/// meanwhile.
fn allowed(networks: f64) -> f64 {
    networks * MISSES_PER_MINUTE * (1.0 + flood_length().as_secs_f64() / 60.0)
}

async fn start(dir: &Path, backends: &Backends<'_>, scenario: &Scenario) -> Server {
    let budget = if scenario.has_budgets { "300" } else { "0" };
    let settings = [("VAYRO_EDGE__MISSES_PER_MINUTE", budget)];
    servers::vayro_with(dir, backends, scenario.name, &settings).await
}

fn visit(edge: &Server, length: Duration) -> Visits {
    let plan = Plan::new(Target::plain(edge.port), Pace::PerSecond(RATE), length, VISITORS);
    Visits::start(plan, load::endless_codes())
}

async fn measure(edge: &Server, dir: &Path, scenario: &Scenario) -> (Flood, Outcome) {
    let visits = visit(edge, LENGTH);
    let mut flood = Flood { per_second: 0.0, absent: 0.0, turned_away: 0.0, unavailable: 0.0 };
    if let Some(attack) = scenario.attack {
        tokio::time::sleep(MARGIN).await;
        let length = flood_length();
        let orders =
            Orders { port: edge.port, dir: dir.to_owned(), rate: scenario.rate, length, connections: 0 };
        let process = Process::start(&mut attack.command(&orders));
        flood = tokio::task::spawn_blocking(move || read(process, length)).await.expect("it can be read");
    }
    (flood, visits.finish().await)
}

/// Reads what the flood says at its end.
fn read(mut process: Process, length: Duration) -> Flood {
    let out = process.child().stdout.take().expect("it is a pipe");
    let told: serde_json::Value = serde_json::from_reader(out).expect("the flood tells what it got");
    let of = |name: &str| told[name].as_f64().expect("the flood tells it");
    let each = |name: &str| of(name) / length.as_secs_f64();
    Flood {
        per_second: of("per_second"),
        absent: each("absent"),
        turned_away: each("turned_away"),
        unavailable: each("unavailable"),
    }
}

/// Returns how many transactions ended so far, once nobody else is connected.
async fn transactions(url: &str) -> f64 {
    let mut connection = PgConnection::connect(url).await.expect("PostgreSQL answers");
    wait::until("all counts of the database", COUNT_LIMIT, async || {
        let counts: (i64, i64) = sqlx::query_as(
            "SELECT xact_commit + xact_rollback, numbackends::bigint FROM pg_stat_database WHERE datname = 'postgres'",
        )
        .fetch_one(&mut connection)
        .await
        .ok()?;
        (counts.1 == 1).then_some(counts.0 as f64)
    })
    .await
}
