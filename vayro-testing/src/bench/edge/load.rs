//! What the client asks for, and how.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand_distr::{Distribution as _, Zipf};

use super::servers::{CLIENT_CORE, Server};
use super::{LINKS, ZIPF_EXPONENT};
use crate::fixture;

/// Different requests the client cycles through.
const REQUESTS: usize = 50_000;
/// Requests on their way at a time: connections, but with HTTP/2, where each has [`STREAMS`].
pub(super) const IN_FLIGHT: u32 = 64;
/// Streams of an HTTP/2 connection.
const STREAMS: u32 = 8;

/// Headers as a browser sends them.
pub(super) const HEADERS: [(&str, &str); 5] = [
    (
        "User-Agent",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
         Version/26.6 Mobile/15E148 Safari/604.1",
    ),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "de-DE,de;q=0.9,en;q=0.7"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Referer", "https://news.example.com/2026/11/an-article-with-a-link"),
];

/// How redirects are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// HTTP/1.1 without TLS, connections kept.
    Plain,
    /// HTTP/1.1 over TLS 1.3, connections kept.
    Tls,
    /// A new TLS 1.3 connection for each request, none resumed.
    Handshakes,
    /// HTTP/2 over TLS 1.3.
    Http2,
}

/// Where the client runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// Cores such as `1` or `2,3`.
    pub(super) cores: &'static str,
    pub(super) threads: u32,
}

impl Client {
    /// One thread, alone with Redis on its core.
    pub(super) const USUAL: Self = Self { cores: CLIENT_CORE, threads: 1 };
}

/// What the client saw.
pub(super) struct Seen {
    pub(super) requests: f64,
    pub(super) per_second: f64,
    /// NaN where the client does not tell.
    pub(super) p50_us: f64,
    /// NaN where the client does not tell.
    pub(super) p99_us: f64,
}

impl Load {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Tls, Self::Handshakes, Self::Http2];

    /// Returns the one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|load| load.as_str() == name)
    }

    /// Returns its name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::Handshakes => "handshakes",
            Self::Http2 => "http2",
        }
    }

    /// Asks `server` for `length`; the client is alone on its core with Redis.
    ///
    /// # Panics
    ///
    /// When the client fails, or any of its requests.
    pub(super) fn run(self, dir: &Path, server: &Server, length: Duration) -> Seen {
        self.run_from(Client::USUAL, dir, server, length)
    }

    /// The same from a client elsewhere.
    ///
    /// # Panics
    ///
    /// As [`Load::run`].
    pub(super) fn run_from(self, client: Client, dir: &Path, server: &Server, length: Duration) -> Seen {
        let seconds = length.as_secs();
        let threads = format!("-t{}", client.threads);
        let mut command = Command::new("taskset");
        command.args(["-c", client.cores]);
        if self == Self::Http2 {
            let connections = IN_FLIGHT / STREAMS;
            command.args(["h2load", &threads, &format!("-D{seconds}"), &format!("-c{connections}")]);
            command.arg(format!("-m{STREAMS}")).arg("-i").arg(write_addresses(dir, server.tls_port()));
            for (name, value) in HEADERS {
                command.arg("-H").arg(format!("{}: {value}", name.to_lowercase()));
            }
            return read_h2load(&output(&mut command));
        }
        let url = match self {
            Self::Plain => format!("http://127.0.0.1:{}/", server.port),
            _ => format!("https://127.0.0.1:{}/", server.tls_port()),
        };
        let script = if self == Self::Handshakes { "closing.lua" } else { "keeping.lua" };
        command.args(["wrk", &threads, &format!("-d{seconds}s"), &format!("-c{IN_FLIGHT}"), "-s"]);
        command.arg(dir.join(script)).arg(url);
        read_wrk(&output(&mut command))
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("the client can be started");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Links as they are asked for: popular ones often, rare ones seldom.
fn codes() -> impl Iterator<Item = String> {
    let mut rng = StdRng::seed_from_u64(7);
    let zipf = Zipf::new(f64::from(LINKS), ZIPF_EXPONENT).expect("the parameters are in range");
    (0..REQUESTS).map(move |_| fixture::code(zipf.sample(&mut rng) as u32 - 1))
}

/// The same again and again.
pub(super) fn endless_codes() -> impl Iterator<Item = String> + Send + 'static {
    codes().collect::<Vec<_>>().into_iter().cycle()
}

/// Writes what wrk needs into `dir`.
///
/// # Panics
///
/// When the folder cannot be written.
pub(super) fn write_scripts(dir: &Path) {
    let mut script = String::from("local paths = {\n");
    for code in codes() {
        writeln!(script, "\"/{code}\",").expect("a string takes everything");
    }
    script.push_str("}\n");
    for (name, value) in HEADERS {
        writeln!(script, "wrk.headers[\"{name}\"] = \"{value}\"").expect("a string takes everything");
    }
    script.push_str(
        r#"
local next = 0
local requests = {}
function init(args)
  for i, path in ipairs(paths) do requests[i] = wrk.format("GET", path) end
end
function request()
  next = next % #requests + 1
  return requests[next]
end
function done(summary, latency, calls)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  print(string.format("RESULT %d %d %f %f %d", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors))
end
"#,
    );
    let closing = format!("{script}wrk.headers[\"Connection\"] = \"close\"\n");
    for (name, text) in [("keeping.lua", script), ("closing.lua", closing)] {
        std::fs::write(dir.join(name), text).expect("the folder can be written");
    }
}

fn write_addresses(dir: &Path, port: u16) -> std::path::PathBuf {
    let file = dir.join(format!("addresses-{port}"));
    let mut text = String::new();
    for code in codes() {
        writeln!(text, "https://127.0.0.1:{port}/{code}").expect("a string takes everything");
    }
    std::fs::write(&file, text).expect("the folder can be written");
    file
}

fn read_wrk(text: &str) -> Seen {
    let line =
        text.lines().find(|line| line.starts_with("RESULT ")).unwrap_or_else(|| panic!("wrk said: {text}"));
    let figures: Vec<f64> = line.split(' ').skip(1).map(|figure| figure.parse().expect("a figure")).collect();
    let [requests, duration_us, p50_us, p99_us, errors] = figures[..] else { panic!("wrk said: {line}") };
    assert!(errors == 0.0, "wrk saw failures: {line}");
    Seen { requests, per_second: requests / (duration_us / 1e6), p50_us, p99_us }
}

fn read_h2load(text: &str) -> Seen {
    let after = |start: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(start));
        line.unwrap_or_else(|| panic!("h2load said: {text}"))
    };
    let first =
        |part: &str| part.trim().split([' ', 's']).next().and_then(|figure| figure.parse::<f64>().ok());
    let seconds = first(after("finished in")).expect("h2load tells how long it took");
    let redirects = after("status codes:").split(',').find_map(|part| part.trim().strip_suffix(" 3xx"));
    let requests: f64 = redirects.and_then(|figure| figure.parse().ok()).expect("h2load counts redirects");
    let done = first(after("requests:").split(',').nth(2).unwrap_or_default());
    assert!(done == Some(requests), "h2load saw failures: {text}");
    Seen { requests, per_second: requests / seconds, p50_us: f64::NAN, p99_us: f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_say_is_read() {
        let seen = read_wrk("Running 8s test\nRESULT 1000 8000000 120.000000 900.000000 0\n");
        assert_eq!((seen.requests, seen.per_second, seen.p99_us), (1000.0, 125.0, 900.0));
        let text = "finished in 2.00s, 18995.00 req/s, 1.79MB/s\n\
                    requests: 37990 total, 37998 started, 37990 done, 37990 succeeded, 0 failed, 0 errored, 0 timeout\n\
                    status codes: 0 2xx, 37990 3xx, 0 4xx, 0 5xx\n";
        let seen = read_h2load(text);
        assert_eq!((seen.requests, seen.per_second), (37990.0, 18995.0));
    }
}
