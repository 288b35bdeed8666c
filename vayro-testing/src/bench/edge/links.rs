//! Memory of an edge that holds many links, and whether finding one of them costs more than finding one of few.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::task::JoinSet;

use super::client::{Connection, Target};
use super::load::{self, Load};
use super::servers::{self, CLIENT_CORE, Server};
use super::test_bed::TestBed;
use super::{LINKS, ROUND, ROUNDS, measure};
use crate::bench::median;
use crate::bench::report::{Bound, Report};
use crate::fixture;

/// Links when nobody says.
pub const DEFAULT: u32 = 1_000_000;
/// Connections that ask for each link once.
const CONNECTIONS: u32 = 32;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes per link: 300 MB for a million, 3 GB for ten.
const BYTES_MAX: f64 = 300.0;

/// Runs the benchmark with `count` links, at least twice those of the benchmark of redirects.
///
/// # Panics
///
/// When a server does not come up or an answer is wrong.
pub async fn run(count: u32) {
    let count = count.max(2 * LINKS);
    let bed = TestBed::start(&["--appendonly", "no", "--server_cpulist", CLIENT_CORE]).await;
    load::write_scripts(bed.dir());
    fixture::cache_links(&bed.redis.url, 0..count).await;
    let settings = [
        ("VAYRO_EDGE__CACHE_SIZE", "16GiB"),
        // Nothing is looked up twice meanwhile.
        ("VAYRO_EDGE__CACHE_FRESH", "12h"),
        ("VAYRO_EDGE__CACHE_STALE", "24h"),
    ];
    let edge = servers::vayro_with(bed.dir(), &bed.backends(), "vayro", &settings).await;

    let mut report = Report::new("links", &["links", "bytes/link", "cpu us/redirect"]);
    ask_for_all(&edge, 0..LINKS).await;
    let cost = async || {
        let mut costs = Vec::new();
        for _ in 0..ROUNDS {
            costs.push(measure(Load::Plain, &edge, bed.dir(), &bed.redis).await.cpu_us);
        }
        median(&costs)
    };
    let before = (edge.memory(), cost().await);
    report.row("few", &[f64::from(LINKS), f64::NAN, before.1]);
    ask_for_all(&edge, LINKS..count).await;
    bed.clear_clicks().await;
    tokio::time::sleep(ROUND).await;
    let bytes = (edge.memory() - before.0) / f64::from(count - LINKS);
    let after = cost().await;
    report.row("many", &[f64::from(count), bytes, after]);
    report.note(format!("a link has a target of {} bytes", fixture::target(count - 1).len()));
    report.aim("links-bytes", bytes, Bound::AtMost(BYTES_MAX));
    report.aim("links-hit-ratio", after / before.1, Bound::AtMost(1.05));
    report.finish().expect("results can be written");
}

/// Has each link looked up, so that it is in memory.
async fn ask_for_all(edge: &Server, numbers: std::ops::Range<u32>) {
    let mut clients = JoinSet::new();
    for client in 0..CONNECTIONS {
        clients.spawn(ask(edge.port, numbers.clone().skip(client as usize).step_by(CONNECTIONS as usize)));
    }
    while let Some(client) = clients.join_next().await {
        client.expect("every link is answered");
    }
}

async fn ask(port: u16, numbers: impl Iterator<Item = u32>) {
    let target = Target::plain(port);
    let mut connection = None;
    for number in numbers {
        let mut open = if let Some(open) = connection.take() {
            open
        } else {
            let opened = Connection::open(&target, Ipv4Addr::LOCALHOST).await;
            opened.expect("the edge takes connections")
        };
        let code = fixture::code(number);
        let request = target.request(&code);
        let answer = tokio::time::timeout(PATIENCE, open.ask(&request)).await;
        let answer = answer.expect("the edge answers in time").expect("the edge answers");
        assert_eq!(answer.status, 302, "{code}");
        connection = (!answer.closes).then_some(open);
    }
}
