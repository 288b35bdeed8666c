//! Attacks that hold connections, memory or threads, one after the other on one edge with the limits as shipped, while
//! visitors come and go: how many connections they hold, what memory that takes, and whether a visit fails.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::attack::{Attack, Orders, in_the_background};
use super::client::Target;
use super::load;
use super::servers::{self, CLIENT_CORE, Server};
use super::test_bed::TestBed;
use super::visits::{Outcome, Pace, Plan, Visits};
use crate::bench::report::{Bound, Report};
use crate::fixture;
use crate::process::Process;

/// Visits per second, the connections they come over, and after how many visits a visitor connects anew.
const RATE: f64 = 2_000.0;
const VISITORS: u32 = 64;
const VISITS_PER_CONNECTION: u32 = 20;
/// How long an attack goes on; longer than the limits on heads and handshakes (5 s).
const LENGTH: Duration = Duration::from_secs(12);
/// Visits before and behind it.
const MARGIN: Duration = Duration::from_secs(1);
/// How long the edge has afterwards until its memory is looked at again.
const RECOVERY: Duration = Duration::from_secs(4);
/// Pause between two looks at the edge.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Connections that attackers try to hold from one address, and from many.
const FROM_ONE: &str = "4000";
const FROM_MANY: u32 = 8_000;

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
/// `edge.head_size`; its buffer grows by doubling.
const HEAD_SIZE: f64 = 16.0 * KIB;
/// `edge.h2_streams_max`.
const STREAMS_MAX: f64 = 100.0;
/// What Pingora reads a body into.
const BODY_BUFFER: f64 = 64.0 * KIB;
/// Buffers of a TLS connection: a record each way (RFC 8446 §5.2), and a message of a handshake, for which rustls takes
/// 64 KiB at most.
const TLS_BUFFERS: f64 = (2.0 * 18.0 + 64.0) * KIB;
/// Everything else of a connection or stream: its task, our write buffer of 2 KiB, parsed headers, the session.
const SESSION: f64 = 24.0 * KIB;

/// What the allocator keeps or gives back from one look to the next, whoever attacks.
const ALLOCATOR_SLACK: f64 = 8.0 * MIB;

const COLUMNS: [&str; 9] = [
    "held",
    "refused",
    "MiB before",
    "MiB peak",
    "MiB after",
    "MiB allowed",
    "visits/s",
    "visits p99 us",
    "visits failed",
];

/// Who attacks.
enum Attacker {
    Nobody,
    /// `slowhttptest` with these arguments, from one address.
    SlowHttpTest(&'static [&'static str]),
    /// `h2load`, from one address.
    H2Load,
    /// We, from many addresses.
    Ours(Attack),
}

/// What was seen of the edge while it was attacked.
struct Seen {
    held: f64,
    refused: f64,
    before: f64,
    peak: f64,
    after: f64,
    visits: Outcome,
}

/// Runs the benchmark.
///
/// # Panics
///
/// When a server does not come up or an attacker is missing.
pub async fn run() {
    let bed = TestBed::with_links(super::LINKS, CLIENT_CORE).await;
    let edge = servers::vayro(bed.dir(), &bed.backends()).await;
    visit(&edge, LENGTH).finish().await;

    let head = 2.0 * HEAD_SIZE + SESSION;
    // A stream of HTTP/2 is a session of its own, and its answers wait until the client takes them.
    let streams = TLS_BUFFERS + SESSION + STREAMS_MAX * (HEAD_SIZE + SESSION);
    let attacks = [
        ("nobody", Attacker::Nobody, 0.0),
        ("slow heads", Attacker::SlowHttpTest(&["-H", "-i", "2", "-x", "24"]), head),
        (
            "slow bodies",
            Attacker::SlowHttpTest(&["-B", "-i", "2", "-s", "8192", "-x", "10"]),
            head + BODY_BUFFER,
        ),
        ("slow reads", Attacker::SlowHttpTest(&["-X", "-w", "1", "-y", "64", "-z", "5", "-k", "5"]), head),
        ("ranges", Attacker::SlowHttpTest(&["-R", "-a", "1", "-b", "3000"]), head),
        ("HTTP/2 load", Attacker::H2Load, streams),
        ("slow heads, many addresses", Attacker::Ours(Attack::SlowHeads), head),
        ("slow handshakes, many addresses", Attacker::Ours(Attack::SlowHandshakes), SESSION + TLS_BUFFERS),
    ];
    let mut report = Report::new("survival", &COLUMNS);
    let (mut failed, mut share) = (0.0, 0.0_f64);
    for (name, attacker, each) in attacks {
        let seen = measure(&edge, bed.dir(), &attacker).await;
        bed.clear_clicks().await;
        let allowed = seen.held.mul_add(each, ALLOCATOR_SLACK);
        let row = [
            seen.held,
            seen.refused,
            seen.before / MIB,
            seen.peak / MIB,
            seen.after / MIB,
            allowed / MIB,
            seen.visits.redirects() / seen.visits.seconds,
            seen.visits.latency_us(0.99),
            seen.visits.failures(),
        ];
        report.row(name, &row);
        if !matches!(attacker, Attacker::Nobody) {
            failed += seen.visits.failures();
            share = share.max((seen.peak - seen.before) / allowed);
        }
    }
    report.note(format!(
        "{RATE} visits/s from other addresses over {VISITORS} connections, each made anew after {VISITS_PER_CONNECTION} visits; \
         attackers give way to them on the client's core; slowhttptest and h2load come from one address, which may hold \
         1,024 connections; allowed: what the limits grant the connections that were held, and 8 MiB for what the allocator keeps"
    ));
    report.aim("survival-failed-visits", failed, Bound::AtMost(0.0));
    report.aim("survival-memory-of-allowed", share, Bound::AtMost(1.0));
    report.finish().expect("results can be written");
}

fn visit(edge: &Server, length: Duration) -> Visits {
    let plan = Plan {
        requests_per_connection: VISITS_PER_CONNECTION,
        ..Plan::new(Target::plain(edge.port), Pace::PerSecond(RATE), length, VISITORS)
    };
    Visits::start(plan, load::endless_codes())
}

async fn measure(edge: &Server, dir: &Path, attacker: &Attacker) -> Seen {
    let refused = async || edge.metric("vayro_edge_connections_refused_total").await;
    let (before, refused_before) = (edge.memory(), refused().await);
    let visits = visit(edge, LENGTH + 2 * MARGIN);
    tokio::time::sleep(MARGIN).await;
    let attack = start(attacker, edge, dir);
    let began = Instant::now();
    let (mut held, mut peak) = (0.0_f64, before);
    while began.elapsed() < LENGTH {
        tokio::time::sleep(LOOK_EVERY).await;
        peak = peak.max(edge.memory());
        held = held.max(edge.metric("vayro_edge_connections").await - f64::from(VISITORS));
    }
    drop(attack);
    let visits = visits.finish().await;
    tokio::time::sleep(RECOVERY).await;
    Seen { held, refused: refused().await - refused_before, before, peak, after: edge.memory(), visits }
}

/// Starts an attacker, who ends when dropped.
fn start(attacker: &Attacker, edge: &Server, dir: &Path) -> Option<Process> {
    let url = format!("http://127.0.0.1:{}/", edge.port);
    let mut command = match attacker {
        Attacker::Nobody => return None,
        Attacker::SlowHttpTest(arguments) => {
            let mut command = in_the_background("slowhttptest");
            let seconds = (LENGTH + MARGIN).as_secs().to_string();
            command.args(*arguments).args(["-c", FROM_ONE, "-r", "1000", "-l", &seconds, "-u", &url]);
            command
        }
        Attacker::H2Load => h2load(edge.tls_port()),
        Attacker::Ours(attack) => {
            let port = if *attack == Attack::SlowHandshakes { edge.tls_port() } else { edge.port };
            let orders =
                Orders { port, dir: dir.to_owned(), rate: 0.0, length: LENGTH, connections: FROM_MANY };
            attack.command(&orders)
        }
    };
    Some(Process::start(command.stdout(Stdio::null()).stderr(Stdio::null())))
}

/// As many streams as the edge allows on as many connections as one address may have, or nearly.
fn h2load(port: u16) -> Command {
    let mut command = in_the_background("h2load");
    let seconds = format!("-D{}", (LENGTH + MARGIN).as_secs());
    let url = format!("https://127.0.0.1:{port}/{}", fixture::code(0));
    command.args(["-t1", "-c400", "-m100", &seconds, &url]);
    command
}
