//! Attackers, as processes of their own: the kernel gives visitors on the same core the right of way.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rand::distr::{Alphanumeric, SampleString as _};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rustls::ClientConnection;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::client::{self, Target};
use super::servers::{self, CLIENT_CORE};
use super::visits::{Outcome, Pace, Plan, Visits};

/// Letters and digits of an unknown code; those of links have as many.
const CODE_LEN: usize = 7;
/// Pause between two bytes of a handshake or two headers, well below every limit of the edge that counts silence.
const DRIBBLE: Duration = Duration::from_millis(300);
/// Pause before a connection that was closed is made anew.
const AGAIN: Duration = Duration::from_millis(100);
/// Connections of a flood; an unknown code is answered after 20 ms, so that many are under way.
pub(super) const FLOOD_CONNECTIONS: u32 = 1_500;
/// Networks (IPv4 /24) that a flood comes from.
pub(super) const NETWORKS: u32 = 250;
/// Addresses of one network.
const ADDRESSES: u32 = 250;

/// What attackers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Ask for codes that nobody made, from many networks.
    UnknownFromMany,
    /// The same from one network.
    UnknownFromOne,
    /// Send a request's head header by header, from many addresses.
    SlowHeads,
    /// Send a TLS handshake byte by byte, from many addresses.
    SlowHandshakes,
}

/// What an attack is told.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Port of the edge.
    pub port: u16,
    /// Folder with the certificate.
    pub dir: PathBuf,
    /// Requests per second of a flood.
    pub rate: f64,
    /// How long a flood goes on.
    pub length: Duration,
    /// Connections of a slow attack.
    pub connections: u32,
}

impl Attack {
    const ALL: [(Self, &str); 4] = [
        (Self::UnknownFromMany, "unknown-from-many"),
        (Self::UnknownFromOne, "unknown-from-one"),
        (Self::SlowHeads, "slow-heads"),
        (Self::SlowHandshakes, "slow-handshakes"),
    ];

    /// Returns the one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attack| attack.1 == name).map(|attack| attack.0)
    }

    fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|attack| attack.0 == self).expect("all are listed").1
    }

    /// Returns the command that carries it out on the client's core.
    pub(super) fn command(self, orders: &Orders) -> Command {
        let mut command = in_the_background(std::env::current_exe().expect("the benchmark is a file"));
        command
            .args(["attack", self.as_str(), "--port", &orders.port.to_string()])
            .args(["--rate", &orders.rate.to_string()])
            .args(["--seconds", &orders.length.as_secs().to_string()])
            .args(["--connections", &orders.connections.to_string()])
            .arg("--dir")
            .arg(&orders.dir)
            .stdout(Stdio::piped());
        command
    }

    /// Carries it out; a slow one without an end.
    ///
    /// # Panics
    ///
    /// When it cannot begin.
    pub async fn run(self, orders: Orders) {
        rlimit::increase_nofile_limit(u64::MAX).expect("the limit of open files can be read");
        match self {
            Self::UnknownFromMany => flood(&orders, many_networks).await,
            Self::UnknownFromOne => flood(&orders, one_network).await,
            Self::SlowHeads | Self::SlowHandshakes => dribble(self, &orders).await,
        }
    }
}

/// Returns a command on the client's core that gives way to visitors there.
pub(super) fn in_the_background(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = servers::on_cores(CLIENT_CORE, "nice");
    command.args(["-n", "10"]).arg(program);
    command
}

fn many_networks(connection: u32) -> Ipv4Addr {
    Ipv4Addr::new(127, 64, octet(connection % NETWORKS), octet(connection / NETWORKS % ADDRESSES))
}

fn one_network(connection: u32) -> Ipv4Addr {
    Ipv4Addr::new(127, 65, 0, octet(connection % ADDRESSES))
}

fn octet(number: u32) -> u8 {
    u8::try_from(1 + number).expect("an octet is below 256")
}

/// Codes that are none, as links have them.
fn unknown_codes() -> impl Iterator<Item = String> {
    let mut rng = StdRng::seed_from_u64(11);
    std::iter::repeat_with(move || Alphanumeric.sample_string(&mut rng, CODE_LEN))
}

/// Asks for unknown codes and prints what came back as JSON.
async fn flood(orders: &Orders, source: fn(u32) -> Ipv4Addr) {
    let (target, pace) = (Target::plain(orders.port), Pace::PerSecond(orders.rate));
    let plan = Plan { source, ..Plan::new(target, pace, orders.length, FLOOD_CONNECTIONS) };
    let seen = Visits::start(plan, unknown_codes()).finish().await;
    let line = report(&seen).to_string();
    let mut out = tokio::io::stdout();
    out.write_all(format!("{line}\n").as_bytes()).await.expect("the benchmark reads");
    out.flush().await.expect("the benchmark reads");
}

fn report(seen: &Outcome) -> serde_json::Value {
    json!({
        "per_second": seen.per_second(), "absent": seen.with_status(404), "turned_away": seen.with_status(429),
        "unavailable": seen.with_status(503), "failed": seen.failed,
    })
}

/// Keeps connections busy with as little as possible.
async fn dribble(attack: Attack, orders: &Orders) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, orders.port));
    let bytes: Arc<[Vec<u8>]> = match attack {
        Attack::SlowHandshakes => hello(&orders.dir).into_iter().map(|byte| vec![byte]).collect(),
        _ => slow_head().collect(),
    };
    let mut attackers = JoinSet::new();
    for number in 0..orders.connections {
        let bytes = Arc::clone(&bytes);
        // Not all at once, as every attack takes a while to build up.
        let delay = AGAIN * (number % 10);
        attackers.spawn(async move {
            tokio::time::sleep(delay).await;
            loop {
                if let Ok(mut tcp) = client::connect(address, many_networks(number)).await {
                    hold(&mut tcp, &bytes).await;
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
    attackers.join_next().await;
}

/// Sends piece by piece until the server has enough of it.
async fn hold(tcp: &mut TcpStream, pieces: &[Vec<u8>]) {
    for piece in pieces {
        if tcp.write_all(piece).await.is_err() {
            return;
        }
        tokio::time::sleep(DRIBBLE).await;
    }
}

/// The first message of a handshake.
fn hello(dir: &Path) -> Vec<u8> {
    let config = Arc::new(client::tls_config(dir));
    let mut connection = ClientConnection::new(config, client::server_name()).expect("the name is valid");
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).expect("a list takes everything");
    hello
}

/// A head whose headers never end.
fn slow_head() -> impl Iterator<Item = Vec<u8>> {
    let mut rng = StdRng::seed_from_u64(13);
    let begin = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n".to_vec();
    let headers = (0..1_000).map(move |_| format!("X-{}: a\r\n", rng.random_range(0..10_000)).into_bytes());
    std::iter::once(begin).chain(headers)
}
