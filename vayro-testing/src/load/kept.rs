//! Visitors that keep their connections, as browsers and other proxies do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Counts, LoadResult};
use crate::wait;

/// Pause of a visitor between two requests.
const PAUSE: Duration = Duration::from_millis(1);
/// Longest answer in bytes.
const ANSWER_LEN_MAX: usize = 64 * 1024;
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Redirects that [`KeptLoad::some_more`] waits for.
const SOME: u64 = 500;

/// A load on connections that are used again until the server says that it closes them. A connection that is closed
/// otherwise is a failure, as is one that cannot be made: no request is ever sent twice.
#[derive(Debug)]
pub struct KeptLoad {
    counts: Arc<Counts>,
    is_stopped: Arc<AtomicBool>,
    visitors: JoinSet<()>,
}

impl KeptLoad {
    /// Starts `visitors` visitors, each asking the server at `url` for `path` over and over again.
    pub fn start(url: &str, path: &str, visitors: usize) -> Self {
        let host = url.strip_prefix("http://").unwrap_or(url).to_owned();
        let counts = Arc::new(Counts::default());
        let is_stopped = Arc::new(AtomicBool::new(false));
        let mut set = JoinSet::new();
        for visitor in 0..visitors {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0 \
                 visitor/{visitor}\r\n\r\n"
            );
            let (host, counts, is_stopped) = (host.clone(), Arc::clone(&counts), Arc::clone(&is_stopped));
            set.spawn(async move {
                while !is_stopped.load(Ordering::Relaxed) {
                    visit(&host, &request, &counts, &is_stopped).await;
                }
            });
        }
        Self { counts, is_stopped, visitors: set }
    }

    /// Waits for some more redirects, or for anything else that comes.
    pub async fn some_more(&self) {
        let before = self.counts.result();
        wait::until("some more redirects", ANSWER_LIMIT, async || {
            let now = self.counts.result();
            let is_bad = (now.refused, now.failed) != (before.refused, before.failed);
            (is_bad || now.redirected >= before.redirected + SOME).then_some(())
        })
        .await;
    }

    /// Lets every visitor finish its request and returns the counts.
    pub async fn stop(mut self) -> LoadResult {
        self.is_stopped.store(true, Ordering::Relaxed);
        while self.visitors.join_next().await.is_some() {}
        self.counts.result()
    }
}

/// Makes one connection and uses it until it ends.
async fn visit(host: &str, request: &str, counts: &Counts, is_stopped: &AtomicBool) {
    let Ok(mut stream) = TcpStream::connect(host).await else {
        counts.failed.fetch_add(1, Ordering::Relaxed);
        return;
    };
    while !is_stopped.load(Ordering::Relaxed) {
        let answer = async {
            stream.write_all(request.as_bytes()).await.ok()?;
            read_answer(&mut stream).await
        };
        let Ok(Some(head)) = tokio::time::timeout(ANSWER_LIMIT, answer).await else {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let counter = if head.starts_with("http/1.1 302 ") { &counts.redirected } else { &counts.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        if head.contains("\r\nconnection: close\r\n") {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads an answer to its end and returns its head in small letters.
async fn read_answer(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut ends_at = None;
    loop {
        let read = stream.read_buf(&mut bytes).await.ok()?;
        if read == 0 || bytes.len() > ANSWER_LEN_MAX {
            return None;
        }
        if ends_at.is_none()
            && let Some(len) = bytes.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&bytes[..len + 4]).to_ascii_lowercase();
            let (_, rest) = head.split_once("\r\ncontent-length: ")?;
            let body: usize = rest.split("\r\n").next()?.parse().ok()?;
            ends_at = Some((head, len + 4 + body));
        }
        if let Some((head, end)) = &ends_at
            && bytes.len() >= *end
        {
            return (bytes.len() == *end).then(|| head.clone());
        }
    }
}
