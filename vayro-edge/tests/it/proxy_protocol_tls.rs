//! The PROXY header in front of TLS, and a real balancer.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use vayro_testing::{Process, port};

use crate::client::Client;
use crate::h2::{H2, HEADERS};
use crate::proxy_protocol::{ip, set, v1, v2};
use crate::tls::Certificates;
use crate::world::{PATIENCE, TestEdge, World, until};

/// A connection whose first bytes are a header, with as much of what follows in the same segment as there is; or the
/// first part of it alone.
struct Introduced {
    tcp: TcpStream,
    header: Vec<u8>,
    cut: usize,
}

impl AsyncWrite for Introduced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.cut > 0 {
            let sent = ready!(Pin::new(&mut this.tcp).poll_write(cx, &this.header[..this.cut]))?;
            this.header.drain(..sent);
            this.cut -= sent;
        }
        let all = [&this.header[..], bytes].concat();
        let sent = ready!(Pin::new(&mut this.tcp).poll_write(cx, &all))?;
        let of_header = sent.min(this.header.len());
        this.header.drain(..of_header);
        if sent == of_header && !bytes.is_empty() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(sent - of_header))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl AsyncRead for Introduced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

async fn start(certificates: &Certificates) -> TestEdge {
    let edge = TestEdge::start_with(World::new(), |settings| {
        set(settings);
        certificates.set(settings);
    })
    .await;
    edge.world.put("launch", |_| {});
    edge
}

/// Shakes hands behind `header`, whose first `cut` bytes go ahead.
async fn connect(
    certificates: &Certificates,
    edge: &TestEdge,
    (header, cut): (Vec<u8>, usize),
    alpn: &[u8],
) -> Option<TlsStream<Introduced>> {
    let tcp = TcpStream::connect(edge.https()).await.expect("edge listens");
    tcp.set_nodelay(true).expect("set");
    let name = ServerName::try_from("vay.ro").expect("valid");
    let connecting = certificates.connector(&[alpn]).connect(name, Introduced { tcp, header, cut });
    tokio::time::timeout(PATIENCE, connecting).await.expect("in time").ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_in_front_of_tls_names_the_visitor() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let mut visits = 0;
    for header in [v1("203.0.113.7"), v2("203.0.113.7")] {
        // With the whole ClientHello behind it in the same segment, cut at every byte, and alone.
        for cut in 0..=header.len() {
            let stream = connect(&certificates, &edge, (header.clone(), cut), b"http/1.1").await;
            let mut client = Client::over(stream.unwrap_or_else(|| panic!("no handshake, cut at {cut}")));
            assert_eq!(client.get("/launch").await.status(), 302);
            assert_eq!(client.get("/launch").await.status(), 302);
            visits += 2;
        }
        let stream = connect(&certificates, &edge, (header, 0), b"h2").await.expect("connects");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut h2 = H2::over(stream).await;
        h2.get(1, "/launch").await;
        while h2.frame().await.expect("open").kind != HEADERS {}
        visits += 1;
    }
    let clicks = edge.world.until_clicks(visits).await;
    assert_eq!(clicks.len(), visits);
    assert!(clicks.iter().all(|click| click.ip == Some(ip("203.0.113.7"))), "{clicks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_without_a_header_does_not_get_to_the_handshake() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    assert!(connect(&certificates, &edge, (Vec::new(), 0), b"h2").await.is_none());
    edge.until_metric("vayro_edge_proxy_headers_total{result=\"missing\"}", 1.0).await;
    for result in ["done", "failed", "timed_out"] {
        assert!(edge.metric(&format!("vayro_edge_tls_handshakes_total{{result=\"{result}\"}}")) < 0.5);
    }
}

/// HAProxy with a frontend for each way to say whose a connection is, to each port of the edge.
struct Balancer {
    _process: Process,
    _dir: TempDir,
    /// Plain and TLS, by version.
    ports: Vec<(u16, u16)>,
}

impl Balancer {
    async fn start(edge: &TestEdge) -> Self {
        let mut config =
            "global\n maxconn 100\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n \
                          timeout server 30s\n"
                .to_owned();
        let mut ports = Vec::new();
        for options in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,ssl,unique-id"]
        {
            let [plain, tls] = [edge.http(), edge.https()].map(|server| {
                let port = port::free();
                writeln!(
                    config,
                    "listen at_{port}\n bind 127.0.0.1:{port}\n unique-id-format %{{+X}}o%ci\n \
                     server edge {server} {options} check inter 100ms"
                )
                .expect("a string takes everything");
                port
            });
            ports.push((plain, tls));
        }
        let dir = TempDir::new().expect("a directory");
        let file = dir.path().join("haproxy.cfg");
        std::fs::write(&file, config).expect("written");
        let mut command = Command::new("haproxy");
        command.args(["-db", "-q", "-f"]).arg(&file).stderr(Stdio::inherit());
        let balancer = Self { _process: Process::start(&mut command), _dir: dir, ports };
        for (plain, tls) in &balancer.ports {
            for port in [*plain, *tls] {
                let waiting = async {
                    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    }
                };
                tokio::time::timeout(PATIENCE, waiting).await.expect("HAProxy listens");
            }
        }
        balancer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_says_whose_connections_it_brings() {
    const VISITOR: [u8; 4] = [127, 7, 7, 7];
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = TestEdge::start_with(World::new(), |settings| {
        set(settings);
        certificates.set(settings);
        settings.redirect_to_https = false;
    })
    .await;
    edge.world.put("launch", |_| {});
    let balancer = Balancer::start(&edge).await;
    let connect = async |port: u16| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((VISITOR, 0))).expect("all of 127.0.0.0/8 is this machine");
        socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.expect("HAProxy listens")
    };
    for (plain, tls) in &balancer.ports {
        let mut client = Client::over(connect(*plain).await);
        assert_eq!(client.get("/launch").await.status(), 302);
        assert_eq!(client.get("/launch").await.status(), 302);
        let name = ServerName::try_from("vay.ro").expect("valid");
        let stream =
            certificates.connector(&[b"h2"]).connect(name, connect(*tls).await).await.expect("connects");
        let mut h2 = H2::over(stream).await;
        h2.get(1, "/launch").await;
        while h2.frame().await.expect("open").kind != HEADERS {}
    }
    let clicks = edge.world.until_clicks(9).await;
    assert!(clicks.iter().all(|click| click.ip == Some(VISITOR.into())), "{clicks:?}");
    // Its health checks say that they are its own.
    until("health checks", || edge.metric("vayro_edge_proxy_headers_total{result=\"local\"}") > 5.5).await;
    for result in ["missing", "malformed", "too_long"] {
        assert!(
            edge.metric(&format!("vayro_edge_proxy_headers_total{{result=\"{result}\"}}")) < 0.5,
            "{result}"
        );
    }
}
