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

impl Set {
    /// Returns its name, as `scripts/chaos` takes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clustered => "clustered",
            Self::Embedded => "embedded",
        }
    }
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
    DieAt(&'static str, u32),
    /// The worker freezes there, and goes on later with what it holds.
    StopAt(&'static str, u32),
    /// A second worker takes over whatever the first one holds for more than a moment.
    Overlap,
    /// The disk of the edge takes nothing more; without a disk of its own, no file may grow beyond so many
    /// bytes.
    FullDisk(u32),
    /// While clicks wait on the edge's disk, it is killed and bytes of what waits are changed: the end is
    /// torn off, or bits are flipped. The number decides which.
    DamageDisk(Damage, u32),
    /// SIGKILL of Redis.
    KillRedis,
    /// SIGSTOP of Redis.
    PauseRedis,
    /// Redis reaches its `maxmemory`.
    FullRedis,
    /// FLUSHALL.
    FlushRedis,
    /// The replica of Redis stands still for a while, then takes over from its master, which is killed.
    FailOverRedis,
    /// So many answers of Redis are lost after it did what it was asked.
    CutRedis(u32),
    /// Immediate shutdown of PostgreSQL, as a power cut would.
    KillPostgres,
    /// SIGKILL of the first process of PostgreSQL; its children go on until they notice.
    KillPostmaster,
    /// Every session is terminated.
    TerminateSessions,
    /// Transactions are read-only.
    ReadOnlyPostgres,
    /// Somebody holds a lock that every batch needs; statements run into their limit for locks.
    LockPostgres,
    /// Every batch takes longer than a statement may.
    SlowPostgres,
    /// This month's partition is away.
    MissingPartition,
    /// So many answers of PostgreSQL are lost after it did what it was asked.
    CutPostgres(u32),
    /// Somebody else writes to the embedded database and does not finish.
    LockSqlite,
}

/// What happens to bytes on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The end of the newest file is gone, as after a power cut.
    Tear,
    /// Some bits are the other way round.
    Flip,
}

/// Points of `vayro-core`'s `failpoint.rs`; a name that is unknown there stops the worker at its start.
pub(super) const FAILPOINTS: [&str; 8] = [
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
        matches!(
            self,
            Self::KillRedis
                | Self::PauseRedis
                | Self::FullRedis
                | Self::FlushRedis
                | Self::FailOverRedis
                | Self::CutRedis(_)
                | Self::KillPostgres
                | Self::KillPostmaster
                | Self::TerminateSessions
                | Self::ReadOnlyPostgres
                | Self::LockPostgres
                | Self::SlowPostgres
                | Self::MissingPartition
                | Self::CutPostgres(_)
                | Self::LockSqlite
        )
    }

    /// Tells whether nothing else may break beside it.
    const fn is_alone(self) -> bool {
        // A partition that is away is made anew by a worker that starts; an operator's detach does not race
        // one, so neither does this. Damage brings an outage of its own.
        matches!(self, Self::MissingPartition | Self::DamageDisk(..))
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
pub fn draw(seed: u64, length: Duration, set: Set) -> Vec<Step> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut steps = Vec::new();
    let mut taken = Duration::ZERO;
    while taken < length {
        let mut faults = vec![one(&mut rng, set)];
        if !faults[0].is_alone() && rng.random_bool(0.4) {
            let second = one(&mut rng, set);
            if second.is_of_a_server() != faults[0].is_of_a_server() && !second.is_alone() {
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

fn one(rng: &mut StdRng, set: Set) -> Fault {
    let point = *FAILPOINTS.choose(rng).expect("there are some");
    let count =
        if point.starts_with("mid_d") || point.starts_with("mid_t") { 1 } else { rng.random_range(1..8) };
    let (few, answers) = (rng.random_range(1..4), rng.random_range(1..12));
    let number = rng.random();
    match rng.random_range(0..10) {
        0 | 1 => return Fault::DieAt(point, count),
        2 => return Fault::StopAt(point, count),
        _ => {}
    }
    let embedded = [
        Fault::KillEdge,
        Fault::KillEdge,
        Fault::PauseEdge,
        Fault::FullDisk(number),
        Fault::DamageDisk(Damage::Tear, number),
        Fault::DamageDisk(Damage::Flip, number),
        Fault::LockSqlite,
    ];
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
        Fault::Overlap,
        Fault::FullDisk(number),
        Fault::FullDisk(number),
        Fault::DamageDisk(Damage::Tear, number),
        Fault::DamageDisk(Damage::Flip, number),
        Fault::KillRedis,
        Fault::KillRedis,
        Fault::PauseRedis,
        Fault::PauseRedis,
        Fault::FullRedis,
        Fault::FlushRedis,
        Fault::FailOverRedis,
        Fault::CutRedis(answers),
        Fault::CutRedis(few),
        Fault::KillPostgres,
        Fault::KillPostmaster,
        Fault::TerminateSessions,
        Fault::ReadOnlyPostgres,
        Fault::LockPostgres,
        Fault::SlowPostgres,
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
        let schedule = draw(7, minute, Set::Clustered);
        assert_eq!(schedule, draw(7, minute, Set::Clustered));
        assert_ne!(schedule, draw(8, minute, Set::Clustered));
        assert!(schedule.len() > 5);
        let embedded = draw(7, minute, Set::Embedded);
        let is_of_the_set = |fault: &Fault| !fault.is_of_a_server() || *fault == Fault::LockSqlite;
        assert!(embedded.iter().flat_map(|step| &step.faults).all(is_of_the_set));
    }

    #[test]
    fn every_fault_comes_up_within_some_seeds() {
        let hour = Duration::from_secs(3600);
        for (set, kinds) in [(Set::Clustered, 26), (Set::Embedded, 8)] {
            let drawn: std::collections::BTreeSet<String> = draw(1, hour, set)
                .iter()
                .flat_map(|step| &step.faults)
                .map(|fault| format!("{fault:?}").split('(').next().unwrap_or_default().to_owned())
                .collect();
            assert!(drawn.len() >= kinds - 1, "{drawn:?}");
        }
    }
}
