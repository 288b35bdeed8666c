//! Short runs of chaos on each back-end set; `scripts/chaos` runs longer ones.

use std::time::Duration;

use vayro_testing::chaos::{DISK_LEN, Fault, Options, Set, Step, run, run_steps};
use vayro_testing::disk::SmallDisk;

/// Says that the executables were built with the feature `failpoints`, as `scripts/test` builds them.
const FAILPOINTS: &str = "VAYRO_CHAOS_FAILPOINTS";

fn options(seed: u64, set: Set, length: Duration) -> Options {
    let has_failpoints = std::env::var_os(FAILPOINTS).is_some();
    Options { seed, length, set, has_failpoints, disk: SmallDisk::mount(DISK_LEN).ok() }
}

fn block_on(work: impl Future<Output = ()>) {
    // Made after the disk was mounted, so that every thread of it sees the disk.
    tokio::runtime::Runtime::new().expect("a runtime can be made").block_on(work);
}

fn holds(seed: u64, set: Set, length: Duration) {
    let options = options(seed, set, length);
    block_on(async {
        let mut said = String::new();
        let verdict = run(options, &mut |line| said.extend([line, "\n"])).await;
        assert!(verdict.holds(), "chaos failed:\n{said}");
    });
}

/// Dies at each point twice in a row, then stops there and goes on with what it held.
fn survives_every_failpoint(set: Set, points: &[&'static str]) {
    let options = options(0, set, Duration::ZERO);
    let has_failpoints = options.has_failpoints;
    let fault = |fault, seconds| Step {
        rest: Duration::from_millis(100),
        faults: vec![fault],
        hold: Duration::from_secs_f64(seconds),
    };
    let steps: Vec<Step> = points
        .iter()
        .flat_map(|&point| {
            let hold = if point == "mid_trim" { 2.0 } else { 1.0 };
            [
                fault(Fault::DieAt(point, 1), hold),
                fault(Fault::DieAt(point, 2), hold),
                fault(Fault::StopAt(point, 1), hold),
            ]
        })
        .collect();
    block_on(async {
        let mut said = String::new();
        let verdict = run_steps(&steps, options, &mut |line| said.extend([line, "\n"])).await;
        assert!(verdict.holds(), "a failpoint was not survived:\n{said}");
        let mut never = points
            .iter()
            .filter(|point| verdict.unreached.iter().filter(|unreached| unreached == point).count() == 2);
        let is_reached = !has_failpoints || never.next().is_none();
        assert!(is_reached, "failpoints that were never reached: {:?}\n{said}", verdict.unreached);
    });
}

#[test]
fn a_worker_survives_every_failpoint() {
    survives_every_failpoint(
        Set::Clustered,
        &[
            "after_read",
            "mid_copy",
            "before_commit",
            "after_commit",
            "before_ack",
            "after_ack",
            "mid_dead_letter",
            "mid_trim",
        ],
    );
}

#[test]
fn one_process_survives_every_failpoint() {
    // Nothing that is no click gets into the embedded stream, so nothing is put aside there.
    let points =
        ["after_read", "mid_copy", "before_commit", "after_commit", "before_ack", "after_ack", "mid_trim"];
    survives_every_failpoint(Set::Embedded, &points);
}

#[test]
fn chaos_on_postgres_and_redis() {
    holds(20_261_122, Set::Clustered, Duration::from_secs(15));
}

#[test]
fn chaos_in_one_process() {
    holds(20_261_122, Set::Embedded, Duration::from_secs(8));
}
