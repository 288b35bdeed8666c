//! Short runs of chaos on each back-end set; `scripts/chaos` runs longer ones.

use std::time::Duration;

use vayro_testing::chaos::{DISK_LEN, Damage, Fault, Options, Set, Step, run, run_steps};
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

fn step(faults: &[Fault], seconds: f64) -> Step {
    Step { rest: Duration::from_millis(100), faults: faults.to_vec(), hold: Duration::from_secs_f64(seconds) }
}

/// Plays `steps` and returns failpoints that were not reached, and what was said.
fn survives(set: Set, steps: &[Step]) -> (Vec<&'static str>, String) {
    let options = options(0, set, Duration::ZERO);
    let (mut unreached, mut said) = (Vec::new(), String::new());
    block_on(async {
        let verdict = run_steps(steps, options, &mut |line| said.extend([line, "\n"])).await;
        assert!(verdict.holds(), "not everything was survived:\n{said}");
        unreached = verdict.unreached;
    });
    (unreached, said)
}

/// Dies at each point twice in a row, then stops there and goes on with what it held.
fn survives_every_failpoint(set: Set, points: &[&'static str]) {
    let of_point = |&point: &&'static str| {
        let seconds = if point == "mid_trim" { 2.0 } else { 1.0 };
        [Fault::DieAt(point, 1), Fault::DieAt(point, 2), Fault::StopAt(point, 1)]
            .map(|fault| step(&[fault], seconds))
    };
    let steps: Vec<Step> = points.iter().flat_map(of_point).collect();
    let (unreached, said) = survives(set, &steps);
    let times = |point: &str| unreached.iter().filter(|name| **name == point).count();
    let never: Vec<&str> = points.iter().copied().filter(|point| times(point) == 2).collect();
    assert!(never.is_empty(), "failpoints that were never reached: {never:?}\n{said}");
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
fn a_worker_that_wakes_up_finds_its_batch_done_by_another() {
    let steps: Vec<Step> = ["mid_copy", "before_commit", "after_commit", "before_ack"]
        .map(|point| step(&[Fault::StopAt(point, 1), Fault::Overlap], 3.0))
        .into();
    survives(Set::Clustered, &steps);
}

#[test]
fn a_spool_that_is_full_or_damaged_costs_only_what_was_damaged() {
    let steps = [
        step(&[Fault::FullDisk(20_000), Fault::PauseRedis], 4.0),
        step(&[Fault::DamageDisk(Damage::Tear, 1)], 3.0),
        step(&[Fault::DamageDisk(Damage::Flip, 2)], 3.0),
        step(&[Fault::FullDisk(0), Fault::FullRedis], 2.0),
    ];
    survives(Set::Clustered, &steps);
}

#[test]
fn a_segment_log_that_is_full_or_damaged_costs_only_what_was_damaged() {
    let steps = [
        step(&[Fault::FullDisk(20_000)], 3.0),
        step(&[Fault::DamageDisk(Damage::Tear, 1)], 3.0),
        step(&[Fault::DamageDisk(Damage::Flip, 2)], 3.0),
        step(&[Fault::FullDisk(0), Fault::LockSqlite], 2.0),
    ];
    survives(Set::Embedded, &steps);
}

#[test]
fn a_replica_that_lags_takes_over_and_no_later_click_is_taken_for_an_earlier_one() {
    let steps = [
        step(&[Fault::FailOverRedis], 3.0),
        step(&[Fault::FailOverRedis, Fault::KillWorker], 2.0),
        step(&[Fault::KillRedis], 1.0),
    ];
    let (_, said) = survives(Set::Clustered, &steps);
    assert!(said.contains("clicks lost within the bound: Redis was flushed or failed over"), "{said}");
}

#[test]
fn answers_that_come_late_or_never_are_not_waited_for() {
    let steps = [
        step(&[Fault::DelayRedis(3_000)], 3.0),
        step(&[Fault::SilentRedis], 3.0),
        step(&[Fault::SilentPostgres], 3.0),
        step(&[Fault::SilentRedis, Fault::KillWorker], 2.0),
    ];
    survives(Set::Clustered, &steps);
}

#[test]
fn chaos_with_sentinels() {
    holds(20_261_123, Set::Clustered, Duration::from_secs(10));
}

#[test]
fn chaos_on_postgres_and_redis() {
    holds(20_261_122, Set::Clustered, Duration::from_secs(15));
}

#[test]
fn chaos_in_one_process() {
    holds(20_261_122, Set::Embedded, Duration::from_secs(8));
}
