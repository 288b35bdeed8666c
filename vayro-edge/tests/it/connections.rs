//! Limits of connections and request heads.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::client::Client;
use crate::world::{TestEdge, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_is_refused_although_every_read_is_quick() {
    let edge =
        TestEdge::start_with(World::new(), |settings| settings.head_timeout = Duration::from_millis(300))
            .await;
    let mut client = Client::connect(edge.http()).await;
    client.send("GET /launch HTTP/1.1\r\n").await;
    let refused = async {
        while edge.metric("vayro_edge_heads_refused_total{limit=\"time\"}") < 1.0 {
            // The edge may close between the look and the write.
            client.send("X: y\r\n").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(crate::world::PATIENCE, refused).await.is_ok());
    let last = client.until_closed().await;
    assert!(last.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&last));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_giant_head_is_refused() {
    let edge = TestEdge::start().await;
    let mut client = Client::connect(edge.http()).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: vay.ro\r\nX: {}", "y".repeat(16 << 10))).await;
    let last = client.until_closed().await;
    assert!(last.starts_with(b"HTTP/1.1 431 "), "{:?}", String::from_utf8_lossy(&last));
    assert!((edge.metric("vayro_edge_heads_refused_total{limit=\"size\"}") - 1.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let edge = TestEdge::start().await;
    for code in ["first", "second", "third"] {
        edge.world.put(code, |_| {});
    }
    let mut client = Client::connect(edge.http()).await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: vay.ro\r\n\r\n");
    let all = ["/first", "/nothing", "/second", "/third"].map(request).concat();
    // Cut in the middle of a head.
    let (start, end) = all.split_at(all.len() - 20);
    client.send(start).await;
    assert_eq!(client.answer().await.location(), "https://example.com/first");
    client.send(end).await;
    assert_eq!(client.answer().await.status(), 404);
    assert_eq!(client.answer().await.location(), "https://example.com/second");
    assert_eq!(client.answer().await.location(), "https://example.com/third");
    assert_eq!(client.get("/first").await.status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_may_come_in_single_bytes() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    for byte in b"\r\nGET /launch HTTP/1.1\r\nHost: vay.ro\r\n\r\n" {
        client.send([*byte]).await;
    }
    assert_eq!(client.answer().await.status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_requests_are_refused_and_nothing_behind_them_is_read() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    edge.world.put("smuggled", |_| {});
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: vay.ro\r\n\r\n";
    let chunked = format!("0\r\n\r\n{smuggled}");
    for (request, status) in [
        (format!("GET /launch HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{smuggled}"), 400),
        (
            format!(
                "GET /launch HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{smuggled}"
            ),
            400,
        ),
        (format!("GET /launch HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"), 400),
        (format!("GET /launch HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n{smuggled}"), 400),
        (
            format!(
                "GET /launch HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n{chunked}"
            ),
            400,
        ),
        (format!("GET /launch HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"), 302),
        (format!("GET /launch HTTP/1.1\nHost: a\n\n{smuggled}"), 302),
    ] {
        let mut client = Client::connect(edge.http()).await;
        client.send(&request).await;
        let answer = client.answer().await;
        let rest = client.until_closed().await;
        assert_eq!(answer.status(), status, "{request:?}");
        assert!(rest.is_empty(), "{request:?}: {:?}", String::from_utf8_lossy(&rest));
    }
    assert_eq!(edge.world.lookups(), 1, "nothing but the link was looked up");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_also_after_a_request() {
    let edge =
        TestEdge::start_with(World::new(), |settings| settings.idle_timeout = Duration::from_millis(200))
            .await;
    edge.world.put("launch", |_| {});
    let mut silent = Client::connect(edge.http()).await;
    let mut polite = Client::connect(edge.http()).await;
    assert_eq!(polite.get("/launch").await.status(), 302);
    assert!(silent.until_closed().await.is_empty());
    assert!(polite.until_closed().await.is_empty());
    until("places are given back", || edge.metric("vayro_edge_connections") < 0.5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_after_its_number_of_requests() {
    let edge = TestEdge::start_with(World::new(), |settings| settings.requests_per_connection = 3).await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(client.get("/launch").await.header("connection").expect("always").to_owned());
    }
    assert_eq!(answers, ["keep-alive", "keep-alive", "close"]);
    assert!(client.until_closed().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_closed_at_once() {
    for (total, per_address, limit) in [(2, 500, "total"), (1000, 2, "address")] {
        let edge = TestEdge::start_with(World::new(), |settings| {
            settings.connections_max = total;
            settings.connections_per_address_max = per_address;
        })
        .await;
        edge.world.put("launch", |_| {});
        let mut first = Client::connect(edge.http()).await;
        assert_eq!(first.get("/launch").await.status(), 302);
        let mut second = Client::connect(edge.http()).await;
        assert_eq!(second.get("/launch").await.status(), 302);
        let mut third = Client::connect(edge.http()).await;
        assert!(third.until_closed().await.is_empty());
        assert_eq!(first.get("/launch").await.status(), 302);
        let refused = edge.metric(&format!("vayro_edge_connections_refused_total{{limit=\"{limit}\"}}"));
        assert!((refused - 1.0).abs() < 0.5, "{limit}");
        drop(second);
        edge.until_metric("vayro_edge_connections_accepted_total", 2.0).await;
        until("the place is free", || edge.metric("vayro_edge_connections") < 1.5).await;
        let mut fourth = Client::connect(edge.http()).await;
        assert_eq!(fourth.get("/launch").await.status(), 302);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_one_request_ends_only_its_connection() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    let mut unlucky = Client::connect(edge.http()).await;
    let mut other = Client::connect(edge.http()).await;
    assert_eq!(unlucky.get("/launch").await.status(), 302);
    assert_eq!(other.get("/launch").await.status(), 302);
    edge.world.is_clock_broken.store(true, Ordering::SeqCst);
    unlucky.ask("GET", "/launch", "").await;
    assert!(unlucky.until_closed().await.is_empty());
    edge.world.is_clock_broken.store(false, Ordering::SeqCst);
    assert_eq!(other.get("/launch").await.status(), 302);
    until("the place is free", || edge.metric("vayro_edge_connections") < 1.5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_wants_ends_the_connection() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    client.ask("POST", "/launch", "Content-Length: 5\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.header("connection")), (405, Some("close")));
    client.send("hello").await;
    assert!(client.until_closed().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_let_go() {
    let edge = TestEdge::start_with(World::new(), |settings| {
        settings.write_timeout = Duration::from_millis(100);
        settings.requests_per_connection = u32::MAX;
    })
    .await;
    let mut stream = tokio::net::TcpStream::connect(edge.http()).await.expect("edge listens");
    let requests = "GET /no.such.code HTTP/1.1\r\nHost: vay.ro\r\n\r\n".repeat(100);
    // Writes until the edge, whose answers nobody takes, closes.
    let writing = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    assert!(tokio::time::timeout(crate::world::PATIENCE, writing).await.is_ok());
    until("the place is free", || edge.metric("vayro_edge_connections") < 0.5).await;
}
