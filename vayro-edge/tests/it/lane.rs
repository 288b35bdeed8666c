//! The fast lane and Pingora's way, asked the same: nobody can tell which one answered.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vayro_core::click::Click;
use vayro_core::link::RedirectStatus;
use vayro_edge::EdgeSettings;

use crate::client::Client;
use crate::world::{PATIENCE, START_MICROS, TestEdge, World, until};

/// Requests of the generated corpus.
const CASES: usize = 6_000;
/// Connections at one time.
const AT_ONCE: usize = 256;
/// After a request that neither way should wait behind for longer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// Tells whether the connection can still be used, and ends it.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: vay.ro\r\nConnection: close\r\n\r\n";

/// Two edges with the same links; only the first one has the lane.
pub(crate) struct Pair {
    pub(crate) with: TestEdge,
    pub(crate) without: TestEdge,
}

impl Pair {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl Fn(&mut EdgeSettings)) -> Self {
        let edge = async |fast_lane| {
            let edge = TestEdge::start_with(World::new(), |settings| {
                change(settings);
                settings.fast_lane = fast_lane;
                settings.head_timeout = HEAD_TIMEOUT;
                settings.idle_timeout = HEAD_TIMEOUT;
                settings.trusted_proxies = Vec::new();
            })
            .await;
            links(&edge.world);
            edge
        };
        Self { with: edge(true).await, without: edge(false).await }
    }

    /// Has every link in memory, so that the lane answers what it can.
    pub(crate) async fn warm(&self) {
        for edge in [&self.with, &self.without] {
            for code in ["a", "launch", "last", "moved", "ending", "ended", "off"] {
                Client::connect(edge.http()).await.get(&format!("/{code}")).await;
            }
        }
    }

    /// Sends the pieces to both, and compares every byte that comes back until the connection ends.
    async fn compare(&self, pieces: &[&[u8]]) -> Vec<u8> {
        let (with, without) = tokio::join!(talk(&self.with, pieces), talk(&self.without, pieces));
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(shown(&with), shown(&without), "asked {:?}", shown(&pieces.concat()));
        with
    }

    /// Compares the clicks of both.
    pub(crate) async fn compare_clicks(&self) -> usize {
        for edge in [&self.with, &self.without] {
            let figure = |name| edge.metric(name);
            let (accepted, shipped) = ("vayro_edge_clicks_accepted_total", "vayro_edge_clicks_shipped_total");
            until("all clicks are shipped", || figure(shipped) > figure(accepted) - 0.5).await;
        }
        let (with, without) = (counted(&self.with), counted(&self.without));
        assert_eq!(with, without);
        with.values().sum()
    }
}

fn links(world: &World) {
    for code in ["a", "launch", "last"] {
        world.put(code, |_| {});
    }
    world.put("moved", |link| link.status = RedirectStatus::MovedPermanently);
    let at = |seconds: i64| vayro_core::timestamp::Timestamp::from_micros(START_MICROS + seconds * 1_000_000);
    world.put("ending", |link| (link.status, link.expires_at) = (RedirectStatus::MovedPermanently, at(50)));
    world.put("ended", |link| link.expires_at = at(-50));
    world.put("off", |link| link.active = false);
}

/// What clicks say but for their ids, and how often.
fn counted(edge: &TestEdge) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for click in edge.world.clicks() {
        let same = Click { id: vayro_core::ids::ClickId::from_uuid(uuid::Uuid::nil()), ..click };
        *counts.entry(format!("{same:?}")).or_default() += 1;
    }
    counts
}

/// Sends the pieces one by one and returns what came until the connection ended, without dates.
async fn talk(edge: &TestEdge, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(edge.http()).await.expect("edge listens");
    stream.set_nodelay(true).expect("a socket");
    let (mut reading, mut writing) = stream.split();
    let mut came = Vec::new();
    let read = async {
        // A connection that is closed with bytes unread is reset.
        drop(reading.read_to_end(&mut came).await);
    };
    let write = async {
        for (number, piece) in pieces.iter().enumerate() {
            if number > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            if writing.write_all(piece).await.is_err() {
                return;
            }
        }
    };
    let talking = async { tokio::join!(read, write) };
    assert!(tokio::time::timeout(PATIENCE, talking).await.is_ok(), "a connection never ended");
    let text = String::from_utf8_lossy(&came);
    let is_date = |line: &&str| line.starts_with("Date: ");
    text.split_inclusive("\r\n").filter(|line| !is_date(line)).collect::<String>().into_bytes()
}

const METHODS: &[&str] =
    &["GET", "GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "get", "GETX", "CONNECT", "TRACE", ""];
const TARGETS: &[&str] = &[
    "/launch",
    "/launch",
    "/a",
    "/a/",
    "/moved",
    "/ending",
    "/ended",
    "/off",
    "/none",
    "/launch?utm_source=x&b=%20c",
    "/launch?",
    "/launch?a?b/c",
    "/launch?q=\"x\"",
    "/launch?<",
    "/launch?a#b",
    "/launch#frag",
    "/",
    "//launch",
    "/launch//",
    "/l%61unch",
    "/%2e",
    "/../launch",
    "/./launch",
    "/launch;x=1",
    "/launch%00",
    "/launch\\",
    "http://vay.ro/launch",
    "http://other.example/launch",
    "https://vay.ro/launch",
    "vay.ro:80",
    "*",
    "/robots.txt",
    "/favicon.ico",
    "launch",
    "",
    "/launch /a",
    "/launch\t",
    "/é",
];
const VERSIONS: &[&str] = &[
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/1.2",
    "http/1.1",
    "HTTP/1.1 ",
    "HTTP/11",
    "",
];
const ENDS: &[&str] = &["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n"];
const HOSTS: &[&str] = &[
    "Host: vay.ro",
    "Host: vay.ro",
    "Host: vay.ro",
    "Host: vay.ro",
    "host:vay.ro",
    "HOST:  vay.ro  ",
    "Host: VAY.RO:80",
    "Host: vay.ro.",
    "Host: vay.ro:",
    "Host: vay.ro:x",
    "Host: vay.ro:1:2",
    "Host: other.example",
    "Host:",
    "Host: a b",
    "Host: [::1]",
    "Host: user@vay.ro",
    "Host: vay.ro,vay.ro",
    "Host: vay.ro/x",
    "Host: v\u{e9}",
    "Host : vay.ro",
    "X: no host",
    "Host: vay.ro\r\nHost: vay.ro",
    "Host: vay.ro\r\nhost: other.example",
];
const LINES: &[&str] = &[
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
    "user-agent:curl/8",
    "User-Agent:",
    "User-Agent: \u{fc}ber",
    "User-Agent: one\r\nUser-Agent: two",
    "Referer: https://news.example/a?b=c",
    "Accept-Language: de-CH,de;q=0.9",
    "Accept: text/html",
    "Accept-Encoding: gzip, br",
    "Cookie: a=b",
    "Connection: keep-alive",
    "Connection: close",
    "Connection: Close",
    "Connection: Keep-Alive, TE",
    "Connection: upgrade",
    "Connection: close\r\nConnection: keep-alive",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: close",
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: +5",
    "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5, 5",
    "Content-Length : 5",
    "Content-Length: 0x5",
    "Content-Length: ",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer\rEncoding: chunked",
    "TE: trailers",
    "Trailer: X",
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "Expect: nothing",
    "Sec-GPC: 1",
    "Sec-GPC: 0",
    "DNT: 1",
    "Sec-Purpose: prefetch",
    "Purpose: prefetch;prerender",
    "X-Forwarded-For: 192.0.2.9",
    "X-Forwarded-Proto: https",
    "Forwarded: for=192.0.2.9",
    "X-Vayro-Demo-At: 1777593500000",
    "X: a\0b",
    "X: a\x01b",
    "X: a\x7fb",
    "X: a\rb",
    "X: a\nb",
    " folded: x",
    "X: a\r\n folded",
    "X: a\r\n\tContent-Length: 5",
    ": empty",
    "no colon",
    "Bad Name: x",
    "B@d: x",
    "X:",
    "X: \t ",
    "X:y",
    "\u{e9}: x",
    "",
    "GET /a HTTP/1.1",
];
const TAILS: &[&str] = &[
    "",
    "",
    "",
    "",
    "hello",
    "0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: vay.ro\r\n\r\n",
    "HEAD /launch HTTP/1.1\r\nHost: vay.ro\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: vay.ro\r\nContent-Length: 3\r\n\r\nabc",
    "\r\n",
    "GET /none HTTP/1.1\r\nHost: vay.ro\r\n\r\n",
    "\0\0",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

fn request(rng: &mut StdRng) -> String {
    let pick = |rng: &mut StdRng, from: &[&'static str]| *from.choose(rng).expect("some");
    // One thing is odd at a time, mostly; of requests with many nobody learns which one mattered.
    let odd = rng.random_range(0..6);
    let usual =
        |rng: &mut StdRng, kind, from: &[&'static str]| if odd == kind { pick(rng, from) } else { from[0] };
    let method = usual(rng, 0, METHODS);
    let target = if rng.random_bool(0.5) { pick(rng, &TARGETS[..12]) } else { usual(rng, 1, TARGETS) };
    let version = usual(rng, 2, VERSIONS);
    let end = if odd == 3 { pick(rng, ENDS) } else { "\r\n" };
    let host = usual(rng, 4, HOSTS);
    let mut lines = vec![host];
    for _ in 0..rng.random_range(0..5) {
        lines.push(pick(rng, LINES));
    }
    let place = rng.random_range(0..lines.len());
    lines.swap(0, place);
    let tail = pick(rng, TAILS);
    let separator = if odd == 3 && rng.random_bool(0.5) { "\r\n" } else { end };
    format!("{method} {target} {version}{separator}{}{end}{end}{tail}", lines.join(end))
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_odd_requests_get_the_same_answers() {
    let pair = std::sync::Arc::new(Pair::start().await);
    pair.warm().await;
    let mut rng = StdRng::seed_from_u64(41);
    let requests: Vec<String> = (0..CASES).map(|_| request(&mut rng)).collect();
    let mut redirects = 0;
    for some in requests.chunks(AT_ONCE) {
        let mut talks = tokio::task::JoinSet::new();
        for request in some {
            // In one piece: what came with a request that may have a body is treated otherwise than what comes later.
            let (pair, all) = (std::sync::Arc::clone(&pair), format!("{request}{LAST}"));
            talks.spawn(async move { pair.compare(&[all.as_bytes()]).await });
        }
        while let Some(came) = talks.join_next().await {
            let came = came.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            redirects += usize::from(came.windows(12).any(|part| part == b"HTTP/1.1 302"));
        }
    }
    let clicks = pair.compare_clicks().await;
    assert!(redirects > CASES / 4 && clicks > CASES / 4, "{redirects} redirects, {clicks} clicks");
    let lane = pair.with.metric("vayro_edge_fast_lane_total");
    assert!(lane > 1_500.0, "the lane answered {lane}");
    assert!(pair.without.metric("vayro_edge_fast_lane_total") < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_may_be_cut_at_every_byte() {
    let pair = Pair::start().await;
    pair.warm().await;
    let visit = "GET /launch?utm_source=x HTTP/1.1\r\nHost: vay.ro\r\nUser-Agent: a\r\nReferer: https://b.example/\r\n\r\n";
    let all = format!("{visit}HEAD /a HTTP/1.1\r\nHost: vay.ro\r\n\r\n{LAST}");
    for cut in 1..all.len() {
        let (start, end) = all.as_bytes().split_at(cut);
        let came = pair.compare(&[start, end]).await;
        assert_eq!(came.windows(12).filter(|part| *part == b"HTTP/1.1 302").count(), 3, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = all.as_bytes().chunks(1).collect();
    pair.compare(&bytes).await;
    pair.compare_clicks().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_answered_in_order_whoever_answers() {
    let pair = Pair::start().await;
    pair.warm().await;
    let mut rng = StdRng::seed_from_u64(42);
    for _ in 0..50 {
        let mut all = String::new();
        for _ in 0..rng.random_range(2..120) {
            let target = ["/launch", "/a", "/none", "/moved", "/ending", "/ended", "/"]
                .choose(&mut rng)
                .expect("some");
            let method = ["GET", "GET", "HEAD"].choose(&mut rng).expect("some");
            all.extend([method, " ", target, " HTTP/1.1\r\nHost: vay.ro\r\n\r\n"]);
        }
        all += LAST;
        pair.compare(&[all.as_bytes()]).await;
    }
    assert!(pair.compare_clicks().await > 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_acts_on_the_next_request_of_a_connection() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    for round in 0..20 {
        client.get("/launch").await;
        assert_eq!(client.get("/launch").await.status(), 302);
        let target = format!("https://example.com/{round}");
        edge.world.put("launch", |link| link.target = crate::world::target(&target));
        edge.world.tell_changed("launch");
        until("the change is there", || edge.world.lookups() > round).await;
        let waiting = async { while client.get("/launch").await.location() != target {} };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "round {round}");
        assert_eq!(client.get("/launch").await.location(), target, "and it stays");
    }
    assert!(edge.metric("vayro_edge_fast_lane_total") > 20.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_ends_is_gone_at_once() {
    let edge = TestEdge::start().await;
    edge.world.put("brief", |link| {
        link.expires_at = vayro_core::timestamp::Timestamp::from_micros(START_MICROS + 5_000_000);
    });
    let mut client = Client::connect(edge.http()).await;
    for _ in 0..3 {
        assert_eq!(client.get("/brief").await.status(), 302);
    }
    edge.world.advance(Duration::from_secs(5));
    assert_eq!(client.get("/brief").await.status(), 410);
}
