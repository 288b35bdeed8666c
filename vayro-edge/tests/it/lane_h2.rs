//! The fast lane over HTTP/2 and Pingora's way, asked the same.

use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::lane::Pair;
use crate::tls::Certificates;
use crate::world::TestEdge;

/// Requests of the generated corpus.
const CASES: u32 = 2_000;
/// Requests on their way at one time.
const AT_ONCE: usize = 40;
/// What the lane is counted in.
const FAST: &str = "vayro_edge_fast_lane_total";

const METHODS: [Method; 6] =
    [Method::GET, Method::GET, Method::GET, Method::HEAD, Method::POST, Method::OPTIONS];
const TARGETS: &[&str] = &[
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
    "/",
    "//launch",
    "/launch//",
    "/l%61unch",
    "/../launch",
    "/launch;x=1",
    "/robots.txt",
    "/.well-known/acme-challenge/token",
];
const HOSTS: &[&str] = &["vay.ro", "vay.ro", "vay.ro", "VAY.RO", "vay.ro:443", "other.example"];
const LINES: &[(&str, &str)] = &[
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ("user-agent", ""),
    ("user-agent", "a second one"),
    ("referer", "https://news.example/a?b=c"),
    ("accept-language", "de-CH,de;q=0.9"),
    ("accept", "application/json"),
    ("cookie", "a=b"),
    ("content-length", "0"),
    ("expect", "100-continue"),
    ("te", "trailers"),
    ("sec-gpc", "1"),
    ("dnt", "1"),
    ("sec-purpose", "prefetch"),
    ("purpose", "prefetch"),
    ("x-forwarded-for", "192.0.2.9"),
    ("x-forwarded-proto", "http"),
    ("x-vayro-demo-at", "1777593500000"),
    ("host", "vay.ro"),
    ("host", "other.example"),
];

type Sender = SendRequest<Full<Bytes>>;
/// Everything of an answer but its date.
type Answer = (StatusCode, Vec<(HeaderName, HeaderValue)>, Bytes);

async fn connect(edge: &TestEdge, certificates: &Certificates) -> Sender {
    let tls = certificates.connect(edge, "vay.ro", &[b"h2"]).await.expect("connects");
    let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await;
    let (sender, connection) = shaken.expect("speaks HTTP/2");
    tokio::spawn(connection);
    sender
}

fn request(rng: &mut StdRng) -> Request<Full<Bytes>> {
    let target = *if rng.random_bool(0.6) { &TARGETS[..9] } else { TARGETS }.choose(rng).expect("some");
    let host = HOSTS.choose(rng).expect("some");
    let mut request =
        Request::builder().method(METHODS.choose(rng).expect("some")).uri(format!("https://{host}{target}"));
    let body = if rng.random_bool(0.1) { "hello" } else { "" };
    for _ in 0..rng.random_range(0..5) {
        let (name, value) = *LINES.choose(rng).expect("some");
        // Whether a body that should not be there comes before the answer is a matter of luck.
        if name != "content-length" || body.is_empty() {
            request = request.header(name, value);
        }
    }
    request.body(Full::from(body)).expect("valid")
}

/// Returns the answer; `None` if the stream was reset.
async fn ask(mut sender: Sender, request: Request<Full<Bytes>>) -> Option<Answer> {
    let (head, body) = sender.send_request(request).await.ok()?.into_parts();
    let mut headers: Vec<_> =
        head.headers.into_iter().map(|(name, value)| (name.expect("once"), value)).collect();
    headers.retain(|(name, _)| *name != http::header::DATE);
    Some((head.status, headers, body.collect().await.ok()?.to_bytes()))
}

async fn pair(certificates: &Certificates, hsts: bool) -> Pair {
    let pair = Pair::start_with(|settings| {
        certificates.set(settings);
        if hsts {
            settings.hsts = std::time::Duration::from_secs(3600);
        }
    });
    let pair = pair.await;
    pair.warm().await;
    pair
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_over_http2_get_the_same_answers() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let pair = pair(&certificates, true).await;
    let mut rng = StdRng::seed_from_u64(42);
    let requests: Vec<_> = (0..CASES).map(|_| request(&mut rng)).collect();
    let fast_before = pair.with.metric(FAST);
    let (mut redirects, mut others) = (0_u32, 0_u32);
    for some in requests.chunks(AT_ONCE) {
        // A connection is closed once it sent too many malformed requests.
        let (with, without) =
            tokio::join!(connect(&pair.with, &certificates), connect(&pair.without, &certificates));
        let ask_all =
            |sender: &Sender| join_all(some.iter().map(|request| ask(sender.clone(), request.clone())));
        let (left, right) = tokio::join!(ask_all(&with), ask_all(&without));
        for ((request, left), right) in some.iter().zip(left).zip(right) {
            assert_eq!(left, right, "asked {request:?}");
            match left {
                Some((status, ..)) if status.is_redirection() => redirects += 1,
                _ => others += 1,
            }
        }
    }
    assert!(redirects.min(others) > CASES / 5, "{redirects} redirects, {others} others");
    let fast = pair.with.metric(FAST) - fast_before;
    assert!(fast > f64::from(redirects) / 2.0, "{fast} of {redirects} by the lane");
    assert!(pair.without.metric(FAST) < 0.5);
    assert!(pair.compare_clicks().await > redirects as usize / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_body_is_left_to_others() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let pair = pair(&certificates, false).await;
    let fast_before = pair.with.metric(FAST);
    let sender = connect(&pair.with, &certificates).await;
    let asked = Request::get("https://vay.ro/launch").body(Full::from("a body")).expect("valid");
    let (status, ..) = ask(sender, asked).await.expect("answered");
    assert_eq!(status, StatusCode::FOUND);
    assert!(pair.with.metric(FAST) < fast_before + 0.5);
}
