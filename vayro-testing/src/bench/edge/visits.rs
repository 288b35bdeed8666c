//! Visitors who come when they come: requests are due at a constant rate, whether or not earlier ones were answered
//! (an open loop), and latency counts from the moment at which a request was due. A server that stops for a second
//! so shows a second, where a client that waits for answers would show one slow request (coordinated omission).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::client::{Connection, Target};
use super::servers::{self, CLIENT_CORE, Server};

/// How often requests that have become due are sent; tokio's own timers round to a millisecond.
const TICK: Duration = Duration::from_micros(50);
/// How long a visitor waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most requests that wait for a free connection; further ones count as failed.
const WAITING_MAX: usize = 100_000;
/// Longest latency that is told apart, in microseconds.
const LATENCY_MAX_US: u64 = 60_000_000;

/// How visitors come.
pub(super) struct Plan {
    pub(super) target: Target,
    /// Core of the thread that all of them run on.
    pub(super) core: &'static str,
    pub(super) pace: Pace,
    /// How long they come, unless they run out of codes.
    pub(super) length: Duration,
    pub(super) connections: u32,
    /// Requests after which a visitor connects anew.
    pub(super) requests_per_connection: u32,
    /// Address of each connection.
    pub(super) source: fn(u32) -> Ipv4Addr,
}

impl Plan {
    /// Visitors of 200 addresses on the client's core, who keep their connections.
    pub(super) fn new(target: Target, pace: Pace, length: Duration, connections: u32) -> Self {
        let (core, requests_per_connection) = (CLIENT_CORE, u32::MAX);
        Self { target, core, pace, length, connections, requests_per_connection, source: visitors }
    }
}

/// When the next one comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So many a second, whatever becomes of earlier ones.
    PerSecond(f64),
    /// When an earlier one was answered. Shows how many there can be.
    Saturating,
}

/// What they got.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Answers by status.
    pub(super) statuses: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub(super) failed: u64,
    /// From the first request that was due to the last answer.
    pub(super) seconds: f64,
    /// Of answered requests from when they were due, in microseconds.
    latency: Histogram<u64>,
    /// From when requests were due until they were sent, in microseconds: what a busy client, or too few
    /// connections, add.
    lateness: Histogram<u64>,
}

/// Visitors on a thread of their own.
pub(super) struct Visits {
    thread: JoinHandle<Outcome>,
}

fn visitors(connection: u32) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 2, byte(1 + connection % 200))
}

fn byte(number: u32) -> u8 {
    u8::try_from(number).expect("an octet is below 256")
}

impl Visits {
    /// Lets visitors come who ask for `codes`.
    ///
    /// # Panics
    ///
    /// When no thread can be started.
    pub(super) fn start(plan: Plan, codes: impl Iterator<Item = String> + Send + 'static) -> Self {
        let thread = std::thread::Builder::new()
            .name("visitors".to_owned())
            .spawn(move || {
                servers::pin(0, plan.core);
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime can be made");
                LocalSet::new().block_on(&runtime, drive(plan, Box::new(codes)))
            })
            .expect("a thread can be started");
        Self { thread }
    }

    /// Waits until no more come and returns what they got.
    ///
    /// # Panics
    ///
    /// When the client did.
    pub(super) async fn finish(self) -> Outcome {
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        joined.expect("joining does not panic").expect("visitors do not panic")
    }
}

/// Lets visitors come to `server` who ask for `codes`; returns what they got, and the CPU microseconds that `server` took
/// per redirect.
///
/// # Panics
///
/// When a visit is not answered with a redirect.
pub(super) async fn run(
    server: &Server,
    plan: Plan,
    codes: impl Iterator<Item = String> + Send + 'static,
) -> (Outcome, f64) {
    let before = server.cpu();
    let seen = Visits::start(plan, codes).finish().await;
    let cost = (server.cpu() - before) * 1e6 / seen.redirects();
    assert!(seen.failures() == 0.0, "{}: {:?}, {} failed", server.name, seen.statuses, seen.failed);
    (seen, cost)
}

/// A request that is due.
struct Due {
    at: Instant,
    code: String,
}

/// Where requests wait for connections and connections for requests.
struct Desk {
    codes: RefCell<Box<dyn Iterator<Item = String>>>,
    waiting: RefCell<VecDeque<Due>>,
    free: RefCell<VecDeque<oneshot::Sender<Due>>>,
    /// Until when a connection takes the next request by itself.
    saturates_until: Option<Instant>,
    is_closed: Cell<bool>,
    outcome: RefCell<Outcome>,
}

impl Desk {
    /// Hands a request to a free connection, or keeps it until one is.
    fn put(&self, mut due: Due) {
        while let Some(connection) = self.free.borrow_mut().pop_front() {
            match connection.send(due) {
                Ok(()) => return,
                Err(back) => due = back,
            }
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < WAITING_MAX {
            waiting.push_back(due);
        } else {
            self.outcome.borrow_mut().failed += 1;
        }
    }

    /// Waits for the next request; `None` at the end.
    async fn next(&self) -> Option<Due> {
        if let Some(until) = self.saturates_until {
            let at = Instant::now();
            let code = self.codes.borrow_mut().next().filter(|_| at < until)?;
            return Some(Due { at, code });
        }
        let waiting = self.waiting.borrow_mut().pop_front();
        if waiting.is_some() || self.is_closed.get() {
            return waiting;
        }
        let (give, given) = oneshot::channel();
        self.free.borrow_mut().push_back(give);
        given.await.ok()
    }

    /// Lets connections end once nothing waits.
    fn close(&self) {
        self.is_closed.set(true);
        self.free.borrow_mut().clear();
    }
}

async fn drive(plan: Plan, codes: Box<dyn Iterator<Item = String>>) -> Outcome {
    let mut connections = Vec::new();
    for number in 0..plan.connections {
        // Tried again when there is something to ask.
        connections.push(Connection::open(&plan.target, (plan.source)(number)).await.ok());
    }
    let began = Instant::now();
    let desk = Rc::new(Desk {
        codes: RefCell::new(codes),
        waiting: RefCell::default(),
        free: RefCell::default(),
        saturates_until: matches!(plan.pace, Pace::Saturating).then_some(began + plan.length),
        is_closed: Cell::new(false),
        outcome: RefCell::new(Outcome::new()),
    });
    let plan = Rc::new(plan);
    let mut visitors = Vec::new();
    for (number, connection) in (0..).zip(connections) {
        let source = (plan.source)(number);
        let (desk, plan) = (Rc::clone(&desk), Rc::clone(&plan));
        visitors.push(tokio::task::spawn_local(async move {
            visit(&desk, &plan, source, connection).await;
        }));
    }
    if let Pace::PerSecond(rate) = plan.pace {
        keep_pace(&desk, rate, plan.length).await;
        desk.close();
    }
    for visitor in visitors {
        visitor.await.expect("visitors do not panic");
    }
    let mut outcome = desk.outcome.replace(Outcome::new());
    outcome.seconds = began.elapsed().as_secs_f64();
    outcome
}

/// Makes requests due, one by one.
async fn keep_pace(desk: &Desk, rate: f64, length: Duration) {
    let ticker = Ticker::new(TICK);
    let began = Instant::now();
    let total = (length.as_secs_f64() * rate) as u64;
    let mut next = 0;
    while next < total {
        ticker.tick().await;
        let due = (began.elapsed().as_secs_f64() * rate) as u64;
        while next < total.min(due + 1) {
            let Some(code) = desk.codes.borrow_mut().next() else { return };
            desk.put(Due { at: began + Duration::from_secs_f64(next as f64 / rate), code });
            next += 1;
        }
    }
}

async fn visit(desk: &Desk, plan: &Plan, source: Ipv4Addr, mut connection: Option<Connection>) {
    let mut asked = 0;
    while let Some(due) = desk.next().await {
        let request = plan.target.request(&due.code);
        let asking = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => Connection::open(&plan.target, source).await?,
            };
            let sent = due.at.elapsed();
            let answer = open.ask(&request).await?;
            Ok::<_, std::io::Error>((open, sent, answer))
        };
        let answered = tokio::time::timeout(PATIENCE, asking).await;
        let mut outcome = desk.outcome.borrow_mut();
        let Ok(Ok((open, sent, answer))) = answered else {
            outcome.failed += 1;
            asked = 0;
            continue;
        };
        outcome.latency.saturating_record(micros(due.at.elapsed()));
        outcome.lateness.saturating_record(micros(sent));
        *outcome.statuses.entry(answer.status).or_default() += 1;
        asked += 1;
        if answer.closes || asked >= plan.requests_per_connection {
            asked = 0;
        } else {
            connection = Some(open);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Outcome {
    fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are in order");
        Self {
            statuses: BTreeMap::new(),
            failed: 0,
            seconds: 0.0,
            latency: histogram(),
            lateness: histogram(),
        }
    }

    /// Returns how many were answered with this status.
    pub(super) fn with_status(&self, status: u16) -> f64 {
        self.statuses.get(&status).copied().unwrap_or(0) as f64
    }

    /// Returns how many were sent on.
    pub(super) fn redirects(&self) -> f64 {
        self.with_status(302)
    }

    /// Returns how many got no answer or another one than a redirect.
    pub(super) fn failures(&self) -> f64 {
        self.answers() - self.redirects() + self.failed as f64
    }

    /// Returns how many got an answer.
    pub(super) fn answers(&self) -> f64 {
        self.statuses.values().sum::<u64>() as f64
    }

    /// Returns the answers per second.
    pub(super) fn per_second(&self) -> f64 {
        self.answers() / self.seconds
    }

    /// Returns the latency in microseconds that a share of the answers did not exceed.
    pub(super) fn latency_us(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64
    }

    /// Returns by how many microseconds a share of the requests was sent late at most.
    pub(super) fn lateness_us(&self, share: f64) -> f64 {
        self.lateness.value_at_quantile(share) as f64
    }
}

/// A timer of the kernel as tokio waits for it.
struct Ticker(AsyncFd<File>);

impl Ticker {
    #[expect(deprecated, reason = "the successor is unsafe; a file owns its descriptor as that one asks for")]
    fn new(period: Duration) -> Self {
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK).expect("Linux has timers");
        let expiration = Expiration::Interval(TimeSpec::from_duration(period));
        timer.set(expiration, TimerSetTimeFlags::empty()).expect("the period is valid");
        let timer = AsyncFd::with_interest(File::from(OwnedFd::from(timer)), Interest::READABLE);
        Self(timer.expect("timers can be waited for"))
    }

    async fn tick(&self) {
        loop {
            let mut ready = self.0.readable().await.expect("timers can be waited for");
            let mut expirations = [0; 8];
            let read = ready.try_io(|file| {
                let mut file = file.get_ref();
                file.read(&mut expirations)
            });
            if read.is_ok() {
                return;
            }
        }
    }
}
