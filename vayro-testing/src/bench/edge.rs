//! CPU per redirect: our edge recording clicks into Redis against nginx with a `map` and a buffered
//! access log, each alone on one core, the client and Redis on another.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand_distr::{Distribution as _, Zipf};

use super::report::{Bound, Report};
use super::{bin_dir, cpu, median, metrics};
use crate::process::Process;
use crate::{fixture, port, postgres, redis, wait};

/// Links of both sides.
const LINKS: u32 = 100_000;
/// Exponent of the popularity; 1.0 is the classic web.
const ZIPF_EXPONENT: f64 = 1.0;
/// Different requests the client cycles through.
const REQUESTS: usize = 50_000;
/// Connections of the client.
const CONNECTIONS: u32 = 64;
/// Measured rounds of each side; the medians count.
const ROUNDS: usize = 3;
/// Length of a round.
const ROUND: Duration = Duration::from_secs(8);
/// How long nginx may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Core of the server under test.
const SERVER_CORE: &str = "0";
/// Core of the client, Redis and PostgreSQL.
const CLIENT_CORE: &str = "1";

struct Load {
    requests: f64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    errors: f64,
}

/// Runs the benchmark.
///
/// # Panics
///
/// When a server does not come up or a client fails.
pub async fn run() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    std::fs::write(dir.path().join("load.lua"), load_script()).expect("the folder can be written");

    let database = postgres::server().await;
    let redis_server = redis::server_with(&["--appendfsync", "no", "--server_cpulist", CLIENT_CORE]).await;
    fixture::migrate(&database.url).await;
    fixture::insert_links(&database.url, LINKS).await;

    let (edge_port, admin_port) = (port::free(), port::free());
    let edge = start_edge(dir.path(), edge_port, admin_port, &database.url, &redis_server.url).await;
    let nginx_port = port::free();
    let nginx = start_nginx(dir.path(), nginx_port).await;
    let nginx_ids: Vec<u32> = std::iter::once(nginx.0.id()).chain(cpu::children(nginx.0.id())).collect();

    // Fills L1 and the page cache, and shows both sides once before anything counts.
    for port in [edge_port, nginx_port] {
        load(dir.path(), port, ROUND / 2);
    }
    let mut report =
        Report::new("edge", &["cpu us/redirect", "redirects/s", "p50 us", "p99 us", "redis us/redirect"]);
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for round in 1..=ROUNDS {
        fixture::clear_clicks(&redis_server.url).await;
        let accepted_before = metrics::read(admin_port, "vayro_edge_clicks_accepted_total").await;
        let before = (cpu::used(&[edge.id()]), cpu::used(&[redis_server.id()]));
        let result = load(dir.path(), edge_port, ROUND);
        let recorded = fixture::settled_clicks(&redis_server.url).await;
        let after = (cpu::used(&[edge.id()]), cpu::used(&[redis_server.id()]));
        let accepted = metrics::read(admin_port, "vayro_edge_clicks_accepted_total").await - accepted_before;
        assert_eq!(accepted, recorded, "every accepted click is in Redis");
        assert!(recorded as f64 >= result.requests, "every answered redirect was recorded");
        let per_redirect = |spent: f64| spent * 1e6 / result.requests;
        let redis_cost = per_redirect(after.1 - before.1);
        ours.push(row(
            &mut report,
            format!("vayro, round {round}"),
            per_redirect(after.0 - before.0),
            &result,
            redis_cost,
        ));

        let before = cpu::used(&nginx_ids);
        let result = load(dir.path(), nginx_port, ROUND);
        let spent = (cpu::used(&nginx_ids) - before) * 1e6 / result.requests;
        theirs.push(row(&mut report, format!("nginx map + log, round {round}"), spent, &result, f64::NAN));
    }
    let ratio = median(&ours) / median(&theirs);
    report.row("vayro, median", &[median(&ours)]);
    report.row("nginx map + log, median", &[median(&theirs)]);
    report.note(format!(
        "{LINKS} links, Zipf {ZIPF_EXPONENT}, {CONNECTIONS} keep-alive connections, browser-like headers, one core each; every redirect of ours is a click in Redis"
    ));
    report.aim("edge-cpu-ratio", ratio, Bound::AtMost(1.5));
    report.finish().expect("results can be written");
}

fn row(report: &mut Report, name: String, cpu_us: f64, load: &Load, redis_us: f64) -> f64 {
    assert!(load.errors == 0.0, "{name}: the client saw {} failures", load.errors);
    report.row(name, &[cpu_us, load.per_second, load.p50_us, load.p99_us, redis_us]);
    cpu_us
}

async fn start_edge(dir: &Path, port: u16, admin_port: u16, database: &str, redis: &str) -> Process {
    let mut command = Command::new("taskset");
    command
        .args(["-c", SERVER_CORE])
        .arg(bin_dir().join("vayro-edge"))
        .env("VAYRO_BACKEND__SET", "clustered")
        .env("VAYRO_BACKEND__DATA_DIR", dir.join("edge"))
        .env("VAYRO_POSTGRES__URL", database)
        .env("VAYRO_REDIS__URL", redis)
        .env("VAYRO_EDGE__LISTEN", format!("127.0.0.1:{port}"))
        .env("VAYRO_EDGE__ADMIN", format!("127.0.0.1:{admin_port}"))
        .env("VAYRO_EDGE__THREADS", "1")
        .env("VAYRO_LOG__LEVEL", "warn")
        .stdout(Stdio::null());
    let process = Process::start(&mut command);
    answering(port, "302").await;
    process
}

/// An nginx that takes its worker along when it ends, which it does not when it is killed.
struct Nginx(Process);

impl Drop for Nginx {
    fn drop(&mut self) {
        self.0.stop(Signal::SIGTERM, STOP_LIMIT);
    }
}

async fn start_nginx(dir: &Path, port: u16) -> Nginx {
    let mut map = String::with_capacity(LINKS as usize * 64);
    for number in 0..LINKS {
        writeln!(map, "/{} {};", fixture::code(number), fixture::target(number))
            .expect("a string takes everything");
    }
    std::fs::write(dir.join("map.conf"), map).expect("the folder can be written");
    let config = format!(
        r#"daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx-error.log;
        events {{ worker_connections 4096; }}
        http {{
            access_log {dir}/nginx-access.log combined buffer=64k flush=1s;
            client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
            uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
            map_hash_max_size 262144; map_hash_bucket_size 128; keepalive_requests 100000000;
            map $uri $target {{ default ""; include {dir}/map.conf; }}
            server {{
                listen 127.0.0.1:{port};
                location / {{ if ($target = "") {{ return 404; }} return 302 $target; }}
            }}
        }}"#,
        dir = dir.display()
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, config).expect("the folder can be written");
    let mut command = Command::new("taskset");
    command.args(["-c", SERVER_CORE, "nginx", "-p"]).arg(dir).arg("-c").arg(&file).stderr(Stdio::null());
    let nginx = Nginx(Process::start(&mut command));
    answering(port, "302").await;
    nginx
}

async fn answering(port: u16, status: &str) {
    let url = format!("http://127.0.0.1:{port}/{}", fixture::code(0));
    wait::until("the server under test", Duration::from_secs(60), async || {
        let output =
            Command::new("curl").args(["-so", "/dev/null", "-w", "%{http_code}", &url]).output().ok()?;
        (String::from_utf8_lossy(&output.stdout) == status).then_some(())
    })
    .await;
}

/// Popular links often, rare ones seldom, headers as a browser sends them.
fn load_script() -> String {
    let mut rng = StdRng::seed_from_u64(7);
    let zipf = Zipf::new(f64::from(LINKS), ZIPF_EXPONENT).expect("the parameters are in range");
    let mut script = String::from("local paths = {\n");
    for _ in 0..REQUESTS {
        let number = zipf.sample(&mut rng) as u32 - 1;
        writeln!(script, "\"/{}\",", fixture::code(number)).expect("a string takes everything");
    }
    script.push_str(
        r#"}
local next = 0
wrk.headers["User-Agent"] = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.6 Mobile/15E148 Safari/604.1"
wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
wrk.headers["Accept-Language"] = "de-DE,de;q=0.9,en;q=0.7"
wrk.headers["Accept-Encoding"] = "gzip, deflate, br"
wrk.headers["Referer"] = "https://news.example.com/2026/11/an-article-with-a-link"
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
    script
}

fn load(dir: &Path, port: u16, length: Duration) -> Load {
    let output = Command::new("taskset")
        .args([
            "-c",
            CLIENT_CORE,
            "wrk",
            "-t1",
            &format!("-c{CONNECTIONS}"),
            &format!("-d{}s", length.as_secs()),
        ])
        .arg("-s")
        .arg(dir.join("load.lua"))
        .arg(format!("http://127.0.0.1:{port}/"))
        .output()
        .expect("wrk can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let line =
        text.lines().find(|line| line.starts_with("RESULT ")).unwrap_or_else(|| panic!("wrk said: {text}"));
    let figures: Vec<f64> = line.split(' ').skip(1).map(|figure| figure.parse().expect("a figure")).collect();
    let [requests, duration_us, p50_us, p99_us, errors] = figures[..] else { panic!("wrk said: {line}") };
    Load { requests, per_second: requests / (duration_us / 1e6), p50_us, p99_us, errors }
}
