//! What a second thread on a second core adds: CPU per redirect with one and with two, and redirects per second where
//! the machine has cores left for the client.

use std::path::Path;
use std::time::Duration;

use super::ROUNDS;
use super::client::Target;
use super::load::{self, Client, Load};
use super::servers::{self, CLIENT_CORE, SERVER_CORE, Server};
use super::test_bed::TestBed;
use super::visits::{self, Pace, Plan};
use crate::bench::median;
use crate::bench::report::{Bound, Report};

/// Cores of the edge with two threads. The second one is the client's where there are no others.
const TWO_CORES: &str = "0,1";
/// The client where it does not share with the edge, and its core for the fixed load.
const APART: (Client, &str) = (Client { cores: "2,3", threads: 2 }, "2");
/// Cores that it takes for both sides to have two of their own.
const CORES_MIN: usize = 4;
/// Requests per second of the fixed load; some two fifths of what one thread answers.
const RATE: f64 = 30_000.0;
/// Length of a round of the fixed load.
const LENGTH: Duration = Duration::from_secs(6);
/// Connections of the fixed load.
const CONNECTIONS: u32 = 64;
/// How many times the work of one core two have to do.
const SCALING_MIN: f64 = 1.8;

/// One round of one edge.
struct Sample {
    fixed_us: f64,
    busy_us: f64,
    per_second: f64,
}

/// Runs the benchmark.
///
/// # Panics
///
/// When a server does not come up or a visit is not answered with a redirect.
pub async fn run() {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let has_others = cores >= CORES_MIN;
    let (client, core) = if has_others { APART } else { (Client::USUAL, CLIENT_CORE) };
    let bed = TestBed::with_links(super::LINKS, client.cores).await;
    let (dir, backends) = (bed.dir(), bed.backends());
    load::write_scripts(dir);
    let threads = |count: &'static str| [("VAYRO_EDGE__THREADS", count)];
    let one = servers::vayro_on(SERVER_CORE, dir, &backends, "one thread", &threads("1")).await;
    let two = servers::vayro_on(TWO_CORES, dir, &backends, "two threads", &threads("2")).await;
    let edges = [&one, &two];
    for edge in edges {
        Load::Plain.run(dir, edge, LENGTH / 2);
    }

    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (edge, samples) in edges.into_iter().zip(&mut samples) {
            bed.clear_clicks().await;
            samples.push(sample(edge, dir, client, core).await);
        }
    }
    let mut report = Report::new(
        "scaling",
        &["cpu us, fixed load", "cpu us, as much as goes", "redirects/s, as much as goes"],
    );
    let mut figures = Vec::new();
    for (edge, samples) in edges.into_iter().zip(&samples) {
        let middle = |figure: fn(&Sample) -> f64| median(&samples.iter().map(figure).collect::<Vec<_>>());
        let all: [f64; 3] = [middle(|s| s.fixed_us), middle(|s| s.busy_us), middle(|s| s.per_second)];
        report.row(edge.name, &all);
        figures.push(all);
    }
    let [one, two] = [figures[0], figures[1]];
    report.note(format!(
        "fixed load: {RATE} redirects/s over {CONNECTIONS} connections; medians of {ROUNDS} rounds"
    ));
    report.aim("scaling-by-cpu-fixed-load", 2.0 * one[0] / two[0], Bound::AtLeast(SCALING_MIN));
    report.aim("scaling-by-cpu-as-much-as-goes", 2.0 * one[1] / two[1], Bound::AtLeast(SCALING_MIN));
    if has_others {
        report.aim("scaling-by-redirects", two[2] / one[2], Bound::AtLeast(SCALING_MIN));
    } else {
        report.note(format!(
            "by CPU: twice the cost with one thread over the cost with two, since on {cores} cores the client and Redis share \
             the second one, so that redirects/s of two threads tell how much is left for them"
        ));
    }
    report.finish().expect("results can be written");
}

async fn sample(edge: &Server, dir: &Path, client: Client, core: &'static str) -> Sample {
    let target = Target::plain(edge.port);
    let plan = Plan { core, ..Plan::new(target, Pace::PerSecond(RATE), LENGTH, CONNECTIONS) };
    let (_, fixed_us) = visits::run(edge, plan, load::endless_codes()).await;
    let before = edge.cpu();
    let busy = Load::Plain.run_from(client, dir, edge, LENGTH);
    Sample { fixed_us, busy_us: (edge.cpu() - before) * 1e6 / busy.requests, per_second: busy.per_second }
}
