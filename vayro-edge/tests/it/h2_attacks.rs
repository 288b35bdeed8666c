//! What hostile clients do over HTTP/2 ends with their connection, and nobody else notices.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::h2::{
    CONTINUATION, END_HEADERS, END_STREAM, GOAWAY, H2, HEADERS, PING, RST_STREAM, SETTINGS, frame, request,
};
use crate::tls::Certificates;
use crate::world::{PATIENCE, TestEdge, World, until};

/// Most bytes that an attacker sends; nothing that is meant well needs as many.
const ATTACK_LEN: usize = 64 << 20;
/// Frames that are sent at once.
const AT_ONCE: usize = 256;
/// `SETTINGS_INITIAL_WINDOW_SIZE` of RFC 9113, section 6.5.2.
const INITIAL_WINDOW: [u8; 2] = [0, 4];

async fn start(certificates: &Certificates) -> TestEdge {
    let edge = TestEdge::start_with(World::new(), |settings| {
        certificates.set(settings);
        settings.write_timeout = Duration::from_millis(300);
    })
    .await;
    edge.world.put("launch", |_| {});
    edge
}

/// Sends frames, of which `make` makes the next one, until the edge takes no more. Nothing that it says is read.
async fn attack(h2: &mut H2, mut make: impl FnMut() -> Vec<u8>) {
    let attacking = async {
        let mut sent = 0;
        while sent < ATTACK_LEN {
            let frames: Vec<u8> = std::iter::repeat_with(&mut make).take(AT_ONCE).flatten().collect();
            if h2.stream.write_all(&frames).await.is_err() || h2.stream.flush().await.is_err() {
                return;
            }
            sent += frames.len();
        }
        panic!("the edge took {sent} bytes of an attack");
    };
    assert!(tokio::time::timeout(PATIENCE, attacking).await.is_ok(), "the attacker's connection stays open");
}

/// Nobody else notices, and nothing of the attacker stays.
async fn all_is_well(edge: &TestEdge, certificates: &Certificates) {
    let mut h2 = H2::connect(edge, certificates).await;
    h2.get(1, "/launch").await;
    while h2.frame().await.expect("open").kind != HEADERS {}
    drop(h2);
    until("every place is free", || edge.metric("vayro_edge_connections") < 0.5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_taken_back_at_once() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let mut h2 = H2::connect(&edge, &certificates).await;
    let mut stream = 1;
    attack(&mut h2, || {
        let mut pair = frame(HEADERS, END_STREAM | END_HEADERS, stream, &request("/launch"));
        pair.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        stream += 2;
        pair
    })
    .await;
    all_is_well(&edge, &certificates).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_never_end() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let mut h2 = H2::connect(&edge, &certificates).await;
    h2.stream.write_all(&frame(HEADERS, END_STREAM, 1, &request("/launch"))).await.expect("written");
    // A literal header `x: y` that is not remembered.
    attack(&mut h2, || frame(CONTINUATION, 0, 1, b"\0\x01x\x01y")).await;
    all_is_well(&edge, &certificates).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_continuations() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let mut h2 = H2::connect(&edge, &certificates).await;
    h2.stream.write_all(&frame(HEADERS, END_STREAM, 1, &request("/launch"))).await.expect("written");
    attack(&mut h2, || frame(CONTINUATION, 0, 1, b"")).await;
    all_is_well(&edge, &certificates).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_over_and_over() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let mut h2 = H2::connect(&edge, &certificates).await;
    attack(&mut h2, || frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xFF, 0xFF])).await;
    all_is_well(&edge, &certificates).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_over_and_over() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let mut h2 = H2::connect(&edge, &certificates).await;
    attack(&mut h2, || frame(PING, 0, 0, b"12345678")).await;
    all_is_well(&edge, &certificates).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_remembered_and_repeated() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let mut h2 = H2::connect(&edge, &certificates).await;
    // A header of 4,000 bytes goes into the table; each further byte names it once more.
    let mut block = request("/launch");
    block.extend(b"\x40\x01x\x7f");
    // 4000 - 127 in seven-bit pieces (RFC 7541, section 5.1).
    block.extend([0xA1, 0x1E]);
    block.extend([b'y'; 4000]);
    block.extend([0xBE; 8000]);
    h2.stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block)).await.expect("written");
    // The stream is refused, or the whole connection.
    let refused = loop {
        match h2.frame().await {
            None => break true,
            Some(frame) if matches!(frame.kind, RST_STREAM | GOAWAY) => break true,
            Some(frame) if frame.kind == HEADERS => break false,
            Some(_) => {}
        }
    };
    assert!(refused, "a list of 32 MB of headers got an answer");
    assert_eq!(edge.world.lookups.load(Ordering::Relaxed), 0, "nobody looked for the link");
    drop(h2);
    all_is_well(&edge, &certificates).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_nobody_takes() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let mut h2 = H2::connect(&edge, &certificates).await;
    let mut settings = INITIAL_WINDOW.to_vec();
    settings.extend(0_u32.to_be_bytes());
    h2.stream.write_all(&frame(SETTINGS, 0, 0, &settings)).await.expect("written");
    for stream in (1..100).step_by(2) {
        h2.get(stream, "/no.such.code").await;
    }
    // The pages have no window to go into: the edge gives them up, not the client.
    let mut given_up = 0;
    while given_up < 50 {
        match h2.frame().await {
            Some(frame) if frame.kind == RST_STREAM => given_up += 1,
            Some(frame) if frame.kind == GOAWAY => break,
            Some(_) => {}
            None => break,
        }
    }
    drop(h2);
    all_is_well(&edge, &certificates).await;
}
