//! Connections that a balancer brings, which says whose they are in a PROXY header.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use vayro_edge::{ClickAddress, EdgeSettings, UpstreamSettings};

use crate::client::Client;
use crate::proxying::{Server, said};
use crate::world::{TestEdge, World, host, until};

/// Where connections come from that begin with a header.
const BALANCER: &str = "127.0.0.1";
/// Where connections come from that do not.
const STRANGER: [u8; 4] = [127, 0, 0, 2];
const VISIT: &str = "GET /launch HTTP/1.1\r\nHost: vay.ro\r\n\r\n";
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

pub(crate) fn set(settings: &mut EdgeSettings) {
    settings.proxy_protocol_from = vec![format!("{BALANCER}/32").parse().expect("a network")];
}

async fn start_with(change: impl FnOnce(&mut EdgeSettings)) -> TestEdge {
    let edge = TestEdge::start_with(World::new(), |settings| {
        set(settings);
        change(settings);
    })
    .await;
    edge.world.put("launch", |_| {});
    edge
}

async fn start() -> TestEdge {
    start_with(|_| {}).await
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Returns a header of version 1.
pub(crate) fn v1(visitor: &str) -> Vec<u8> {
    let (family, ours) = if ip(visitor).is_ipv4() { ("TCP4", "10.0.0.1") } else { ("TCP6", "2001:db8::1") };
    format!("PROXY {family} {visitor} {ours} 4711 443\r\n").into_bytes()
}

/// Returns a header of version 2 with a TLV that means nothing.
pub(crate) fn v2(visitor: &str) -> Vec<u8> {
    let (protocol, mut rest) = match ip(visitor) {
        IpAddr::V4(visitor) => (0x11, [visitor.octets(), [10, 0, 0, 1]].concat()),
        IpAddr::V6(visitor) => (0x21, [visitor.octets(), [7; 16]].concat()),
    };
    rest.extend([0x12, 0x67, 0x01, 0xbb]);
    rest.extend([0x04, 0, 3, 1, 2, 3]);
    v2_of(PROXY, protocol, &rest)
}

fn v2_of(command: u8, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, protocol][..], &len, rest].concat()
}

/// Connects from somewhere that is no balancer.
async fn stranger(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((STRANGER, 0))).expect("all of 127.0.0.0/8 is this machine");
    socket.connect(address).await.expect("edge listens")
}

fn headers(edge: &TestEdge, result: &str) -> u32 {
    // A small number in text.
    edge.metric(&format!("vayro_edge_proxy_headers_total{{result=\"{result}\"}}"))
        .to_string()
        .parse()
        .expect("whole")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_in_the_header_is_the_visitors() {
    let edge = start().await;
    let mut visitors = Vec::new();
    for (header, visitor) in [
        (v1("203.0.113.7"), "203.0.113.7"),
        (v1("2001:db8:7::7"), "2001:db8:7::7"),
        (v1("::ffff:203.0.113.8"), "203.0.113.8"),
        (v2("203.0.113.9"), "203.0.113.9"),
        (v2("2001:db8:9::9"), "2001:db8:9::9"),
        (v2("::ffff:203.0.113.10"), "203.0.113.10"),
        // Whom the balancer does not know, and the balancer itself.
        (b"PROXY UNKNOWN\r\n".to_vec(), BALANCER),
        (b"PROXY UNKNOWN 203.0.113.1 10.0.0.1 1 2\r\n".to_vec(), BALANCER),
        (v2_of(LOCAL, 0, b""), BALANCER),
        (v2_of(LOCAL, 0x11, &[203, 0, 113, 1, 10, 0, 0, 1, 0, 1, 0, 2]), BALANCER),
        (v2_of(PROXY, 0, b""), BALANCER),
        (v2_of(PROXY, 0x31, &[0; 216]), BALANCER),
    ] {
        let mut client = Client::connect(edge.http()).await;
        // In one segment with the first request, and another request behind it.
        client.send([&header[..], VISIT.as_bytes(), VISIT.as_bytes()].concat()).await;
        for _ in 0..2 {
            assert_eq!(client.answer().await.location(), "https://example.com/launch", "{visitor}");
        }
        assert_eq!(client.get("/launch").await.status(), 302);
        assert_eq!(client.get_with("/launch", "X: \u{fc}\r\n").await.status(), 302, "not in the lane");
        visitors.extend([Some(ip(visitor)); 4]);
        // One after the other, so that the clicks are in order.
        edge.world.until_clicks(visitors.len()).await;
    }
    let clicked: Vec<_> = edge.world.clicks().iter().map(|click| click.ip).collect();
    assert_eq!(clicked, visitors);
    assert_eq!((headers(&edge, "visitor"), headers(&edge, "local")), (6, 6));
    assert!(edge.metric("vayro_edge_fast_lane_total") > 30.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_may_be_cut_at_every_byte() {
    let edge = start().await;
    let mut visits = 0;
    for header in [v1("203.0.113.7"), v2("203.0.113.7")] {
        let all = [&header[..], VISIT.as_bytes()].concat();
        for cut in 1..all.len() {
            let mut client = Client::connect(edge.http()).await;
            client.send(&all[..cut]).await;
            tokio::task::yield_now().await;
            client.send(&all[cut..]).await;
            assert_eq!(client.answer().await.status(), 302, "cut at {cut}");
            visits += 1;
        }
        let mut client = Client::connect(edge.http()).await;
        for byte in all {
            client.send([byte]).await;
        }
        assert_eq!(client.answer().await.status(), 302);
        visits += 1;
    }
    let clicks = edge.world.until_clicks(visits).await;
    assert!(clicks.iter().all(|click| click.ip == Some(ip("203.0.113.7"))), "{clicks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_header_a_balancer_gets_no_answer() {
    let edge = start_with(|settings| settings.head_timeout = Duration::from_millis(300)).await;
    let slow = v2("203.0.113.7");
    for (bytes, result) in [
        (VISIT.as_bytes().to_vec(), "missing"),
        (b"\x16\x03\x01\x02\x00\x01".to_vec(), "missing"),
        ([b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 99999\r\n", VISIT.as_bytes()].concat(), "malformed"),
        ([&v2_of(PROXY, 0x12, &slow[16..28]), VISIT.as_bytes()].concat(), "malformed"),
        ([b"PROXY TCP4 ".as_slice(), &[b'1'; 97], VISIT.as_bytes()].concat(), "too_long"),
        ([&v2_of(LOCAL, 0, &[0; 4097]), VISIT.as_bytes()].concat(), "too_long"),
        (slow[..slow.len() - 1].to_vec(), "timed_out"),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1".to_vec(), "timed_out"),
        (Vec::new(), "timed_out"),
    ] {
        let before = headers(&edge, result);
        let mut client = Client::connect(edge.http()).await;
        client.send(&bytes).await;
        let answer = client.until_closed().await;
        assert!(answer.is_empty(), "{bytes:?}: {:?}", String::from_utf8_lossy(&answer));
        assert_eq!(headers(&edge, result), before + 1, "{result}: {bytes:?}");
    }
    // Somebody looks whether anybody listens.
    drop(Client::connect(edge.http()).await);
    until("it is seen", || headers(&edge, "closed") == 1).await;
    until("places are given back", || edge.metric("vayro_edge_connections") < 0.5).await;
    assert_eq!(edge.world.lookups(), 0);
    assert!(edge.metric("vayro_edge_connections_accepted_total") < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_drips_takes_no_longer_than_a_silent_one() {
    let edge = start_with(|settings| settings.head_timeout = Duration::from_millis(300)).await;
    let mut client = Client::connect(edge.http()).await;
    client.send("PROXY UNKNOWN ").await;
    let dripping = async {
        let mut left = 90;
        while headers(&edge, "timed_out") == 0 && left > 0 {
            client.send(" ").await;
            left -= 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(crate::world::PATIENCE, dripping).await.is_ok());
    assert!(client.until_closed().await.is_empty());
    assert_eq!(headers(&edge, "too_long"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_can_pretend_to_be_somebody() {
    let edge = start_with(|settings| settings.head_timeout = Duration::from_millis(300)).await;
    for header in [v1("203.0.113.7"), v2("203.0.113.7"), b"PROXY UNKNOWN\r\n".to_vec(), v2_of(LOCAL, 0, b"")]
    {
        let mut client = Client::over(stranger(edge.http()).await);
        client.send([&header[..], VISIT.as_bytes()].concat()).await;
        let answer = client.until_closed().await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{header:?}: {text}");
    }
    assert_eq!(edge.world.lookups(), 0);
    let mut client = Client::over(stranger(edge.http()).await);
    assert_eq!(client.get_with("/launch", "X-Forwarded-For: 203.0.113.7\r\n").await.status(), 302);
    assert_eq!(edge.world.until_clicks(1).await[0].ip, Some(IpAddr::from(STRANGER)));
    for result in ["visitor", "local", "missing", "malformed"] {
        assert_eq!(headers(&edge, result), 0, "{result}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_count_for_the_visitor_and_not_for_the_balancer() {
    const MOST: u32 = 2;
    let edge = start_with(|settings| settings.connections_per_address_max = MOST).await;
    let visit = async |header: Vec<u8>| {
        let mut client = Client::connect(edge.http()).await;
        client.send([&header[..], VISIT.as_bytes()].concat()).await;
        client
    };
    let mut held = Vec::new();
    for _ in 0..MOST {
        for header in [v1("203.0.113.7"), v2("203.0.113.8"), v2("2001:db8:7::7"), v2_of(LOCAL, 0, b"")] {
            let mut client = visit(header).await;
            assert_eq!(client.answer().await.status(), 302);
            held.push(client);
        }
    }
    // Of IPv6 a /64 is one address.
    for header in [v2("203.0.113.7"), v1("203.0.113.8"), v1("2001:db8:7::99")] {
        assert!(visit(header).await.until_closed().await.is_empty());
    }
    let refused = edge.metric("vayro_edge_connections_refused_total{limit=\"address\"}");
    assert!((refused - 3.0).abs() < 0.5, "{refused}");
    assert_eq!(visit(v2_of(LOCAL, 0, b"")).await.answer().await.status(), 302);
    drop(held);
    until("places are given back", || edge.metric("vayro_edge_connections") < 0.5).await;
    assert_eq!(visit(v2("203.0.113.7")).await.answer().await.status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_their_header_count_in_all() {
    let edge = start_with(|settings| settings.connections_max = 2).await;
    let silent = [Client::connect(edge.http()).await, Client::connect(edge.http()).await];
    until("both are there", || edge.metric("vayro_edge_connections") > 1.5).await;
    assert!(Client::connect(edge.http()).await.until_closed().await.is_empty());
    let refused = edge.metric("vayro_edge_connections_refused_total{limit=\"total\"}");
    assert!((refused - 1.0).abs() < 0.5, "{refused}");
    drop(silent);
    until("places are given back", || edge.metric("vayro_edge_connections") < 0.5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_balancer_does_not_hold_up_the_end() {
    let edge = start_with(|settings| {
        settings.head_timeout = Duration::from_hours(1);
        settings.grace = Duration::from_hours(1);
    })
    .await;
    let mut silent = Client::connect(edge.http()).await;
    until("it is there", || edge.metric("vayro_edge_connections") > 0.5).await;
    edge.stop().await;
    assert!(silent.until_closed().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_addresses_are_believed_of_whom_the_header_names() {
    let edge = start_with(|settings| {
        // The balancer is one, too, which says nothing about whom it brings.
        settings.trusted_proxies =
            ["127.0.0.0/8", "198.51.100.0/24"].map(|network| network.parse().expect("a network")).into();
    })
    .await;
    for (header, visitor) in [
        (v2("198.51.100.1"), "192.0.2.9"),
        (v2("203.0.113.7"), "203.0.113.7"),
        (v1("203.0.113.7"), "203.0.113.7"),
        (v2_of(LOCAL, 0, b""), "192.0.2.9"),
    ] {
        let before = edge.world.clicks().len();
        let mut client = Client::connect(edge.http()).await;
        client.send(header).await;
        for _ in 0..3 {
            let answer = client.get_with("/launch", "X-Forwarded-For: 192.0.2.9\r\n").await;
            assert_eq!(answer.status(), 302);
        }
        let clicks = edge.world.until_clicks(before + 3).await;
        assert!(clicks[before..].iter().all(|click| click.ip == Some(ip(visitor))), "{visitor}: {clicks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_the_edge_is_of_the_visitor() {
    let server = Server::start().await;
    let address = server.address.to_string();
    let edge = start_with(|settings| {
        settings.click_address = ClickAddress::Truncated;
        settings.misses_per_minute = 3;
        settings.upstreams = vec![UpstreamSettings { host: host("api.vay.ro"), address, tls: false }];
    })
    .await;
    let mut client = Client::connect(edge.http()).await;
    client.send(v2("203.0.113.77")).await;
    assert_eq!(client.get("/launch").await.status(), 302);
    assert_eq!(edge.world.until_clicks(1).await[0].ip, Some(ip("203.0.113.0")), "the network");
    for status in [404, 404, 404, 429] {
        assert_eq!(client.get(&format!("/guess{status}")).await.status(), status);
    }
    client.send("GET /v1/links HTTP/1.1\r\nHost: api.vay.ro\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "served");
    let said = said(&server.last());
    assert!(said.contains(&"x-forwarded-for: 203.0.113.77".to_owned()), "{said:?}");
    let mut other = Client::connect(edge.http()).await;
    other.send(v1("192.0.2.1")).await;
    assert_eq!(other.get("/guess").await.status(), 404, "another network through the same balancer");
}
