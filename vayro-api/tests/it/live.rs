//! Clicks as they are stored.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt as _;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use vayro_api::{ApiState, Clock, OutboxSignal, Ports, Random, serve_state};
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::ids::{ClickId, LinkId};
use vayro_core::timestamp::Timestamp;

use crate::analytics::{World, row, world};
use crate::app::{Client, Person, TestApp};

/// Longest time anything here may take; reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(30);

/// What a client of the feed hears, part by part.
struct Heard {
    body: BodyDataStream,
    text: String,
}

impl Heard {
    /// Begins to listen and waits until it is heard.
    async fn open(client: &Client<'_>, query: &str) -> Self {
        let response = client.open(Method::GET, &format!("/v1/live?{query}"), Body::empty()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut heard = Self { body: response.into_body().into_data_stream(), text: String::new() };
        assert_eq!(heard.part().await.as_deref(), Some(": listening"));
        heard
    }

    /// Returns the next part, without the empty line behind it; `None` at the end.
    async fn part(&mut self) -> Option<String> {
        let reading = async {
            loop {
                if let Some((part, rest)) = self.text.split_once("\n\n") {
                    let part = part.to_owned();
                    rest.to_owned().clone_into(&mut self.text);
                    return Some(part);
                }
                let chunk = self.body.next().await?.expect("a chunk");
                self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
            }
        };
        tokio::time::timeout(LIMIT, reading).await.expect("something is heard in time")
    }

    /// Returns the next click.
    async fn click(&mut self) -> Value {
        let part = self.part().await.expect("a click");
        assert!(part.contains("event: click\n"), "{part}");
        let line = |name: &str| part.lines().find_map(|line| line.strip_prefix(name)).expect(name).to_owned();
        let click: Value = serde_json::from_str(&line("data: ")).expect("JSON");
        assert_eq!(click["id"], line("id: "), "{part}");
        click
    }
}

struct Stage<'a> {
    app: &'a TestApp,
    ada: Person,
    client: Client<'a>,
    first: LinkId,
    second: LinkId,
}

async fn stage(app: &TestApp) -> Stage<'_> {
    let ada = app.person("ada").await;
    let World { client, first, second } = world(app, &ada).await;
    Stage { app, ada, client, first, second }
}

impl Stage<'_> {
    /// Stores a click that happened so long ago and returns its id.
    async fn click(&self, link_id: LinkId, number: usize, ago: Duration, class: ClickClass) -> String {
        let at = self.app.clock.now().minus(ago);
        let sample = row(&self.ada, number, link_id, &at.to_string(), "DE", "Firefox", 1, class);
        let id = ClickId::from_parts(at, [u8::try_from(number).expect("small"); 10]);
        let row = ClickRow { id, timestamp: id.timestamp().expect("a time"), ..sample };
        self.app.backends.click_rows.write(&[row]).await.expect("writes");
        id.to_string()
    }

    async fn visit(&self, number: usize) -> String {
        self.click(self.first, number, Duration::ZERO, ClickClass::Counted).await
    }
}

#[tokio::test]
async fn clicks_are_heard_as_they_are_stored_late_ones_too() {
    let app = TestApp::new().await;
    let stage = stage(&app).await;
    let mut heard = Heard::open(&stage.client, "").await;
    let newer = stage.visit(100).await;
    let click = heard.click().await;
    assert_eq!(click["id"], newer);
    assert_eq!(click["short_url"], "https://vay.test/first");
    assert_eq!(click.get("visitor_id"), None);
    // Happened before the other one, and is committed after it.
    let late = stage.click(stage.second, 101, Duration::from_secs(20), ClickClass::Bot).await;
    assert_eq!(heard.click().await["id"], late);
    let last = stage.visit(102).await;
    assert_eq!(heard.click().await["id"], last, "none comes twice");
}

#[tokio::test]
async fn listeners_choose_links_and_classes() {
    let app = TestApp::new().await;
    let stage = stage(&app).await;
    let query = format!("link_id={}&classes=counted", stage.first);
    let mut heard = Heard::open(&stage.client, &query).await;
    stage.click(stage.second, 100, Duration::ZERO, ClickClass::Counted).await;
    stage.click(stage.first, 101, Duration::ZERO, ClickClass::Bot).await;
    let wanted = stage.visit(102).await;
    assert_eq!(heard.click().await["id"], wanted);

    let stranger = app.person("bob").await;
    let stranger = app.key(&stranger, &["analytics:read"]).await;
    stranger.get(&format!("/v1/live?link_id={}", stage.first)).await.problem("not_found");
    stage.client.get("/v1/live?classes=human").await.problem_at("invalid_query", &["classes"]);
    let lost = stage.client.clone().with("last-event-id", "nonsense");
    lost.get("/v1/live").await.problem_at("invalid_header", &["last-event-id"]);
}

#[tokio::test]
async fn whoever_comes_again_misses_nothing() {
    let app = TestApp::new().await;
    let stage = stage(&app).await;
    let mut heard = Heard::open(&stage.client, "").await;
    let first = stage.visit(100).await;
    assert_eq!(heard.click().await["id"], first);
    drop(heard);
    let missed = [stage.visit(101).await, stage.visit(102).await];
    let again = stage.client.clone().with("last-event-id", &first);
    let mut heard = Heard::open(&again, "").await;
    for id in &missed {
        assert_eq!(heard.click().await["id"], *id);
    }
    let next = stage.visit(103).await;
    assert_eq!(heard.click().await["id"], next);
}

#[tokio::test]
async fn whoever_comes_to_another_process_misses_nothing_either() {
    let app = TestApp::new().await;
    let stage = stage(&app).await;
    let first = stage.visit(100).await;
    let missed = [stage.visit(101).await, stage.visit(102).await];
    // A process that has heard of none of them, on the same database.
    let time = app.clock.clone();
    let other = ApiState::with_ports(
        Ports::from(&app.backends),
        app.state.settings.clone(),
        OutboxSignal::from(&app.backends),
        Clock::from_fn(move || time.now()),
        Random::from_seed(8),
    );
    let again = stage.client.clone().with("last-event-id", &first).at(vayro_api::router(Arc::new(other)));
    let mut heard = Heard::open(&again, "").await;
    for id in &missed {
        assert_eq!(heard.click().await["id"], *id);
    }
    let next = stage.visit(103).await;
    assert_eq!(heard.click().await["id"], next, "once, although the feed finds some again");
}

#[tokio::test]
async fn whoever_was_away_too_long_is_told() {
    let app = TestApp::new().await;
    let stage = stage(&app).await;
    let long_ago = app.clock.now().minus(Duration::from_mins(11));
    let last = ClickId::from_parts(long_ago, [1; 10]).to_string();
    let again = stage.client.clone().with("last-event-id", &last);
    let mut heard = Heard::open(&again, "").await;
    let gap = heard.part().await.expect("a part");
    assert!(gap.starts_with("event: gap\ndata: {\"since\":\"2026-05-10T11:48:30"), "{gap}");
    let next = stage.visit(100).await;
    assert_eq!(heard.click().await["id"], next);
}

#[tokio::test]
async fn listeners_at_one_time_are_bounded() {
    let app = TestApp::new().await;
    let stage = stage(&app).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(Heard::open(&stage.client, "").await);
    }
    let refused = stage.client.get("/v1/live").await;
    assert_eq!(refused.headers["retry-after"], "10");
    refused.problem("rate_limited");
    all.pop();
    all.push(Heard::open(&stage.client, "").await);
}

#[tokio::test]
async fn listening_ends_when_the_process_does() {
    let app = TestApp::new().await;
    let stage = stage(&app).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let (stop, shutdown) = watch::channel(false);
    let serving = tokio::spawn(serve_state(Arc::clone(&app.state), listener, shutdown));
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let head = format!("GET /v1/live HTTP/1.1\r\nhost: x\r\n{}\r\n", stage.client.head());
    stream.write_all(head.as_bytes()).await.expect("writes");
    let mut text = String::new();
    while !text.contains(": listening") {
        text.push_str(&read(&mut stream).await);
    }
    let began: Timestamp = now();
    stop.send_replace(true);
    loop {
        let part = read(&mut stream).await;
        text.push_str(&part);
        if part.is_empty() || text.ends_with("0\r\n\r\n") {
            break;
        }
    }
    assert!(text.ends_with("0\r\n\r\n"), "it ends properly: {text}");
    tokio::time::timeout(LIMIT, serving).await.expect("stops in time").expect("no panic");
    assert!(now().since(began) < Duration::from_secs(8), "nobody waited for the listener");
}

fn now() -> Timestamp {
    vayro_backends::clock::now()
}

async fn read(stream: &mut TcpStream) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut buffer = [0; 4096];
    let len = tokio::time::timeout(LIMIT, stream.read(&mut buffer)).await.expect("in time").expect("reads");
    String::from_utf8_lossy(&buffer[..len]).into_owned()
}
