//! Chaos: the real executables under load while a seeded schedule breaks everything around and inside them;
//! then the books must balance. Started by `scripts/chaos`, and briefly by the tests.
//!
//! What may be lost, and is told apart from what may not:
//!
//! * A killed edge takes what was in its rings along: visits answered within [`RING_BOUND`] before, or
//!   within `spool.append_timeout` more while Redis was failing, since a batch waits that long for it.
//! * FLUSHALL takes what was in the stream; these visits are known one by one.
//! * A killed Redis with `everysec` may take what it had not written yet: visits of [`REDIS_BOUND`] before.
//!
//! Nothing else may be lost, nothing may be there twice, and nothing that was not visited.

mod rows;
mod schedule;
mod servers;
mod verdict;
mod visits;
mod world;

use std::time::{Duration, Instant};

pub use schedule::{Fault, Set, Step, draw};
pub use verdict::Verdict;

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
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Decides the schedule.
    pub seed: u64,
    /// How long things go on breaking.
    pub length: Duration,
    /// On which back-end set.
    pub set: Set,
    /// Whether the executables were built with the feature `failpoints`.
    pub has_failpoints: bool,
}

/// Runs the schedule of `options`, then compares.
///
/// # Panics
///
/// When something cannot be started or broken; the verdict is about what the product did.
pub async fn run(options: Options, say: &mut dyn FnMut(&str)) -> Verdict {
    let steps = draw(options.seed, options.length, options.set, options.has_failpoints);
    say(&format!("seed {} on the {:?} set, {} steps", options.seed, options.set, steps.len()));
    let mut world = World::start(options.set).await;
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
    let mut verdict = Verdict::default();
    world.revive().await;
    verdict.check("liveness", world.new_clicks_land(CATCH_UP).await);
    let visits = visitors.stop().await;
    verdict.check("liveness", world.drained(CATCH_UP).await);
    verdict.check("liveness", world.replay_dead_letters(CATCH_UP).await);
    verdict::compare(&mut verdict, &world, &visits).await;
    verdict.to_string().lines().for_each(say);
    verdict
}
