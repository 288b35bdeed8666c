//! Hosts that other servers answer.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use vayro_edge::{EdgeSettings, UpstreamSettings};

use crate::client::Client;
use crate::world::{TestEdge, World, host};

/// A server that answers everything with 200 and remembers what it was asked.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while stream.read_buf(&mut request).await.is_ok_and(|count| count > 0) {
                        let text = String::from_utf8_lossy(&request).into_owned();
                        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                        let len = head
                            .lines()
                            .find_map(|line| {
                                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                            })
                            .unwrap_or(0);
                        if body.len() < len {
                            continue;
                        }
                        seen.lock().push(text);
                        request.clear();
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    pub(crate) fn last(&self) -> String {
        self.requests.lock().last().cloned().expect("a request")
    }
}

fn upstream(address: String) -> impl FnOnce(&mut EdgeSettings) {
    move |settings| {
        settings.upstreams = vec![UpstreamSettings { host: host("api.vay.ro"), address, tls: false }];
    }
}

async fn ask(edge: &TestEdge, method: &str, headers: &str, body: &str) -> crate::client::Answer {
    let mut client = Client::connect(edge.http()).await;
    client.send(format!("{method} /v1/links?a=b HTTP/1.1\r\nHost: API.vay.ro\r\n{headers}\r\n{body}")).await;
    client.answer().await
}

/// Returns the header lines that say who asks, lower case names, sorted.
pub(crate) fn said(request: &str) -> Vec<String> {
    let mut lines: Vec<String> = request
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase()))
        .filter(|line| line.starts_with("x-") || line.starts_with("forwarded") || line.starts_with("host"))
        .collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_learns_who_asks_from_us_alone() {
    let server = Server::start().await;
    let edge = TestEdge::start_with(World::new(), upstream(server.address.to_string())).await;
    let lies = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
                X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Vayro-Demo-At: 1\r\n";
    assert_eq!(ask(&edge, "GET", lies, "").await.text(), "served");
    let request = server.last();
    assert!(request.starts_with("GET /v1/links?a=b HTTP/1.1\r\n"), "{request}");
    assert_eq!(
        said(&request),
        [
            "host: API.vay.ro",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: API.vay.ro",
            "x-forwarded-proto: http",
            "x-real-ip: 127.0.0.1",
        ]
    );
    // The next request finds nothing to count: what others answer is no click.
    assert!(edge.stop().await.clicks().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_proxy_says_is_passed_on() {
    let server = Server::start().await;
    let set_upstream = upstream(server.address.to_string());
    let edge = TestEdge::start_with(World::new(), |settings| {
        set_upstream(settings);
        settings.trusted_proxies = vec!["127.0.0.1/32".parse().expect("valid")];
    })
    .await;
    let claims = "X-Forwarded-For: 6.6.6.6, 198.51.100.7\r\nX-Forwarded-Proto: https\r\n";
    ask(&edge, "GET", claims, "").await;
    let said = said(&server.last());
    assert!(said.contains(&"x-forwarded-for: 198.51.100.7".to_owned()), "{said:?}");
    assert!(said.contains(&"x-forwarded-proto: https".to_owned()), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_pass_and_connections_are_kept_on_both_sides() {
    let server = Server::start().await;
    let edge = TestEdge::start_with(World::new(), upstream(server.address.to_string())).await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    for body in ["{}", "{\"a\":1}"] {
        let len = body.len();
        client
            .send(format!(
                "POST /v1/links HTTP/1.1\r\nHost: api.vay.ro\r\nContent-Length: {len}\r\n\r\n{body}"
            ))
            .await;
        assert_eq!(client.answer().await.text(), "served");
        assert!(server.last().ends_with(&format!("\r\n\r\n{body}")));
        // Another host on the same connection.
        assert_eq!(client.get("/launch").await.status(), 302);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let edge = TestEdge::start_with(World::new(), upstream(address.to_string())).await;
    let answer = ask(&edge, "GET", "Accept: application/json\r\n", "").await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("\"bad_gateway\""));
    assert!((edge.metric("vayro_edge_answers_total{kind=\"upstream_failed\"}") - 1.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_is_502_and_no_reason_not_to_start() {
    let edge = TestEdge::start_with(World::new(), upstream("no-such-host.invalid:80".to_owned())).await;
    edge.world.put("launch", |_| {});
    assert_eq!(ask(&edge, "GET", "", "").await.status(), 502);
    assert_eq!(Client::connect(edge.http()).await.get("/launch").await.status(), 302);
}
