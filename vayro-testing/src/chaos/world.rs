//! The system under test, what is done to its processes, and how it recovers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sqlx::{Executor as _, SqliteConnection};
use tempfile::NamedTempFile;

use super::damage;
use super::rows::Rows;
use super::schedule::{Access, Damage, Fault, Set, Step};
use super::servers::Servers;
use super::{APPEND_TIMEOUT, REDIS_BOUND, RING_BOUND};
use crate::disk::SmallDisk;
use crate::system::{LOG_FILE, Role, System};

/// Names the failpoint to a worker, see `vayro-worker`.
pub(super) const FAILPOINT: &str = "VAYRO_FAILPOINT";
/// Everything that a run would otherwise wait for is quick.
const SETTINGS: &[(&str, &str)] = &[
    ("VAYRO_WORKER__RECLAIM_IDLE", "2s"),
    ("VAYRO_WORKER__RECLAIM_EVERY", "500ms"),
    ("VAYRO_WORKER__TRIM_EVERY", "700ms"),
    ("VAYRO_WORKER__TRIM_WINDOW", "2s"),
    ("VAYRO_WORKER__BATCH_MAX", "200"),
    ("VAYRO_SPOOL__SEGMENT_SIZE", "1MiB"),
    // Warnings are what a run is made of; why a process ended is an error.
    ("VAYRO_LOG__LEVEL", "error"),
];
/// So that a lock held for some seconds runs into the one, and a slow statement into the other.
const CLUSTERED: &[(&str, &str)] =
    &[("VAYRO_POSTGRES__STATEMENT_TIMEOUT", "2s"), ("VAYRO_POSTGRES__LOCK_TIMEOUT", "1s")];
/// Of a worker that takes over what another one is still working on.
const GREEDY: &[(&str, &str)] =
    &[("VAYRO_WORKER__RECLAIM_IDLE", "500ms"), ("VAYRO_WORKER__RECLAIM_EVERY", "200ms")];

/// What the embedded set keeps its clicks in, and an edge its spool, inside the data directory.
const FOLDERS: (&str, &str) = ("clicks", "spool");
/// No file grows beyond this on a disk that is full. The ledger has its full length from the start, and
/// gets no longer.
const LEDGER_LEN: u64 = 8192;
/// Longest file beyond that.
const FILE_LEN_MAX: u64 = 64 * 1024;
/// The longest pause of a shipper between two offers.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long a worker that was frozen goes on with what it held, before it is started anew.
const THAW: Duration = Duration::from_secs(1);
/// How long an edge needs to find out that Redis is away and to put clicks on its disk.
const SPOOLING: Duration = Duration::from_secs(3);
/// How long a patient step waits for its failpoint.
const REACH_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two looks whether it was reached.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often a process that ended before it got ready is started, as a supervisor would.
const STARTS_MAX: usize = 3;
/// Size of the disk that is filled up.
pub const DISK_LEN: u64 = 256 << 20;

/// A time in which an answered visit may have been lost, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: Instant,
    /// The instant of the cause.
    pub(super) at: Instant,
    pub(super) until: Instant,
    pub(super) why: &'static str,
}

pub(super) struct World {
    pub(super) system: System,
    pub(super) servers: Option<Servers>,
    pub(super) windows: Vec<Window>,
    /// Visits whose clicks were damaged on the disk.
    pub(super) damaged: BTreeSet<String>,
    /// What is worth knowing.
    pub(super) notes: Vec<String>,
    /// Processes that ended though nothing was done to them.
    pub(super) ended: Vec<String>,
    /// Failpoints that were armed to kill and not reached while the step lasted.
    pub(super) unreached: Vec<&'static str>,
    sqlite_lock: Option<SqliteConnection>,
    disk: Option<SmallDisk>,
    has_failpoints: bool,
    /// Whether a step lasts until its failpoint was reached, within [`REACH_LIMIT`].
    pub(super) is_patient: bool,
    /// What the processes logged.
    log: NamedTempFile,
}

impl World {
    pub(super) async fn start(
        set: Set,
        access: Access,
        disk: Option<SmallDisk>,
        has_failpoints: bool,
    ) -> Self {
        let dir = disk.as_ref().map_or_else(tempfile::tempdir, |disk| tempfile::tempdir_in(disk.path()));
        let dir = dir.expect("a temporary folder can be made");
        let log = NamedTempFile::new().expect("a temporary file can be made");
        let log_file = [(LOG_FILE, log.path().to_str().expect("temporary files have plain paths"))];
        let (system, servers) = match set {
            Set::Embedded => (System::up_in(dir, &[], &[SETTINGS, &log_file].concat()).await, None),
            Set::Clustered => {
                let servers = Servers::start(access).await;
                let settings = [SETTINGS, CLUSTERED, &log_file].concat();
                let (postgres, redis) = (servers.postgres_url(), servers.redis_url());
                (System::clustered_in(dir, &postgres, &redis, &settings).await, Some(servers))
            }
        };
        Self {
            system,
            servers,
            windows: Vec::new(),
            damaged: BTreeSet::new(),
            notes: Vec::new(),
            ended: Vec::new(),
            unreached: Vec::new(),
            sqlite_lock: None,
            disk,
            has_failpoints,
            is_patient: false,
            log,
        }
    }

    pub(super) fn rows(&self) -> Rows {
        match &self.servers {
            Some(servers) => Rows::Postgres(servers.postgres_direct().to_owned()),
            None => Rows::Sqlite(self.system.data_dir().join("vayro.db")),
        }
    }

    pub(super) fn roles(&self) -> &'static [Role] {
        if self.servers.is_some() { &[Role::Api, Role::Edge, Role::Worker] } else { &[Role::Edge] }
    }

    fn allow(&mut self, bound: Duration, why: &'static str) {
        self.allow_at(Instant::now(), bound, why);
    }

    /// Allows losses of the time before `at`, when the cause began.
    fn allow_at(&mut self, at: Instant, bound: Duration, why: &'static str) {
        // An answer may be read a moment after its sender died.
        let (from, until) = (at.checked_sub(bound).unwrap_or(at), Instant::now() + RING_BOUND);
        self.windows.push(Window { from, at, until, why });
    }

    /// Breaks what the step says, waits, and mends it.
    pub(super) async fn play(&mut self, step: &Step) {
        let faults: Vec<Fault> = step.faults.iter().map(|fault| self.possible(*fault)).collect();
        if let [Fault::DamageDisk(damage, number)] = faults[..] {
            self.damage_disk(damage, number, step.hold).await;
            return;
        }
        // Processes that are started anew need their servers.
        let (of_servers, of_processes): (Vec<Fault>, Vec<Fault>) =
            faults.into_iter().partition(|fault| fault.is_of_a_server());
        let is_redis_failing = of_servers.iter().any(|fault| fault.delays_clicks());
        let ring_bound = if is_redis_failing { RING_BOUND + APPEND_TIMEOUT } else { RING_BOUND };
        let is_start =
            |fault: &&Fault| matches!(fault, Fault::DieAt(..) | Fault::StopAt(..) | Fault::Overlap);
        for fault in of_processes.iter().filter(is_start) {
            self.break_process(*fault, ring_bound).await;
        }
        for fault in &of_servers {
            self.break_server(*fault).await;
        }
        for fault in of_processes.iter().filter(|fault| !is_start(fault)) {
            self.break_process(*fault, ring_bound).await;
        }
        self.hold(step.hold, ring_bound).await;
        if self.is_patient {
            for fault in &of_processes {
                self.wait_for(*fault, ring_bound).await;
            }
        }
        // What is frozen may hold what mending a server needs.
        for fault in &of_processes {
            self.thaw(*fault);
        }
        for fault in &of_servers {
            self.mend_server(*fault).await;
        }
        for fault in &of_processes {
            self.mend_process(*fault, ring_bound).await;
        }
        self.note_the_ended(&of_processes);
    }

    /// Executables without failpoints are killed and frozen wherever they are.
    fn possible(&self, fault: Fault) -> Fault {
        match fault {
            Fault::DieAt(..) if !self.has_failpoints => self.plain(Fault::KillWorker, Fault::KillEdge),
            Fault::StopAt(..) if !self.has_failpoints => self.plain(Fault::PauseWorker, Fault::PauseEdge),
            other => other,
        }
    }

    fn plain(&self, clustered: Fault, embedded: Fault) -> Fault {
        if self.servers.is_some() { clustered } else { embedded }
    }

    /// Puts clicks on the disk of the edge by an outage of what they go to, kills it, and damages them.
    async fn damage_disk(&mut self, damage: Damage, number: u32, hold: Duration) {
        let outage = self.plain(Fault::PauseRedis, Fault::LockSqlite);
        self.break_server(outage).await;
        tokio::time::sleep(hold.max(SPOOLING)).await;
        self.kill_edge(RING_BOUND);
        let folder = self.system.data_dir().join(if self.servers.is_some() { FOLDERS.1 } else { FOLDERS.0 });
        let done = damage::damage(&folder, damage, number);
        self.notes.push(format!("a disk was damaged: {}", done.what));
        self.damaged.extend(done.tokens);
        self.mend_server(outage).await;
        self.restart(Role::Edge, RING_BOUND).await;
    }

    async fn break_server(&mut self, fault: Fault) {
        if fault == Fault::KillRedis {
            self.allow(REDIS_BOUND, "Redis was killed");
        }
        match (&mut self.servers, fault) {
            (_, Fault::LockSqlite) => {
                let mut holder = self.rows().sqlite().await;
                // A worker that is frozen in a transaction has the lock already.
                self.sqlite_lock = holder.execute("BEGIN IMMEDIATE").await.is_ok().then_some(holder);
            }
            (Some(servers), fault) => servers.inject(fault).await,
            (None, fault) => unreachable!("the embedded set has no server for {fault:?}"),
        }
    }

    async fn mend_server(&mut self, fault: Fault) {
        match &mut self.servers {
            Some(servers) => servers.heal(fault).await,
            None => self.sqlite_lock = None,
        }
    }

    /// Waits; in one process a worker that dies at a failpoint takes the edge along.
    async fn hold(&mut self, hold: Duration, ring_bound: Duration) {
        let started = Instant::now();
        let mut was_up = !self.system.has_ended(Role::Edge);
        while started.elapsed() < hold {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if was_up && self.system.has_ended(Role::Edge) {
                was_up = false;
                self.allow(ring_bound, "the edge was killed");
            }
        }
    }

    /// Waits until the worker has reached the failpoint that it was armed with.
    async fn wait_for(&mut self, fault: Fault, ring_bound: Duration) {
        let worker = if self.servers.is_some() { Role::Worker } else { Role::Edge };
        let started = Instant::now();
        while started.elapsed() < REACH_LIMIT {
            let is_reached = match fault {
                Fault::DieAt(..) => self.system.has_ended(worker),
                Fault::StopAt(..) => self.system.has_ended(worker) || self.system.process(worker).is_frozen(),
                _ => true,
            };
            if is_reached {
                return;
            }
            self.hold(LOOK_EVERY, ring_bound).await;
        }
    }

    async fn break_process(&mut self, fault: Fault, ring_bound: Duration) {
        match fault {
            Fault::KillEdge => self.kill_edge(ring_bound),
            Fault::KillApi => self.system.kill(Role::Api),
            Fault::KillWorker => self.system.kill(Role::Worker),
            Fault::PauseEdge => self.system.process(Role::Edge).pause(),
            Fault::PauseApi => self.system.process(Role::Api).pause(),
            Fault::PauseWorker => self.system.process(Role::Worker).pause(),
            Fault::DieAt(point, count) => self.arm(point, &format!("{point}:{count}"), ring_bound).await,
            Fault::StopAt(point, count) => {
                self.arm(point, &format!("{point}:{count}:stop"), ring_bound).await;
            }
            // A second worker that cannot start is no second worker; nothing depends on it.
            Fault::Overlap => _ = self.system.start_with(Role::Helper, GREEDY).await,
            Fault::FullDisk(number) => {
                if let Some(disk) = &self.disk {
                    disk.fill();
                } else {
                    let limit = LEDGER_LEN + u64::from(number) % FILE_LEN_MAX;
                    self.system.process(Role::Edge).limit_files(Some(limit));
                }
            }
            other => unreachable!("{other:?} is not of a process"),
        }
    }

    /// Starts the worker anew so that it dies or stops at a failpoint.
    async fn arm(&mut self, point: &str, armed: &str, ring_bound: Duration) {
        let variables = [(FAILPOINT, armed)];
        if let Some(servers) = &self.servers {
            self.system.kill(Role::Worker);
            // It may reach the point before it is ready.
            _ = self.system.start_with(Role::Worker, &variables).await;
            if point == "mid_dead_letter" {
                servers.poison().await;
            }
        } else {
            self.kill_edge(ring_bound);
            _ = self.system.start_up_with(&[], &variables).await;
            if self.system.has_ended(Role::Edge) {
                self.allow(ring_bound, "the edge was killed");
            }
        }
    }

    fn kill_edge(&mut self, ring_bound: Duration) {
        let at = Instant::now();
        self.system.kill(Role::Edge);
        self.allow_at(at, ring_bound, "the edge was killed");
    }

    /// Lets what is frozen go on.
    fn thaw(&mut self, fault: Fault) {
        let worker = if self.servers.is_some() { Role::Worker } else { Role::Edge };
        match fault {
            Fault::PauseEdge => self.system.process(Role::Edge).resume(),
            Fault::PauseApi => self.system.process(Role::Api).resume(),
            Fault::PauseWorker => self.system.process(Role::Worker).resume(),
            Fault::StopAt(..) if !self.system.has_ended(worker) => self.system.process(worker).resume(),
            _ => {}
        }
    }

    async fn mend_process(&mut self, fault: Fault, ring_bound: Duration) {
        match fault {
            Fault::KillEdge => self.restart(Role::Edge, ring_bound).await,
            Fault::KillApi => self.restart(Role::Api, ring_bound).await,
            Fault::KillWorker => self.restart(Role::Worker, ring_bound).await,
            Fault::DieAt(..) | Fault::StopAt(..) => {
                let role = if self.servers.is_some() { Role::Worker } else { Role::Edge };
                match fault {
                    Fault::DieAt(point, _) if !self.system.has_ended(role) => self.unreached.push(point),
                    Fault::StopAt(..) => tokio::time::sleep(THAW).await,
                    _ => {}
                }
                self.restart(role, ring_bound).await;
            }
            Fault::Overlap => self.system.kill(Role::Helper),
            Fault::FullDisk(_) => {
                match &self.disk {
                    Some(disk) => disk.free(),
                    None => self.system.process(Role::Edge).limit_files(None),
                }
                // What neither Redis nor the disk took waits in the rings until it is offered again.
                tokio::time::sleep(RETRY_PAUSE + RING_BOUND).await;
            }
            _ => {}
        }
    }

    /// Notes processes that are not there any more though no fault of this step ends one.
    fn note_the_ended(&mut self, faults: &[Fault]) {
        for role in self.roles() {
            if self.system.has_ended(*role) {
                self.ended.push(format!("{role:?} ended by itself during {faults:?}"));
            }
        }
    }

    /// Starts a process anew, as often as a supervisor would.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub(super) async fn restart(&mut self, role: Role, ring_bound: Duration) {
        if !self.system.has_ended(role) {
            if role == Role::Edge {
                self.kill_edge(ring_bound);
            } else {
                self.system.kill(role);
            }
        }
        for _ in 0..STARTS_MAX {
            let is_ready = match &self.servers {
                Some(_) => self.system.start_with(role, &[]).await,
                None => self.system.start_up_with(&[], &[]).await,
            };
            if is_ready {
                return;
            }
            self.notes
                .push(format!("{role:?} had to be started once more; the last error: {}", self.last_error()));
        }
        panic!("{role:?} does not start: {:?}", self.notes);
    }

    fn last_error(&self) -> String {
        let logged = std::fs::read_to_string(self.log.path()).unwrap_or_default();
        logged.lines().last().unwrap_or("none").to_owned()
    }
}
