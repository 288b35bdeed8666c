//! Instructions per redirect as callgrind counts them: the same on a busy machine and on a quiet one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use super::client::Target;
use super::servers;
use super::test_bed::TestBed;
use crate::bench::report::{Bound, Report};
use crate::fixture;

/// Links asked for; all of them are in memory long before a run ends.
const LINKS: u32 = 1000;
/// Connections, each with one request at a time.
const CONNECTIONS: u32 = 64;
/// Requests of each connection in a short and in a long run. What these differ in is redirects alone: start, look-ups
/// and stop are in both.
const REQUESTS: [u32; 2] = [500, 2500];
/// Longest wait for an answer; callgrind makes a program some fifty times slower.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Most instructions of a redirect on the thread that answers it.
const SERVING_MAX: f64 = 7_500.0;

/// Runs the benchmark. `VAYRO_BENCH_CALLGRIND` names a folder for callgrind's files, to look at with its annotator.
///
/// # Panics
///
/// When the edge does not come up, an answer is wrong or callgrind says nothing.
pub async fn run() {
    let bed = TestBed::start(&["--appendonly", "no"]).await;
    fixture::cache_links(&bed.redis.url, 0..LINKS).await;
    let kept = std::env::var_os("VAYRO_BENCH_CALLGRIND").map(std::path::PathBuf::from);
    let mut counted = Vec::new();
    for requests in REQUESTS {
        let edge = servers::vayro_counted(bed.dir(), &bed.backends()).await;
        ask(edge.port, requests);
        drop(edge);
        counted.push(read(bed.dir(), kept.as_deref()));
    }

    let redirects = f64::from(CONNECTIONS * (REQUESTS[1] - REQUESTS[0]));
    let [few, many] = &counted[..] else { panic!("there were two runs") };
    let serving = (busiest(many) - busiest(few)) / redirects;
    let all = (many.iter().sum::<f64>() - few.iter().sum::<f64>()) / redirects;
    let mut report = Report::new("instructions", &["serving thread", "all threads"]);
    report.row("instructions/redirect", &[serving, all]);
    report.note(format!(
        "in user space, links in L1, every redirect a click in Redis; {CONNECTIONS} connections, browser-like headers"
    ));
    report.aim("edge-instructions", serving, Bound::AtMost(SERVING_MAX));
    report.finish().expect("results can be written");
}

/// Asks `requests` times on each connection, all of them at once.
fn ask(port: u16, requests: u32) {
    let target = Target::plain(port);
    let mut connections: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| {
            let connection = TcpStream::connect(("127.0.0.1", port)).expect("the edge takes connections");
            connection.set_read_timeout(Some(ANSWER_LIMIT)).expect("the limit is not zero");
            connection
        })
        .collect();
    let mut answer = [0; 4096];
    for round in 0..requests {
        for (number, connection) in (0..).zip(&mut connections) {
            let code = fixture::code((round * CONNECTIONS + number) % LINKS);
            connection.write_all(&target.request(&code)).expect("the edge reads");
        }
        for connection in &mut connections {
            let len = connection.read(&mut answer).expect("the edge answers");
            assert!(
                answer[..len].starts_with(b"HTTP/1.1 302"),
                "{}",
                String::from_utf8_lossy(&answer[..len])
            );
        }
    }
}

/// Takes what callgrind left in `dir`: the instructions of each thread.
fn read(dir: &Path, kept: Option<&Path>) -> Vec<f64> {
    let files =
        std::fs::read_dir(dir).expect("the folder is there").map(|file| file.expect("it is read").path());
    let is_counted = |file: &std::path::PathBuf| {
        file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("counted"))
    };
    let mut threads = Vec::new();
    for file in files.filter(is_counted) {
        let text = std::fs::read_to_string(&file).expect("callgrind writes text");
        // A thread that did nothing has no total.
        threads
            .extend(text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<f64>().ok()));
        if let (Some(kept), Some(name)) = (kept, file.file_name()) {
            std::fs::copy(&file, kept.join(name)).expect("the folder can be written");
        }
        std::fs::remove_file(&file).expect("the folder can be written");
    }
    assert!(!threads.is_empty(), "callgrind left nothing");
    threads
}

/// Returns what the busiest thread did, which is the only one that serves.
fn busiest(threads: &[f64]) -> f64 {
    threads.iter().copied().fold(0.0, f64::max)
}
