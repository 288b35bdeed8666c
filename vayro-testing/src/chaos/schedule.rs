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

/// How the product gets to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Through a proxy, which answers late, or not, or breaks off.
    Proxy,
    /// As three sentinels say, which replace a master that is away by its replica.
    Sentinels,
}

impl Access {
    /// Returns what a run with this seed has.
    pub const fn of_seed(seed: u64) -> Self {
        if seed.is_multiple_of(2) { Self::Proxy } else { Self::Sentinels }
    }

    /// Returns what these steps need.
    pub fn of_steps(steps: &[Step]) -> Self {
        let fails_over = steps.iter().any(|step| step.faults.contains(&Fault::FailOverRedis));
        if fails_over { Self::Sentinels } else { Self::Proxy }
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
    /// The replica of Redis stands still for a while; then the master is killed, and sentinels let the replica
    /// take over. The old master comes back and still takes itself for the master.
    FailOverRedis,
    /// So many answers of Redis are lost after it did what it was asked.
    CutRedis(u32),
    /// Every answer of Redis comes so many milliseconds late.
    DelayRedis(u32),
    /// Redis is asked and does what it is asked, and no answer comes, nor an end.
    SilentRedis,
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
    /// PostgreSQL does what it is asked, and no answer comes, nor an end.
    SilentPostgres,
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
                | Self::DelayRedis(_)
                | Self::SilentRedis
                | Self::KillPostgres
                | Self::KillPostmaster
                | Self::TerminateSessions
                | Self::ReadOnlyPostgres
                | Self::LockPostgres
                | Self::SlowPostgres
                | Self::MissingPartition
                | Self::CutPostgres(_)
                | Self::SilentPostgres
                | Self::LockSqlite
        )
    }

    /// Tells whether edges may have to wait for Redis, or it does not take clicks.
    pub(super) const fn delays_clicks(self) -> bool {
        matches!(
            self,
            Self::KillRedis
                | Self::PauseRedis
                | Self::FullRedis
                | Self::FailOverRedis
                | Self::CutRedis(_)
                | Self::DelayRedis(_)
                | Self::SilentRedis
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
    let access = Access::of_seed(seed);
    let mut steps = Vec::new();
    let mut taken = Duration::ZERO;
    while taken < length {
        let mut faults = vec![one(&mut rng, set, access)];
        if !faults[0].is_alone() && rng.random_bool(0.4) {
            let second = one(&mut rng, set, access);
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

fn one(rng: &mut StdRng, set: Set, access: Access) -> Fault {
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
        Fault::KillPostgres,
        Fault::KillPostmaster,
        Fault::TerminateSessions,
        Fault::ReadOnlyPostgres,
        Fault::LockPostgres,
        Fault::SlowPostgres,
        Fault::MissingPartition,
        Fault::CutPostgres(answers),
        Fault::CutPostgres(few),
        Fault::SilentPostgres,
    ];
    let of_access: &[Fault] = match access {
        Access::Proxy => &[
            Fault::CutRedis(answers),
            Fault::CutRedis(few),
            Fault::DelayRedis(200 + number % 3000),
            Fault::SilentRedis,
        ],
        Access::Sentinels => &[Fault::FailOverRedis, Fault::FailOverRedis],
    };
    let all: Vec<Fault> = match set {
        Set::Clustered => [&clustered, of_access].concat(),
        Set::Embedded => embedded.into(),
    };
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
        for (set, kinds) in [(Set::Clustered, 28), (Set::Embedded, 7)] {
            let drawn: std::collections::BTreeSet<String> = [draw(1, hour, set), draw(2, hour, set)]
                .iter()
                .flatten()
                .flat_map(|step| &step.faults)
                .map(|fault| format!("{fault:?}").split('(').next().unwrap_or_default().to_owned())
                .collect();
            assert!(drawn.len() >= kinds, "{drawn:?}");
        }
    }
}
