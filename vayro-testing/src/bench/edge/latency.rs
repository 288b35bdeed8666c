//! How long a redirect takes at half of what the edge could do, by where its link is found.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::ROUND;
use super::client::Target;
use super::load::{self, Load};
use super::servers::{self, Backends, CLIENT_CORE, Server};
use super::test_bed::TestBed;
use super::visits::{self, Outcome, Pace, Plan};
use crate::bench::report::{Bound, Report};
use crate::fixture;

/// Connections that visits come over, and so the most that are under way at a time.
const CONNECTIONS: u32 = 256;
/// How long the most that can be done is looked for.
const SATURATION: Duration = Duration::from_secs(4);
/// How much of that is asked for then.
const SHARE: f64 = 0.5;
/// Links that only PostgreSQL has at first. Each is asked for once.
const STORED: u32 = 200_000;
/// Links that only Redis has, numbered behind those.
const CACHED: u32 = 500_000;

/// Most milliseconds of the slowest in a hundred, by where the link is found.
const MEMORY_MS: f64 = 1.0;
const REDIS_MS: f64 = 2.0;
const DATABASE_MS: f64 = 10.0;

const COLUMNS: [&str; 8] =
    ["most/s", "asked/s", "redirects/s", "p50 us", "p99 us", "p99.9 us", "sent late p99", "cpu us/redirect"];

/// Runs the benchmark.
///
/// # Panics
///
/// When a server does not come up or a visit is not answered with a redirect.
pub async fn run() {
    let bed = TestBed::with_links(STORED, CLIENT_CORE).await;
    load::write_scripts(bed.dir());
    servers::pin(bed.database.id(), CLIENT_CORE);
    let backends = bed.backends();
    let edge = servers::vayro(bed.dir(), &backends).await;

    let mut report = Report::new("latency", &COLUMNS);
    let from_database = asked_once(&mut report, &edge, "links in PostgreSQL", 1..STORED).await;
    fixture::cache_links(&bed.redis.url, STORED..STORED + CACHED).await;
    let numbers = STORED..STORED + CACHED;
    let from_redis = asked_once(&mut report, &edge, "links in Redis", numbers).await;
    bed.clear_clicks().await;

    let from_memory = in_memory(&mut report, &edge, bed.dir()).await;
    bed.clear_clicks().await;
    beside(&mut report, bed.dir(), &backends).await;

    report.note(format!(
        "requests are due at a constant rate, {SHARE} of the most that was answered, over {CONNECTIONS} connections, and latency \
         counts from then; edge on one core, client, Redis and PostgreSQL on another; each link in PostgreSQL or Redis is \
         asked for once, links in memory by popularity; the most of those is what wrk gets"
    ));
    report.aim("latency-memory-p99-ms", from_memory, Bound::AtMost(MEMORY_MS));
    report.aim("latency-redis-p99-ms", from_redis, Bound::AtMost(REDIS_MS));
    report.aim("latency-database-p99-ms", from_database, Bound::AtMost(DATABASE_MS));
    report.finish().expect("results can be written");
}

/// Measures links that the edge has not seen, some of them while looking for the most, the others at the constant rate,
/// and returns the milliseconds of the slowest in a hundred.
async fn asked_once(report: &mut Report, edge: &Server, name: &str, numbers: Range<u32>) -> f64 {
    let middle = numbers.start.midpoint(numbers.end);
    let some = (numbers.start..middle).map(fixture::code);
    let most = ask(edge, Pace::Saturating, SATURATION, some).await.0.per_second();
    let others = (middle..numbers.end).map(fixture::code);
    let (seen, cost) = ask(edge, Pace::PerSecond(most * SHARE), ROUND, others).await;
    row(report, name, most, &seen, cost);
    seen.latency_us(0.99) / 1e3
}

/// Measures links in L1 and returns the milliseconds of the slowest in a hundred.
async fn in_memory(report: &mut Report, edge: &Server, dir: &Path) -> f64 {
    // Fills L1.
    ask(edge, Pace::Saturating, SATURATION, load::endless_codes()).await;
    let most = Load::Plain.run(dir, edge, SATURATION).per_second;
    let (seen, cost) = ask(edge, Pace::PerSecond(most * SHARE), ROUND, load::endless_codes()).await;
    row(report, "links in memory", most, &seen, cost);
    seen.latency_us(0.99) / 1e3
}

/// Measures nginx, which asks Redis for every link.
async fn beside(report: &mut Report, dir: &Path, backends: &Backends<'_>) {
    let nginx = servers::nginx_lua(dir, backends).await;
    let most = ask(&nginx, Pace::Saturating, SATURATION, load::endless_codes()).await.0.per_second();
    let (seen, cost) = ask(&nginx, Pace::PerSecond(most * SHARE), ROUND, load::endless_codes()).await;
    row(report, nginx.name, most, &seen, cost);
}

/// Asks, and returns the CPU microseconds per redirect, too.
async fn ask(
    server: &Server,
    pace: Pace,
    length: Duration,
    codes: impl Iterator<Item = String> + Send + 'static,
) -> (Outcome, f64) {
    let plan = Plan::new(Target::plain(server.port), pace, length, CONNECTIONS);
    visits::run(server, plan, codes).await
}

fn row(report: &mut Report, name: &str, most: f64, seen: &Outcome, cost: f64) {
    report.row(
        name,
        &[
            most,
            most * SHARE,
            seen.per_second(),
            seen.latency_us(0.5),
            seen.latency_us(0.99),
            seen.latency_us(0.999),
            seen.lateness_us(0.99),
            cost,
        ],
    );
}
