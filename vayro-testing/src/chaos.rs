//! Chaos: the real executables under load while a seeded schedule breaks everything around and inside them;
//! then five oracles are asked ([`Oracle`]). Started by `scripts/chaos`, and briefly by the tests.
//!
//! What may be lost, and is told apart from what may not:
//!
//! * A killed edge takes what was in its rings along: visits answered within [`RING_BOUND`] before, or
//!   within `spool.append_timeout` more while Redis was failing, since a batch waits that long for it.
//! * FLUSHALL takes what was in the stream, and so does a fail-over to a replica that never had it; these
//!   visits are known one by one.
//! * A killed Redis with `everysec` may take what it had not written yet: visits of [`REDIS_BOUND`] before.
//! * Bytes damaged on an edge's disk cost the clicks that they belong to; these are known one by one.
//!
//! Nothing else may be lost, nothing may be there twice, and nothing that was not visited.

mod aftermath;
mod damage;
mod rows;
mod schedule;
mod servers;
mod verdict;
mod visits;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use schedule::{Access, Damage, Fault, Set, Step, draw};
pub use verdict::{Oracle, Verdict};
pub use world::DISK_LEN;

use crate::disk::SmallDisk;
use visits::Visitors;
use world::World;

/// How long a click may stay in the rings of an edge whose sink takes clicks; the shipper looks every 5 to
/// 50 ms, the rest is for a machine that is busy with everything else.
pub const RING_BOUND: Duration = Duration::from_millis(500);
/// `spool.append_timeout`: how long a batch waits for Redis before it goes to the spool.
pub const APPEND_TIMEOUT: Duration = Duration::from_secs(1);
/// What Redis may not have written when it is killed: it writes before it answers, but with `everysec` may
/// put that off for two seconds while the disk is busy.
pub const REDIS_BOUND: Duration = Duration::from_millis(2500);
/// How long everything may take to catch up once nothing is broken any more.
const CATCH_UP: Duration = Duration::from_secs(120);
/// Links that are visited.
const LINKS: usize = 20;
const VISITORS: usize = 4;
const PAUSE: Duration = Duration::from_millis(6);

/// What to run.
#[derive(Debug)]
pub struct Options {
    /// Decides the schedule.
    pub seed: u64,
    /// How long things go on breaking.
    pub length: Duration,
    /// On which back-end set.
    pub set: Set,
    /// Whether the executables were built with the feature `failpoints`; without it the worker is killed and
    /// frozen wherever it is.
    pub has_failpoints: bool,
    /// A disk that can be filled up, see [`DISK_LEN`]. Without one, files are kept from growing.
    pub disk: Option<SmallDisk>,
}

/// Runs the schedule of `options`, then compares.
///
/// # Panics
///
/// When something cannot be started or broken; the verdict is about what the product did.
pub async fn run(options: Options, say: &mut dyn FnMut(&str)) -> Verdict {
    let Options { seed, length, set, has_failpoints, disk } = options;
    let (steps, access) = (draw(seed, length, set), Access::of_seed(seed));
    let again = format!(
        "scripts/chaos --seed {seed} --minutes {} --set {}",
        length.as_secs_f64() / 60.0,
        set.as_str()
    );
    say(&format!("{} steps: {again}", steps.len()));
    if set == Set::Clustered {
        say(match access {
            Access::Proxy => "Redis is behind a proxy; an odd seed has a replica and sentinels instead",
            Access::Sentinels => "Redis has a replica and sentinels; an even seed has a proxy instead",
        });
    }
    if disk.is_none() {
        say("no file system can be mounted here: instead of filling a disk, files are kept from growing");
    }
    let verdict = play(&steps, World::start(set, access, disk, has_failpoints).await, say).await;
    for line in verdict.to_string().lines() {
        say(line);
    }
    if !verdict.holds() {
        say(&format!("seed {seed}, the {} set; the schedule was", set.as_str()));
        for step in steps {
            say(&format!("    {step}"));
        }
        say(&format!("again with {again}"));
    }
    verdict
}

/// Plays `steps` one after the other in `world` under load, mends everything and asks the oracles.
async fn play(steps: &[Step], mut world: World, say: &mut dyn FnMut(&str)) -> Verdict {
    let mut urls = Vec::with_capacity(LINKS);
    for n in 0..LINKS {
        world.system.create_link(&format!("chaos-{n}"), "https://example.com/").await;
        urls.push(format!("{}/chaos-{n}", world.system.edge_url));
    }
    let visitors = Visitors::start(&urls, VISITORS, PAUSE);
    let started = Instant::now();
    for (number, step) in steps.iter().enumerate() {
        say(&format!("{:>5.1} s  step {}: {step}", started.elapsed().as_secs_f64(), number + 1));
        tokio::time::sleep(step.rest).await;
        world.play(step).await;
    }
    say(&format!("{:>5.1} s  nothing is broken any more", started.elapsed().as_secs_f64()));
    let mut verdict = Verdict { unreached: std::mem::take(&mut world.unreached), ..Verdict::default() };
    let ended = std::mem::take(&mut world.ended);
    verdict.check(Oracle::Liveness, if ended.is_empty() { Ok(()) } else { Err(format!("{ended:?}")) });
    world.revive().await;
    verdict.check(Oracle::Liveness, world.new_clicks_land(CATCH_UP).await);
    let visits = visitors.stop().await;
    verdict.check(Oracle::Liveness, world.drained(CATCH_UP).await);
    let mut reasons = BTreeMap::new();
    verdict.check(Oracle::Liveness, world.replay_dead_letters(CATCH_UP, &mut reasons).await);
    verdict::dead_letters(&mut verdict, &reasons);
    verdict::compare(&mut verdict, &world, &visits).await;
    verdict
}

/// Plays `steps`, each until its failpoint is reached; for tests that choose what breaks. See [`run`].
///
/// # Panics
///
/// As [`run`].
pub async fn run_steps(steps: &[Step], options: Options, say: &mut dyn FnMut(&str)) -> Verdict {
    let mut world =
        World::start(options.set, Access::of_steps(steps), options.disk, options.has_failpoints).await;
    // Tests say which points are to be reached, however busy the machine is.
    world.is_patient = true;
    let verdict = play(steps, world, say).await;
    verdict.to_string().lines().for_each(say);
    verdict
}
