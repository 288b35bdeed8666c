//! On a real socket: starting, limits, stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vayro_api::{ApiSettings, serve_admin, serve_state};

use crate::app::TestApp;

/// Longest time anything here may take; reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(30);

struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    _app: TestApp,
}

async fn start(change: impl FnOnce(&mut ApiSettings)) -> Running {
    let app = TestApp::with(|_, settings| change(settings), None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let (stop, shutdown) = watch::channel(false);
    let task = tokio::spawn(serve_state(Arc::clone(&app.state), listener, shutdown));
    Running { address, stop, task, _app: app }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut text)).await.expect("ends in time").expect("reads");
    String::from_utf8_lossy(&text).into_owned()
}

pub(crate) async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("writes");
    read_all(&mut stream).await
}

const HEALTH: &str = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn requests_are_answered_until_told_to_stop() {
    let running = start(|_| {}).await;
    let answer = ask(running.address, HEALTH).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // A client that keeps its connection open and idle does not hold up the end.
    let _idle = TcpStream::connect(running.address).await.expect("connects");
    let answer = ask(running.address, HEALTH).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.stop.send_replace(true);
    tokio::time::timeout(LIMIT, running.task).await.expect("stops in time").expect("no panic");
    assert!(TcpStream::connect(running.address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_request_under_way_is_finished() {
    let running = start(|_| {}).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connects");
    let head = "POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("writes");
    // The server asks for the body once the handler has the request.
    let mut buffer = [0; 25];
    tokio::time::timeout(LIMIT, stream.read_exact(&mut buffer)).await.expect("in time").expect("reads");
    assert_eq!(&buffer, b"HTTP/1.1 100 Continue\r\n\r\n");
    running.stop.send_replace(true);
    stream.write_all(b"{}").await.expect("writes");
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
    tokio::time::timeout(LIMIT, running.task).await.expect("stops in time").expect("no panic");
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off() {
    let running = start(|settings| settings.drain_time_max = Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connects");
    let head = "POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("writes");
    let mut buffer = [0; 25];
    tokio::time::timeout(LIMIT, stream.read_exact(&mut buffer)).await.expect("in time").expect("reads");
    running.stop.send_replace(true);
    tokio::time::timeout(LIMIT, running.task).await.expect("stops in time").expect("no panic");
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let running = start(|settings| settings.head_time_max = Duration::from_millis(50)).await;
    let answer = ask(running.address, "GET /livez HTTP/1.1\r\nhost:").await;
    assert!(!answer.contains("200"), "{answer}");
}

#[tokio::test]
async fn connections_are_bounded_and_further_ones_wait() {
    let running = start(|settings| settings.connections_max = 1).await;
    let mut first = TcpStream::connect(running.address).await.expect("connects");
    let keep = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    first.write_all(keep.as_bytes()).await.expect("writes");
    let mut buffer = [0; 12];
    tokio::time::timeout(LIMIT, first.read_exact(&mut buffer)).await.expect("in time").expect("reads");
    assert_eq!(&buffer, b"HTTP/1.1 200");
    let second = tokio::spawn(ask(running.address, HEALTH));
    // The first one leaves, and only then is there room.
    drop(first);
    let answer = tokio::time::timeout(LIMIT, second).await.expect("in time").expect("no panic");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn the_admin_listener_has_health_and_metrics_and_nothing_else() {
    let app = TestApp::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let (stop, shutdown) = watch::channel(false);
    let task = tokio::spawn(serve_admin(Arc::clone(&app.state), listener, shutdown));
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let metrics = ask(address, &get("/metrics")).await;
    assert!(metrics.starts_with("HTTP/1.1 200") && metrics.contains("vayro_api_connections"), "{metrics}");
    assert!(ask(address, &get("/readyz")).await.starts_with("HTTP/1.1 200"));
    assert!(ask(address, &get("/v1/me")).await.starts_with("HTTP/1.1 404"));
    stop.send_replace(true);
    tokio::time::timeout(LIMIT, task).await.expect("stops in time").expect("no panic");
}
