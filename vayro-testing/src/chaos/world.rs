//! The system under test, what is done to its processes, and how it recovers.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::rows::Rows;
use super::schedule::{Fault, Set, Step};
use super::servers::Servers;
use super::{APPEND_TIMEOUT, REDIS_BOUND, RING_BOUND};
use crate::system::{Role, System};

/// Names the failpoint to a worker, see `vayro-worker`.
const FAILPOINT: &str = "VAYRO_FAILPOINT";
/// Pause between two looks at something that must come true.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Times that dead letters are put back: a killed worker makes some again.
const REPLAYS_MAX: usize = 5;
/// Everything that a run would otherwise wait for is quick.
const SETTINGS: &[(&str, &str)] = &[
    ("VAYRO_WORKER__RECLAIM_IDLE", "2s"),
    ("VAYRO_WORKER__RECLAIM_EVERY", "500ms"),
    ("VAYRO_WORKER__TRIM_EVERY", "700ms"),
    ("VAYRO_WORKER__TRIM_WINDOW", "2s"),
    ("VAYRO_WORKER__BATCH_MAX", "200"),
    ("VAYRO_LOG__LEVEL", "off"),
];
/// So that a lock held for some seconds runs into it.
const CLUSTERED: &[(&str, &str)] = &[("VAYRO_POSTGRES__STATEMENT_TIMEOUT", "2s")];

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
}

impl World {
    pub(super) async fn start(set: Set) -> Self {
        let (system, servers) = match set {
            Set::Embedded => (System::up_with(&[], SETTINGS).await, None),
            Set::Clustered => {
                let servers = Servers::start().await;
                let settings = [SETTINGS, CLUSTERED].concat();
                let (postgres, redis) = (servers.postgres_url(), servers.redis_url());
                (System::clustered_with(&postgres, &redis, &settings).await, Some(servers))
            }
        };
        Self { system, servers, windows: Vec::new() }
    }

    pub(super) fn rows(&self) -> Rows {
        match &self.servers {
            Some(servers) => Rows::Postgres(servers.postgres_direct().to_owned()),
            None => Rows::Sqlite(self.system.data_dir().join("vayro.db")),
        }
    }

    fn allow(&mut self, bound: Duration, why: &'static str) {
        let now = Instant::now();
        // An answer may be read a moment after its sender died.
        self.windows.push(Window {
            from: now.checked_sub(bound).unwrap_or(now),
            at: now,
            until: now + RING_BOUND,
            why,
        });
    }

    /// Breaks what the step says, waits, and mends it.
    pub(super) async fn play(&mut self, step: &Step) {
        // Processes that are started anew need their servers.
        let (of_servers, of_processes): (Vec<Fault>, Vec<Fault>) =
            step.faults.iter().copied().partition(|fault| fault.is_of_a_server());
        let is_redis_failing = of_servers.iter().any(|fault| {
            matches!(fault, Fault::KillRedis | Fault::PauseRedis | Fault::FullRedis | Fault::CutRedis(_))
        });
        let ring_bound = if is_redis_failing { RING_BOUND + APPEND_TIMEOUT } else { RING_BOUND };
        let poisons =
            of_processes.iter().any(|fault| matches!(fault, Fault::Failpoint("mid_dead_letter", _)));
        for fault in of_processes.iter().filter(|fault| matches!(fault, Fault::Failpoint(..))) {
            self.break_process(*fault, ring_bound).await;
        }
        if poisons && let Some(servers) = &self.servers {
            servers.poison().await;
        }
        for fault in &of_servers {
            if *fault == Fault::KillRedis {
                self.allow(REDIS_BOUND, "Redis was killed");
            }
            self.servers.as_mut().expect("only the clustered set has servers").inject(*fault).await;
        }
        for fault in of_processes.iter().filter(|fault| !matches!(fault, Fault::Failpoint(..))) {
            self.break_process(*fault, ring_bound).await;
        }
        self.hold(step.hold, ring_bound).await;
        for fault in &of_servers {
            self.servers.as_mut().expect("only the clustered set has servers").heal(*fault).await;
        }
        for fault in of_processes {
            self.mend_process(fault, ring_bound).await;
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

    async fn break_process(&mut self, fault: Fault, ring_bound: Duration) {
        match fault {
            Fault::KillEdge => self.kill_edge(ring_bound),
            Fault::KillApi => self.system.kill(Role::Api),
            Fault::KillWorker => self.system.kill(Role::Worker),
            Fault::PauseEdge => self.system.process(Role::Edge).pause(),
            Fault::PauseApi => self.system.process(Role::Api).pause(),
            Fault::PauseWorker => self.system.process(Role::Worker).pause(),
            Fault::Failpoint(point, count) => {
                let armed = format!("{point}:{count}");
                let variables = [(FAILPOINT, armed.as_str())];
                if self.servers.is_some() {
                    self.system.kill(Role::Worker);
                    self.system.start_with(Role::Worker, &variables).await;
                } else {
                    self.kill_edge(ring_bound);
                    self.system.start_up_with(&[], &variables).await;
                    if self.system.has_ended(Role::Edge) {
                        self.allow(ring_bound, "the edge was killed");
                    }
                }
            }
            other => unreachable!("{other:?} is not of a process"),
        }
    }

    fn kill_edge(&mut self, ring_bound: Duration) {
        self.system.kill(Role::Edge);
        self.allow(ring_bound, "the edge was killed");
    }

    async fn mend_process(&mut self, fault: Fault, ring_bound: Duration) {
        match fault {
            Fault::KillEdge => self.restart(Role::Edge, ring_bound).await,
            Fault::KillApi => self.restart(Role::Api, ring_bound).await,
            Fault::KillWorker => self.restart(Role::Worker, ring_bound).await,
            Fault::PauseEdge => self.system.process(Role::Edge).resume(),
            Fault::PauseApi => self.system.process(Role::Api).resume(),
            Fault::PauseWorker => self.system.process(Role::Worker).resume(),
            Fault::Failpoint(..) => {
                let role = if self.servers.is_some() { Role::Worker } else { Role::Edge };
                self.restart(role, ring_bound).await;
            }
            _ => {}
        }
    }

    async fn restart(&mut self, role: Role, ring_bound: Duration) {
        if !self.system.has_ended(role) {
            self.system.kill(role);
            if role == Role::Edge {
                self.allow(ring_bound, "the edge was killed");
            }
        }
        match &self.servers {
            Some(_) => self.system.start(role).await,
            None => self.system.start_up(&[]).await,
        }
    }

    /// Starts again whatever ended by itself.
    pub(super) async fn revive(&mut self) {
        let roles: &[Role] =
            if self.servers.is_some() { &[Role::Api, Role::Edge, Role::Worker] } else { &[Role::Edge] };
        for role in roles {
            if self.system.has_ended(*role) {
                self.restart(*role, RING_BOUND).await;
            }
        }
    }

    /// Tells whether a visit that is made now is stored.
    pub(super) async fn new_clicks_land(&self, limit: Duration) -> Result<(), String> {
        let token = "afterwards";
        if self.system.visit(&format!("chaos-0?utm_content={token}")).await.0 != 302 {
            return Err("a link is not redirected afterwards".to_owned());
        }
        let rows = self.rows();
        let is_there = async || rows.tokens().await.is_ok_and(|tokens| tokens.contains_key(token));
        soon(limit, is_there).await.ok_or_else(|| format!("a new click was not stored within {limit:?}"))
    }

    /// Tells whether nothing is on its way any more.
    pub(super) async fn drained(&self, limit: Duration) -> Result<(), String> {
        let mut last = Value::Null;
        let is_drained = async || {
            last = self.system.api("GET", "/v1/ops/stream", None).await.1;
            let edges = last["edges"].as_array().cloned().unwrap_or_default();
            // Of one edge after the other; the newest tells how it is.
            let newest = edges.iter().max_by_key(|edge| edge["at"].as_str().map(str::to_owned));
            last["undelivered"]["count"] == 0
                && last["pending"] == 0
                && newest.is_some_and(|edge| edge["spool_bytes"] == 0)
        };
        soon(limit, is_drained)
            .await
            .ok_or_else(|| format!("clicks are on their way after {limit:?}: {last}"))
    }

    /// Puts dead letters back until only those are left that never were clicks.
    pub(super) async fn replay_dead_letters(&self, limit: Duration) -> Result<(), String> {
        for _ in 0..REPLAYS_MAX {
            let (status, page) = self.system.api("GET", "/v1/ops/dead-letters?limit=200", None).await;
            let letters = page["items"].as_array().cloned().unwrap_or_default();
            if status == 200 && letters.iter().all(|letter| letter["reason"] == "undecodable") {
                return Ok(());
            }
            let output = self.system.vayro(&["dlq", "replay", "--all", "--json"]);
            if !output.status.success() {
                return Err(format!("dlq replay: {}", String::from_utf8_lossy(&output.stderr)));
            }
            self.drained(limit).await?;
        }
        Err("clicks become dead letters again and again".to_owned())
    }
}

async fn soon(limit: Duration, mut condition: impl AsyncFnMut() -> bool) -> Option<()> {
    let started = Instant::now();
    while !condition().await {
        if started.elapsed() > limit {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Some(())
}
