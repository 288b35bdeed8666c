//! The API in memory on a fresh back-end set, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;
use vayro_api::{ApiSettings, ApiState, Clock, NewAccount, OutboxSignal, Ports, Random, SharedState};
use vayro_backends::config::{BackendConfig, Layers};
use vayro_backends::{Backends, Roles};
use vayro_core::access::Role;
use vayro_core::account::Plan;
use vayro_core::ids::{UserId, WorkspaceId};
use vayro_core::timestamp::Timestamp;
use vayro_testing::postgres::{self, TestDatabase};
use vayro_testing::redis::{self, TestRedis};

/// The password of every account that tests make.
pub(crate) const PASSWORD: &str = "correct horse";
/// Where the API thinks it is.
pub(crate) const API_URL: &str = "https://api.vay.test";

/// A clock that stands still until it is told to move.
#[derive(Clone)]
pub(crate) struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    fn new() -> Self {
        let start: Timestamp = "2026-05-10T12:00:00Z".parse().expect("valid");
        Self(Arc::new(AtomicI64::new(start.as_micros())))
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).expect("in range")
    }

    pub(crate) fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).expect("in range");
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

/// One instance of the API with its own database.
pub(crate) struct TestApp {
    pub(crate) router: Router,
    pub(crate) state: SharedState,
    pub(crate) backends: Backends,
    pub(crate) clock: ManualClock,
    _kept: Kept,
}

/// What has to live as long as the instance.
struct Kept {
    _dir: TempDir,
    _servers: Option<(TestDatabase, TestRedis)>,
}

/// Connects a fresh back-end set: the embedded one, or with `VAYRO_TEST_SET=clustered` the other.
async fn connect() -> (Backends, Kept) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut flags = vec![("backend.data_dir", dir.path().join("data").display().to_string())];
    let mut servers = None;
    if std::env::var("VAYRO_TEST_SET").is_ok_and(|set| set == "clustered") {
        let (postgres, redis) = (postgres::database().await, redis::database().await);
        flags.push(("backend.set", "clustered".to_owned()));
        flags.push(("postgres.url", postgres.url.clone()));
        flags.push(("postgres.connections", "4".to_owned()));
        flags.push(("redis.url", redis.url.clone()));
        servers = Some((postgres, redis));
    }
    let layers = Layers::load(None, std::iter::empty(), &flags).expect("loads");
    let mut errors = layers.errors();
    let config = BackendConfig::read(&layers, &mut errors);
    errors.finish().expect("no mistakes");
    let backends = Backends::connect(&config.expect("no mistakes"), Roles::ALL).await.expect("connects");
    backends.migrate().await.expect("migrates");
    (backends, Kept { _dir: dir, _servers: servers })
}

/// An account with a workspace of its own.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) email: String,
    pub(crate) user_id: UserId,
    pub(crate) workspace_id: WorkspaceId,
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        Self::with(|_, _| {}, None).await
    }

    /// Changes ports and settings before anything is built on them.
    pub(crate) async fn with(
        change: impl FnOnce(&mut Ports, &mut ApiSettings),
        signal: Option<OutboxSignal>,
    ) -> Self {
        let (backends, kept) = connect().await;
        let clock = ManualClock::new();
        let mut settings =
            ApiSettings::new("https://vay.test".parse().expect("valid"), API_URL.parse().expect("valid"));
        let mut ports = Ports::from(&backends);
        change(&mut ports, &mut settings);
        let host = settings.short_host().expect("a host");
        backends.domains.ensure_default(&host, clock.now()).await.expect("sets the default domain");
        let signal = signal.unwrap_or_else(|| OutboxSignal::from(&backends));
        let time = clock.clone();
        let state = Arc::new(ApiState::with_ports(
            ports,
            settings,
            signal,
            Clock::from_fn(move || time.now()),
            Random::from_seed(7),
        ));
        let router = vayro_api::router(Arc::clone(&state));
        Self { router, state, backends, clock, _kept: kept }
    }

    /// Makes an account; `name` becomes its address.
    pub(crate) async fn person(&self, name: &str) -> Person {
        self.account(name, false).await
    }

    /// Makes an operator of the instance.
    pub(crate) async fn operator(&self, name: &str) -> Person {
        self.account(name, true).await
    }

    async fn account(&self, name: &str, is_operator: bool) -> Person {
        let email = format!("{name}@example.com");
        let new = NewAccount {
            email: email.parse().expect("valid"),
            password: Some(PASSWORD.to_owned()),
            plan: Plan::Free,
            is_operator,
        };
        let context = vayro_api::system_context(&self.state);
        let created = vayro_api::create_user(&self.state, new, &context).await.expect("makes an account");
        // Lists are ordered by creation; a clock that stands still would leave that open.
        self.clock.advance(Duration::from_millis(1));
        Person { email, user_id: created.user.id, workspace_id: created.workspace.id }
    }

    /// Makes an account that has `role` in the workspace of `owner`.
    pub(crate) async fn member(&self, name: &str, owner: &Person, role: Role) -> Person {
        let person = self.person(name).await;
        let context = vayro_api::system_context(&self.state);
        self.backends
            .workspaces
            .set_member(owner.workspace_id, person.user_id, role, &context)
            .await
            .expect("adds a member");
        person
    }

    /// Signs in and returns a client with the session's cookie.
    pub(crate) async fn session(&self, person: &Person) -> Client<'_> {
        let body = json!({ "email": person.email, "password": PASSWORD });
        let answer = self.anonymous().post("/v1/login", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let cookie = answer.headers[header::SET_COOKIE].to_str().expect("text");
        let cookie = cookie.split(';').next().expect("a first part").to_owned();
        self.anonymous().with("cookie", &cookie).with("origin", API_URL)
    }

    /// Makes an API key with these scopes in the person's own workspace and returns a client with it.
    pub(crate) async fn key(&self, person: &Person, scopes: &[&str]) -> Client<'_> {
        let session = self.session(person).await;
        let body = json!({ "name": "test", "scopes": scopes });
        let answer = session.post("/v1/api-keys", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        self.with_key(answer.body["key"].as_str().expect("a key"))
    }

    /// Returns a client with this API key.
    pub(crate) fn with_key(&self, key: &str) -> Client<'_> {
        self.anonymous().with("authorization", &format!("Bearer {key}"))
    }

    /// Returns a client that proves nothing.
    pub(crate) fn anonymous(&self) -> Client<'_> {
        Client {
            router: &self.router,
            other: None,
            headers: Vec::new(),
            peer: "192.0.2.10:5000".parse().expect("valid"),
        }
    }
}

/// Somebody who asks.
#[derive(Clone)]
pub(crate) struct Client<'a> {
    router: &'a Router,
    other: Option<Router>,
    headers: Vec<(String, String)>,
    peer: SocketAddr,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Client<'_> {
    /// Sends this header with every request, instead of one of the same name.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Does not send this header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Asks another process.
    pub(crate) fn at(mut self, router: Router) -> Self {
        self.other = Some(router);
        self
    }

    /// Comes from this address.
    pub(crate) fn from(mut self, address: &str) -> Self {
        self.peer = SocketAddr::new(address.parse().expect("valid"), 5000);
        self
    }

    /// Returns its headers as they stand in a request.
    pub(crate) fn head(&self) -> String {
        self.headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn post_nothing(&self, path: &str) -> Answer {
        self.send(Method::POST, path, None).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        match body {
            Some(body) => {
                let client = self.clone().with("content-type", "application/json");
                client.send_raw(method, path, Body::from(body.to_string())).await
            }
            None => self.send_raw(method, path, Body::empty()).await,
        }
    }

    pub(crate) async fn send_raw(&self, method: Method, path: &str, body: Body) -> Answer {
        let (parts, body) = self.open(method, path, body).await.into_parts();
        let is_json = |kind: &http::HeaderValue| kind.as_bytes().ends_with(b"json");
        let is_other = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| !is_json(kind));
        if is_other && parts.status.is_success() {
            // A file or a feed, which may have no end; who wants to read it opens it.
            return Answer { status: parts.status, headers: parts.headers, body: Value::Null };
        }
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).expect("every other body is JSON")
        };
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends a request and returns its answer before the body is read.
    pub(crate) async fn open(&self, method: Method, path: &str, body: Body) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut request = request.body(body).expect("a request");
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let router = self.other.as_ref().unwrap_or(self.router);
        let Ok(response) = router.clone().oneshot(request).await;
        response
    }

    /// Makes a link and returns it.
    pub(crate) async fn make_link(&self, body: Value) -> Value {
        let answer = self.post("/v1/links", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body
    }
}

impl Answer {
    /// Expects this status and returns the body.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// Expects a problem document with this code and returns it.
    #[track_caller]
    pub(crate) fn problem(self, code: &str) -> Value {
        assert_eq!(self.body["code"], code, "{} {}", self.status, self.body);
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(self.body["type"], format!("/v1/problems#{code}"));
        assert_eq!(
            self.body["request_id"].as_str(),
            self.headers["x-request-id"].to_str().ok(),
            "the id is the same in body and header"
        );
        self.body
    }

    /// Expects a problem with this code and exactly these pointers, parameters or headers at fault.
    #[track_caller]
    pub(crate) fn problem_at(self, code: &str, names: &[&str]) {
        let body = self.problem(code);
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let name = |error: &Value| {
            ["pointer", "parameter", "header"].iter().find_map(|kind| error[kind].as_str().map(str::to_owned))
        };
        let found: Vec<String> = errors.iter().filter_map(name).collect();
        assert_eq!(found, names, "{body}");
    }
}

/// Returns the values of one member over the items of a list.
pub(crate) fn column(list: &Value, member: &str) -> Vec<String> {
    let items = list["items"].as_array().expect("a list");
    items.iter().map(|item| item[member].as_str().unwrap_or_default().to_owned()).collect()
}
