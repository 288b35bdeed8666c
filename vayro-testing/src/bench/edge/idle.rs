//! Memory of connections on which nothing happens, and what they do to visits beside them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::client::{Connection, Target};
use super::load;
use super::servers::{self, CLIENT_CORE, Server};
use super::test_bed::TestBed;
use super::visits::{self, Outcome, Pace, Plan};
use crate::bench::memory;
use crate::bench::report::{Bound, Report};
use crate::fixture;

/// Idle connections of the two stages.
const STAGES: [u32; 2] = [10_000, 100_000];
/// Files of edge and client that are no idle connections; the edge itself reserves 512.
const OTHER_FILES: u64 = 700;
/// Connections from one address; below `edge.connections_per_address_max`.
const PER_ADDRESS: u32 = 1_000;
/// Connections that are made at a time.
const AT_A_TIME: u32 = 64;
/// How long a connection may take to be made and answered once.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long memory is left alone before it is looked at; the allocator gives freed pages back late.
const SETTLING: Duration = Duration::from_secs(2);
/// Visits per second beside idle connections, how long, and over how many connections.
const RATE: f64 = 5_000.0;
const LENGTH: Duration = Duration::from_secs(6);
const VISITORS: u32 = 64;

/// Most bytes of the edge for an idle connection.
const PLAIN_MAX: f64 = 8.0 * 1024.0;
const TLS_MAX: f64 = 24.0 * 1024.0;

const COLUMNS: [&str; 8] = [
    "connections",
    "bytes/conn",
    "pss bytes/conn",
    "kernel bytes/conn",
    "buffer bytes/conn",
    "visits p50 us",
    "visits p99 us",
    "cpu us/redirect",
];

/// Runs the benchmark.
///
/// # Panics
///
/// When a server does not come up or a visit is not answered with a redirect.
pub async fn run() {
    let bed = TestBed::with_links(super::LINKS, CLIENT_CORE).await;
    let files = rlimit::increase_nofile_limit(u64::MAX).expect("the limit of open files can be read");
    let allowed = u32::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(u32::MAX);

    let mut report = Report::new("idle", &COLUMNS);
    let settings = [("VAYRO_EDGE__IDLE_TIMEOUT", "1h"), ("VAYRO_EDGE__CONNECTIONS_MAX", "110000")];
    for (name, most, aim) in [("plain", PLAIN_MAX, "idle-plain-bytes"), ("tls", TLS_MAX, "idle-tls-bytes")] {
        let edge = servers::vayro_with(bed.dir(), &bed.backends(), name, &settings).await;
        let bytes = measure(&mut report, &edge, bed.dir(), allowed).await;
        report.aim(aim, bytes, Bound::AtMost(most));
        bed.clear_clicks().await;
    }
    if allowed < STAGES[1] {
        report.note(format!(
            "the limit of {files} open files allows {allowed} connections instead of {}",
            STAGES[1]
        ));
    }
    report.note(format!(
        "bytes: memory that the edge has for itself; pss: with its share of what it has in common with others; kernel: \
         objects of the kernel (sockets, files) of both ends together; buffer: bytes in sockets of both ends; beside them \
         {RATE} visits/s over {VISITORS} other connections of the same kind"
    ));
    report.finish().expect("results can be written");
}

/// What there is before a connection is idle, or with all of them.
struct Footprint {
    own: f64,
    proportional: f64,
    kernel: f64,
    buffers: f64,
}

impl Footprint {
    async fn of(edge: &Server) -> Self {
        tokio::time::sleep(SETTLING).await;
        Self {
            own: edge.memory(),
            proportional: memory::proportional(edge.id()),
            kernel: memory::kernel_objects(),
            buffers: memory::socket_buffers(),
        }
    }
}

/// Measures one kind of connections, named as the edge, and returns the bytes of each when there are most.
async fn measure(report: &mut Report, edge: &Server, dir: &Path, allowed: u32) -> f64 {
    let target = if edge.name == "tls" { Target::tls(edge, dir) } else { Target::plain(edge.port) };
    // Twice, so that what the edge needs for visits is there before anything is compared.
    visit(edge, &target).await;
    let (seen, cost) = visit(edge, &target).await;
    let nothing = [f64::NAN; 4];
    row(report, edge.name, 0, nothing, &seen, cost);
    let before = Footprint::of(edge).await;
    let mut idle = Vec::new();
    let mut bytes = f64::NAN;
    for count in STAGES.map(|count| count.min(allowed)) {
        open(&target, &mut idle, count).await;
        let now = Footprint::of(edge).await;
        let each = [
            now.own - before.own,
            now.proportional - before.proportional,
            now.kernel - before.kernel,
            now.buffers - before.buffers,
        ]
        .map(|bytes| bytes / f64::from(count));
        bytes = each[0];
        let (seen, cost) = visit(edge, &target).await;
        let held = edge.metric("vayro_edge_connections").await;
        assert!(held >= f64::from(count), "{count} connections are idle, the edge has {held}");
        row(report, edge.name, count, each, &seen, cost);
    }
    bytes
}

fn row(report: &mut Report, name: &str, count: u32, each: [f64; 4], seen: &Outcome, cost: f64) {
    let mut figures = vec![f64::from(count)];
    figures.extend(each);
    figures.extend([seen.latency_us(0.5), seen.latency_us(0.99), cost]);
    report.row(format!("{name}, {count} idle"), &figures);
}

/// Visits at a constant rate and returns the CPU microseconds per redirect, too.
async fn visit(edge: &Server, target: &Target) -> (Outcome, f64) {
    let plan = Plan::new(target.clone(), Pace::PerSecond(RATE), LENGTH, VISITORS);
    visits::run(edge, plan, load::endless_codes()).await
}

/// Makes connections until there are `count`, each of which asks once.
async fn open(target: &Target, idle: &mut Vec<Connection>, count: u32) {
    let request: Arc<[u8]> = target.request(&fixture::code(0)).into();
    let mut makers = JoinSet::new();
    let present = u32::try_from(idle.len()).expect("connections are few");
    for maker in 0..AT_A_TIME {
        let (target, request) = (target.clone(), Arc::clone(&request));
        makers.spawn(async move {
            let mut made = Vec::new();
            for number in (present..count).skip(maker as usize).step_by(AT_A_TIME as usize) {
                let making = async {
                    let mut connection = Connection::open(&target, address(number)).await?;
                    let answer = connection.ask(&request).await?;
                    assert_eq!(answer.status, 302, "the link is there");
                    Ok::<_, std::io::Error>(connection)
                };
                let connection =
                    tokio::time::timeout(PATIENCE, making).await.expect("the edge answers in time");
                made.push(connection.expect("the edge takes connections and answers"));
            }
            made
        });
    }
    while let Some(made) = makers.join_next().await {
        idle.extend(made.expect("connections can be made"));
    }
}

/// The address that an idle connection comes from.
fn address(number: u32) -> Ipv4Addr {
    let host = u8::try_from(1 + number / PER_ADDRESS % 250).expect("an octet is below 256");
    Ipv4Addr::new(127, 0, 3, host)
}
