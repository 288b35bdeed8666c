//! What breaks, when and for how long: all of it follows from the seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// A back-end set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// One process per role, PostgreSQL and Redis.
    Clustered,
    /// One process, SQLite and the segment log.
    Embedded,
}

/// One thing that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of the edge; with one process, of everything.
    KillEdge,
    /// SIGSTOP of the edge.
    PauseEdge,
    /// SIGKILL of the API.
    KillApi,
    /// SIGSTOP of the API.
    PauseApi,
    /// SIGKILL of the worker.
    KillWorker,
    /// SIGSTOP of the worker.
    PauseWorker,
    /// The worker dies at a named point when it reaches it so many times.
    Failpoint(&'static str, u32),
    /// SIGKILL of Redis.
    KillRedis,
    /// SIGSTOP of Redis.
    PauseRedis,
    /// Redis reaches its `maxmemory`.
    FullRedis,
    /// FLUSHALL.
    FlushRedis,
    /// So many answers of Redis are lost after it did what it was asked.
    CutRedis(u32),
    /// Immediate shutdown of PostgreSQL, as a power cut would.
    KillPostgres,
    /// Every session is terminated.
    TerminateSessions,
    /// Transactions are read-only.
    ReadOnlyPostgres,
    /// Somebody holds a lock that every batch needs; statements run into their time limit.
    LockPostgres,
    /// This month's partition is away.
    MissingPartition,
    /// So many answers of PostgreSQL are lost after it did what it was asked.
    CutPostgres(u32),
}

/// Points of `vayro-core`'s `failpoint.rs`; a name that is unknown there stops the worker at its start.
const FAILPOINTS: [&str; 8] = [
    "after_read",
    "mid_copy",
    "before_commit",
    "after_commit",
    "before_ack",
    "after_ack",
    "mid_dead_letter",
    "mid_trim",
];

impl Fault {
    /// Tells whether it hits a server and not one of our processes.
    pub const fn is_of_a_server(self) -> bool {
        !matches!(
            self,
            Self::KillEdge
                | Self::PauseEdge
                | Self::KillApi
                | Self::PauseApi
                | Self::KillWorker
                | Self::PauseWorker
                | Self::Failpoint(..)
        )
    }
}

/// Some faults at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long everything is well before.
    pub rest: Duration,
    /// What breaks, in this order.
    pub faults: Vec<Fault>,
    /// How long it stays broken.
    pub hold: Duration,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} ms, for {} ms:", self.rest.as_millis(), self.hold.as_millis())?;
        self.faults.iter().try_for_each(|fault| write!(f, " {fault:?}"))
    }
}

/// Draws a schedule that takes about `length`.
pub fn draw(seed: u64, length: Duration, set: Set, has_failpoints: bool) -> Vec<Step> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut steps = Vec::new();
    let mut taken = Duration::ZERO;
    while taken < length {
        let mut faults = vec![one(&mut rng, set, has_failpoints)];
        // A partition that is away is made anew by a worker that starts; an operator's detach does not race
        // one, so neither does this.
        let is_alone = faults[0] == Fault::MissingPartition;
        if set == Set::Clustered && !is_alone && rng.random_bool(0.4) {
            let second = one(&mut rng, set, has_failpoints);
            if second.is_of_a_server() != faults[0].is_of_a_server() && second != Fault::MissingPartition {
                faults.push(second);
            }
        }
        let step = Step {
            rest: Duration::from_millis(rng.random_range(300..2500)),
            faults,
            hold: Duration::from_millis(rng.random_range(200..5000)),
        };
        taken += step.rest + step.hold;
        steps.push(step);
    }
    steps
}

fn one(rng: &mut StdRng, set: Set, has_failpoints: bool) -> Fault {
    let point = *FAILPOINTS.choose(rng).expect("there are some");
    let count =
        if point.starts_with("mid_d") || point.starts_with("mid_t") { 1 } else { rng.random_range(1..8) };
    let (few, answers) = (rng.random_range(1..4), rng.random_range(1..12));
    if has_failpoints && rng.random_bool(0.3) {
        return Fault::Failpoint(point, count);
    }
    let embedded = [Fault::KillEdge, Fault::PauseEdge];
    // Those that can lose clicks by nature come more often.
    let clustered = [
        Fault::KillEdge,
        Fault::KillEdge,
        Fault::KillEdge,
        Fault::PauseEdge,
        Fault::KillApi,
        Fault::PauseApi,
        Fault::KillWorker,
        Fault::KillWorker,
        Fault::PauseWorker,
        Fault::KillRedis,
        Fault::PauseRedis,
        Fault::FullRedis,
        Fault::FlushRedis,
        Fault::CutRedis(answers),
        Fault::CutRedis(few),
        Fault::KillPostgres,
        Fault::TerminateSessions,
        Fault::ReadOnlyPostgres,
        Fault::LockPostgres,
        Fault::MissingPartition,
        Fault::CutPostgres(answers),
        Fault::CutPostgres(few),
    ];
    let all: &[Fault] = if set == Set::Clustered { &clustered } else { &embedded };
    *all.choose(rng).expect("there are some")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_everything() {
        let minute = Duration::from_secs(60);
        let schedule = draw(7, minute, Set::Clustered, true);
        assert_eq!(schedule, draw(7, minute, Set::Clustered, true));
        assert_ne!(schedule, draw(8, minute, Set::Clustered, true));
        assert!(schedule.len() > 5);
        let embedded = draw(7, minute, Set::Embedded, false);
        assert!(embedded.iter().flat_map(|step| &step.faults).all(|fault| !fault.is_of_a_server()));
    }
}
