//! CPU per redirect: our edge recording clicks into Redis against other servers with the same links, each alone on
//! one core, the client and Redis on another.

pub mod attack;
mod client;
pub mod flood;
pub mod floor;
pub mod idle;
pub mod instructions;
pub mod latency;
pub mod links;
mod load;
pub mod scaling;
mod servers;
pub mod survival;
mod test_bed;
mod visits;

use std::path::Path;
use std::time::Duration;

use load::IN_FLIGHT;
pub use load::Load;
use servers::{CLIENT_CORE, Server};
use test_bed::TestBed;

use super::report::{Bound, Report};
use super::{cpu, median, metrics};
use crate::fixture;
use crate::redis::RedisServer;

/// Links of every server.
const LINKS: u32 = 100_000;
/// Exponent of the popularity; 1.0 is the classic web.
const ZIPF_EXPONENT: f64 = 1.0;
/// Measured rounds of each server; the medians count.
const ROUNDS: usize = 3;
/// Length of a round.
const ROUND: Duration = Duration::from_secs(8);

/// What our CPU per redirect is compared with: how it is asked for, of which server, and the most that ours may be
/// of it.
const AIMS: [(Load, &str, &str, f64); 7] = [
    (Load::Plain, "nginx map + log", "edge-cpu-ratio", 0.85),
    (Load::Plain, "haproxy map", "edge-haproxy-ratio", 0.85),
    (Load::Plain, "nginx + Lua + Redis", "edge-lua-ratio", 0.25),
    (Load::Plain, "read and write", "edge-floor-ratio", 1.25),
    (Load::Tls, "nginx map + log", "edge-tls-ratio", 0.9),
    (Load::Handshakes, "nginx map + log", "edge-handshakes-ratio", 1.1),
    (Load::Http2, "nginx map + log", "edge-http2-ratio", 1.1),
];

/// One round of one server.
struct Sample {
    cpu_us: f64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    redis_us: f64,
}

/// Name of the edge of an earlier build.
const BEFORE: &str = "vayro before";

/// Compares with the other servers, or with the executables in `before` only, with these ways to ask.
///
/// # Panics
///
/// When a server does not come up, a client fails or a click is missing.
pub async fn run(loads: &[Load], before: Option<&Path>) {
    let bed = TestBed::with_links(LINKS, CLIENT_CORE).await;
    let (dir, backends) = (bed.dir(), bed.backends());
    load::write_scripts(dir);

    let ours = servers::vayro(dir, &backends).await;
    let all = if let Some(bin_dir) = before {
        vec![ours, servers::vayro_of(bin_dir, dir, &backends, BEFORE).await]
    } else {
        let floor = servers::floor(&ours).await;
        let slow = [("VAYRO_EDGE__FAST_LANE", "false")];
        vec![
            ours,
            servers::nginx_map(dir).await,
            servers::haproxy(dir).await,
            servers::nginx_lua(dir, &backends).await,
            servers::vayro_with(dir, &backends, "vayro without fast lane", &slow).await,
            floor,
        ]
    };
    let mut report =
        Report::new("edge", &["cpu us/redirect", "redirects/s", "p50 us", "p99 us", "redis us/redirect"]);
    for &asked in loads {
        // Only these two have all that there is to ask for.
        let some = if asked == Load::Plain { &all[..] } else { &all[..2] };
        compare(asked, some, dir, &bed.redis, &mut report).await;
    }
    report.note(format!(
        "{LINKS} links, Zipf {ZIPF_EXPONENT}, {IN_FLIGHT} requests at a time, browser-like headers, one core each, medians of \
         {ROUNDS} rounds; every redirect of ours is a click in Redis"
    ));
    report.finish().expect("results can be written");
}

async fn compare(
    load: Load,
    servers: &[Server],
    dir: &Path,
    redis_server: &RedisServer,
    report: &mut Report,
) {
    // Fills L1 and the page cache, and shows every server once before anything counts.
    for server in servers {
        load.run(dir, server, ROUND / 2);
    }
    let mut samples: Vec<Vec<Sample>> = servers.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (server, samples) in servers.iter().zip(&mut samples) {
            samples.push(measure(load, server, dir, redis_server).await);
        }
    }
    let mut costs = Vec::new();
    for (server, samples) in servers.iter().zip(&samples) {
        let middle = |figure: fn(&Sample) -> f64| median(&samples.iter().map(figure).collect::<Vec<_>>());
        let figures: [fn(&Sample) -> f64; 5] =
            [|s| s.cpu_us, |s| s.per_second, |s| s.p50_us, |s| s.p99_us, |s| s.redis_us];
        report.row(format!("{}: {}", load.as_str(), server.name), &figures.map(middle));
        costs.push((server.name, middle(|s| s.cpu_us)));
    }
    let cost_of = |name: &str| costs.iter().find(|cost| cost.0 == name).map(|cost| cost.1);
    for (_, peer, aim, most) in AIMS.into_iter().filter(|aim| aim.0 == load) {
        if let Some(cost) = cost_of(peer) {
            report.aim(aim, costs[0].1 / cost, Bound::AtMost(most));
        }
    }
    if let Some(cost) = cost_of(BEFORE) {
        report.aim(format!("edge-before-{}-ratio", load.as_str()), costs[0].1 / cost, Bound::AtMost(1.0));
    }
}

async fn measure(load: Load, server: &Server, dir: &Path, redis_server: &RedisServer) -> Sample {
    let accepted = async || match server.admin_port {
        Some(port) => Some(metrics::read(port, "vayro_edge_clicks_accepted_total").await),
        None => None,
    };
    if let Some(stream) = server.stream {
        // What another round left on its way is none of this one.
        fixture::settled(&redis_server.url, stream).await;
        fixture::clear(&redis_server.url, stream).await;
    }
    let accepted_before = accepted().await;
    let before = (server.cpu(), cpu::used(&[redis_server.id()]));
    let seen = load.run(dir, server, ROUND);
    let recorded = match server.stream {
        Some(stream) => Some(fixture::settled(&redis_server.url, stream).await),
        None => None,
    };
    let after = (server.cpu(), cpu::used(&[redis_server.id()]));
    if let Some(recorded) = recorded {
        assert!(recorded as f64 >= seen.requests, "{}: every redirect was recorded", server.name);
        if let (Some(before), Some(after)) = (accepted_before, accepted().await) {
            assert_eq!(after - before, recorded, "every accepted click is in Redis");
        }
    }
    let per_redirect = |spent: f64| spent * 1e6 / seen.requests;
    Sample {
        cpu_us: per_redirect(after.0 - before.0),
        per_second: seen.per_second,
        p50_us: seen.p50_us,
        p99_us: seen.p99_us,
        redis_us: if recorded.is_some() { per_redirect(after.1 - before.1) } else { f64::NAN },
    }
}
