//! HTTP/2, frame by frame.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::tls::Certificates;
use crate::world::{PATIENCE, TestEdge, World};

pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;

/// One frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct H2<S = TcpStream> {
    pub(crate) stream: TlsStream<S>,
}

/// Returns the bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![len[1], len[2], len[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Returns the header block of a request.
pub(crate) fn request(path: &str) -> Vec<u8> {
    // `:method: GET`, `:scheme: https`, then `:path` and `:authority` as literals.
    let mut block = vec![0x82, 0x87, 0x04, u8::try_from(path.len()).expect("short")];
    block.extend(path.as_bytes());
    block.extend([0x01, 6]);
    block.extend(b"vay.ro");
    block
}

impl H2 {
    pub(crate) async fn connect(edge: &TestEdge, certificates: &Certificates) -> Self {
        Self::over(certificates.connect(edge, "vay.ro", &[b"h2"]).await.expect("connects")).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> H2<S> {
    pub(crate) async fn over(stream: TlsStream<S>) -> Self {
        let mut h2 = Self { stream };
        h2.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
        h2.send(SETTINGS, 0, 0, &[]).await;
        h2
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.stream.write_all(&frame(kind, flags, stream, payload)).await.expect("written");
        self.stream.flush().await.expect("written");
    }

    pub(crate) async fn get(&mut self, stream: u32, path: &str) {
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &request(path)).await;
    }

    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        let reading = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; len];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some(Frame { kind: head[3], flags: head[4], stream, payload })
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("edge answers in time")
    }

    /// Returns every frame up to the answer to a ping, which comes behind all that was due before.
    pub(crate) async fn frames_until_pong(&mut self) -> Vec<Frame> {
        self.send(PING, 0, 0, b"12345678").await;
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await.expect("open");
            if frame.kind == PING && frame.flags & ACK != 0 {
                return frames;
            }
            frames.push(frame);
        }
    }
}

async fn start(certificates: &Certificates) -> TestEdge {
    let edge = TestEdge::start_with(World::new(), |settings| certificates.set(settings)).await;
    edge.world.put("launch", |_| {});
    edge
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_one_frame() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let mut h2 = H2::connect(&edge, &certificates).await;
    for stream in [1, 3, 5] {
        h2.get(stream, "/launch").await;
        // The first frame of the stream: nothing may follow it.
        let answer = loop {
            let frame = h2.frame().await.expect("open");
            if frame.stream == stream {
                break frame;
            }
        };
        assert_eq!((answer.kind, answer.flags & (END_STREAM | END_HEADERS)), (HEADERS, 5), "{answer:?}");
        let rest = h2.frames_until_pong().await;
        assert!(rest.iter().all(|frame| frame.stream != stream), "{rest:?}");
    }
    assert_eq!(edge.stop().await.clicks().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_announced() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let mut h2 = H2::connect(&edge, &certificates).await;
    let settings = loop {
        let frame = h2.frame().await.expect("open");
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            break frame;
        }
    };
    let value = |id: u16| {
        settings
            .payload
            .chunks(6)
            .find(|entry| entry[..2] == id.to_be_bytes())
            .map(|entry| u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]))
    };
    // SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_MAX_HEADER_LIST_SIZE.
    assert_eq!((value(3), value(6)), (Some(100), Some(16 << 10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_says_goodbye() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let mut h2 = H2::connect(&edge, &certificates).await;
    h2.get(1, "/launch").await;
    h2.frames_until_pong().await;
    edge.tell_to_stop();
    let mut has_said_goodbye = false;
    while let Some(frame) = h2.frame().await {
        has_said_goodbye |= frame.kind == GOAWAY;
        if frame.kind == PING && frame.flags & ACK == 0 {
            h2.send(PING, ACK, 0, &frame.payload).await;
        }
    }
    assert!(has_said_goodbye);
    assert_eq!(edge.ended().await.clicks().len(), 1);
}
