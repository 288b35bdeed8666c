//! How long a click takes from its redirect to the answer of `/v1/analytics`, under a steady load.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::report::{Bound, Report};
use super::{median, percentile};
use crate::system::System;
use crate::{postgres, redis, wait};

/// Clicks per second of the load.
const RATE: u32 = 2_000;
/// Connections it comes over.
const CONNECTIONS: u32 = 20;
/// Links it goes to.
const LINKS: u32 = 200;
/// Clicks that are watched on their way, one after the other.
const PROBES: usize = 200;
/// Load before the first of them.
const WARM_UP: Duration = Duration::from_secs(3);
/// Pause between two questions for a watched click.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// Longest time for a watched click.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the benchmark on the sets named, `clustered` or `embedded`.
///
/// # Panics
///
/// When a server does not come up or a click does not arrive.
pub async fn run(sets: &[&str]) {
    let mut report = Report::new("freshness", &["p50 ms", "p99 ms", "max ms", "clicks/s"]);
    report.note(format!(
        "{PROBES} clicks watched from the redirect to the answer of /v1/analytics, beside {RATE} clicks/s on {LINKS} links; client, servers and all processes on the same cores"
    ));
    for set in sets {
        match *set {
            "clustered" => {
                let (database, cache) = (postgres::server().await, redis::server().await);
                let system = System::clustered_with(&database.url, &cache.url, &[UNLIMITED, EVERY]).await;
                measure(&mut report, "PostgreSQL and Redis", "clustered", system).await;
            }
            "embedded" => {
                let system = System::up_with(&[], &[UNLIMITED, EVERY]).await;
                measure(&mut report, "SQLite", "embedded", system).await;
            }
            other => panic!("`{other}` is neither clustered nor embedded"),
        }
    }
    report.finish().expect("results can be written");
}

/// The load comes from one address over few connections.
const UNLIMITED: (&str, &str) = ("VAYRO_EDGE__REQUESTS_PER_CONNECTION", "1000000000");
/// Every visit of the one visitor counts.
const EVERY: (&str, &str) = ("VAYRO_WORKER__REPEAT_WINDOW", "0s");

async fn measure(report: &mut Report, name: &str, short: &str, system: System) {
    for number in 0..LINKS {
        system.create_link(&format!("load{number}"), "https://example.com/landing").await;
    }
    let probe = system.create_link("probe", "https://example.com/probe").await;
    let id = probe["id"].as_str().expect("a link has an id").to_owned();

    let address = system.edge_url.trim_start_matches("http://").to_owned();
    let mut visitors = JoinSet::new();
    for visitor in 0..CONNECTIONS {
        visitors.spawn(visit(address.clone(), visitor));
    }
    tokio::time::sleep(WARM_UP).await;
    let before = accepted(&system).await;
    let started = Instant::now();
    let mut delays = Vec::with_capacity(PROBES);
    for number in 1..=PROBES {
        assert_eq!(system.visit("probe").await.0, 302);
        let redirected = Instant::now();
        let wanted = i64::try_from(number).expect("probes are few");
        wait::until_every(ASK_EVERY, "a watched click", PATIENCE, async || {
            (system.clicks(&id).await >= wanted).then_some(())
        })
        .await;
        delays.push(redirected.elapsed().as_secs_f64() * 1000.0);
    }
    let rate = (accepted(&system).await - before) / started.elapsed().as_secs_f64();
    visitors.shutdown().await;
    let p99 = percentile(&delays, 0.99);
    report.row(name, &[median(&delays), p99, percentile(&delays, 1.0), rate]);
    report.aim(format!("freshness-{short}-p99-ms"), p99, Bound::AtMost(1000.0));
    report.aim(format!("freshness-{short}-clicks-per-second"), rate, Bound::AtLeast(f64::from(RATE) * 0.95));
}

async fn accepted(system: &System) -> f64 {
    let port = system.admin_url.rsplit(':').next().and_then(|port| port.parse().ok());
    super::metrics::read(port.expect("the address has a port"), "vayro_edge_clicks_accepted_total").await
        as f64
}

/// Visits links in turn at an even pace; what was missed while the edge was slow is made up for.
async fn visit(address: String, visitor: u32) {
    let mut stream = TcpStream::connect(&address).await.expect("the edge listens");
    stream.set_nodelay(true).expect("TCP has the option");
    let mut pace = tokio::time::interval(Duration::from_secs(1) * CONNECTIONS / RATE);
    let mut answer = vec![0; 4096];
    for number in 0_u64.. {
        pace.tick().await;
        let link = (number * u64::from(CONNECTIONS) + u64::from(visitor)) % u64::from(LINKS);
        let request = format!(
            "GET /load{link} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.{visitor}\r\nAccept-Language: de\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("the edge takes a request");
        let len = stream.read(&mut answer).await.expect("the edge answers");
        assert!(answer[..len].starts_with(b"HTTP/1.1 302"), "{}", String::from_utf8_lossy(&answer[..len]));
    }
}
