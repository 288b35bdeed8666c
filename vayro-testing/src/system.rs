//! Whole systems made of the built executables, on either back-end set.

mod ready;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;
use crate::{port, wait};
use ready::{READY_LIMIT, ready_line};

/// How long a process may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// The account of a clustered system.
const EMAIL: &str = "owner@example.com";
const PASSWORD: &str = "correct horse battery staple";
/// One client sends all visits of a test, and each of them is to count.
const EVERY_VISIT_COUNTS: (&str, &str) = ("VAYRO_WORKER__REPEAT_WINDOW", "0s");

/// Names the file that servers of a system log into; without it they log where the tests do.
pub const LOG_FILE: &str = "VAYRO_TESTING_LOG_FILE";

/// The role a process of a clustered system plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `vayro-edge`.
    Edge,
    /// `vayro-api`.
    Api,
    /// `vayro-worker`.
    Worker,
    /// A second `vayro-worker` beside the first; not started with the others.
    Helper,
}

/// A running Vayro.
#[derive(Debug)]
pub struct System {
    /// Where short links are.
    pub edge_url: String,
    /// Where the API is.
    pub api_url: String,
    /// Where the edge's health and metrics are.
    pub admin_url: String,
    /// An API key with every scope.
    pub key: String,
    client: reqwest::Client,
    environment: Vec<(String, String)>,
    edge: Option<Process>,
    api: Option<Process>,
    worker: Option<Process>,
    helper: Option<Process>,
    dir: TempDir,
}

/// Returns an executable of this build.
///
/// # Panics
///
/// When it was not built.
pub fn executable(name: &str) -> PathBuf {
    let dir = std::env::var_os("VAYRO_BIN_DIR").map_or_else(
        || {
            let test = std::env::current_exe().expect("a test knows its executable");
            // target/debug/deps/it-… lies two folders below its siblings' folder.
            test.ancestors().nth(2).expect("tests lie in target/<profile>/deps").to_owned()
        },
        PathBuf::from,
    );
    let path = dir.join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

impl System {
    /// Starts everything in one process on the embedded set in a fresh folder.
    pub async fn embedded() -> Self {
        Self::up(&[]).await
    }

    /// Starts everything in one process with further arguments for `vayro up`.
    ///
    /// # Panics
    ///
    /// When it does not say that it is ready.
    pub async fn up(arguments: &[&str]) -> Self {
        Self::up_with(arguments, &[]).await
    }

    /// Starts everything in one process with further arguments for `vayro up` and further settings. There are
    /// no repeats unless a setting says otherwise.
    ///
    /// # Panics
    ///
    /// When it does not say that it is ready.
    pub async fn up_with(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::up_in(folder(), arguments, settings).await
    }

    /// Starts everything in one process that keeps its data in `dir`.
    ///
    /// # Panics
    ///
    /// When it does not say that it is ready.
    pub async fn up_in(dir: TempDir, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings = [EVERY_VISIT_COUNTS].iter().chain(settings);
        let mut system = Self::new(dir, settings.map(owned).collect());
        if let Some((_, listen)) = system.environment.iter().find(|(name, _)| name == "VAYRO_EDGE__LISTEN") {
            system.edge_url = format!("http://{listen}");
        }
        system.start_up(arguments).await;
        system
    }

    /// Starts `vayro up` in this system's folder, where an earlier one may have left its data, at the
    /// addresses it had before.
    ///
    /// # Panics
    ///
    /// When it does not say that it is ready.
    pub async fn start_up(&mut self, arguments: &[&str]) {
        assert!(self.start_up_with(arguments, &[]).await, "`vayro up` ended or did not get ready");
    }

    /// Starts `vayro up` again with further environment variables, and returns whether it got ready.
    ///
    /// # Panics
    ///
    /// When it is ready and does not say where.
    pub async fn start_up_with(&mut self, arguments: &[&str], variables: &[(&str, &str)]) -> bool {
        let mut command = self.server("vayro");
        let at = |url: &str| url.strip_prefix("http://").unwrap_or("127.0.0.1:0").to_owned();
        command
            .args(["up", "--edge", &at(&self.edge_url), "--api", &at(&self.api_url)])
            .args(["--admin", &at(&self.admin_url), "--data-dir"])
            .arg(self.dir.path().join("data"))
            .args(arguments)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped());
        let mut process = Process::start(&mut command);
        let Some(ready) = ready_line(&mut process).await else {
            self.edge = Some(process);
            return false;
        };
        let address = |name: &str| {
            let (_, rest) =
                ready.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in: {ready}"));
            // HTTP comes first.
            rest.split([' ', ',']).next().unwrap_or_default().to_owned()
        };
        self.edge_url = address("edge");
        self.api_url = address("api");
        self.admin_url = address("admin");
        self.edge = Some(process);
        self.key = self.profile_key();
        true
    }

    /// Starts one process per role on the clustered set.
    ///
    /// # Panics
    ///
    /// When a process does not become ready.
    pub async fn clustered(postgres: &str, redis: &str) -> Self {
        Self::clustered_with(postgres, redis, &[]).await
    }

    /// Starts one process per role on the clustered set with further settings, such as
    /// `("VAYRO_WORKER__BATCH_MAX", "10")`. There are no repeats unless one says otherwise.
    ///
    /// # Panics
    ///
    /// When a process does not become ready.
    pub async fn clustered_with(postgres: &str, redis: &str, settings: &[(&str, &str)]) -> Self {
        Self::clustered_in(folder(), postgres, redis, settings).await
    }

    /// Starts one process per role on the clustered set; the edge keeps its spool in `dir`.
    ///
    /// # Panics
    ///
    /// When a process does not become ready.
    pub async fn clustered_in(dir: TempDir, postgres: &str, redis: &str, settings: &[(&str, &str)]) -> Self {
        let (edge, api) = (port::free(), port::free());
        let mut environment: Vec<(String, String)> = [
            ("VAYRO_BACKEND__SET", "clustered".to_owned()),
            ("VAYRO_POSTGRES__URL", postgres.to_owned()),
            ("VAYRO_REDIS__URL", redis.to_owned()),
            ("VAYRO_INSTANCE__SHORT_URL", format!("http://127.0.0.1:{edge}")),
            ("VAYRO_INSTANCE__API_URL", format!("http://127.0.0.1:{api}")),
            ("VAYRO_EDGE__LISTEN", format!("127.0.0.1:{edge}")),
            ("VAYRO_EDGE__ADMIN", format!("127.0.0.1:{}", port::free())),
            ("VAYRO_API__LISTEN", format!("127.0.0.1:{api}")),
            ("VAYRO_API__ADMIN", format!("127.0.0.1:{}", port::free())),
            ("VAYRO_WORKER__ADMIN", format!("127.0.0.1:{}", port::free())),
            ("VAYRO_BACKEND__DATA_DIR", dir.path().join("data").display().to_string()),
            ("VAYRO_LOG__LEVEL", std::env::var("VAYRO_LOG__LEVEL").unwrap_or_else(|_| "warn".to_owned())),
            (EVERY_VISIT_COUNTS.0, EVERY_VISIT_COUNTS.1.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let admin_url = format!("http://{}", environment[6].1);
        let mut system = Self::new(dir, environment);
        system.edge_url = format!("http://127.0.0.1:{edge}");
        system.api_url = format!("http://127.0.0.1:{api}");
        system.admin_url = admin_url;
        assert_success(&system.vayro(&["migrate"]));
        assert_success(
            &system.vayro_with_input(&["user", "create", EMAIL, "--operator", "--direct"], PASSWORD),
        );
        for role in [Role::Api, Role::Edge, Role::Worker] {
            system.start(role).await;
        }
        assert_success(
            &system.vayro_with_input(&["login", "--api", &system.api_url, "--email", EMAIL], PASSWORD),
        );
        system.key = system.profile_key();
        system
    }

    fn new(dir: TempDir, environment: Vec<(String, String)>) -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .user_agent("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
            .build()
            .expect("a client can be made");
        Self {
            edge_url: String::new(),
            api_url: String::new(),
            admin_url: String::new(),
            key: String::new(),
            client,
            environment,
            edge: None,
            api: None,
            worker: None,
            helper: None,
            dir,
        }
    }

    /// Folder of this system's data.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, name: &str) -> Command {
        self.prepared(Command::new(executable(name)))
    }

    /// A process that goes on after [`Process::limit_files`] made a write of its fail, and that logs into the
    /// file [`LOG_FILE`] names, if any.
    fn server(&self, name: &str) -> Command {
        let mut command = Command::new("sh");
        let script =
            format!("trap '' XFSZ; [ -z \"${LOG_FILE}\" ] || exec 2>>\"${LOG_FILE}\"; exec \"$0\" \"$@\"");
        command.args(["-c", &script]).arg(executable(name));
        self.prepared(command)
    }

    fn prepared(&self, mut command: Command) -> Command {
        command
            .current_dir(self.dir.path())
            .env("XDG_CONFIG_HOME", self.config_home())
            .env("NO_COLOR", "1")
            .env_remove("VAYRO_API_KEY")
            .env_remove("VAYRO_API_URL")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn config_home(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    fn profile_key(&self) -> String {
        let path = self.config_home().join("vayro/config.toml");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let start = text.find("vayro_").expect("the profile holds a key");
        text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    }

    /// Starts the process of a role and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    pub async fn start(&mut self, role: Role) {
        assert!(self.start_with(role, &[]).await, "{role:?} ended or did not get ready");
    }

    /// Starts the process of a role with further environment variables, and returns whether it got ready.
    pub async fn start_with(&mut self, role: Role, variables: &[(&str, &str)]) -> bool {
        let name = match role {
            Role::Edge => "vayro-edge",
            Role::Api => "vayro-api",
            Role::Worker | Role::Helper => "vayro-worker",
        };
        let mut command = self.server(name);
        if role == Role::Helper {
            command.env("VAYRO_WORKER__ADMIN", format!("127.0.0.1:{}", port::free()));
        }
        command.envs(variables.iter().copied());
        let mut process = Process::start(command.stdout(Stdio::piped()));
        let is_ready = ready_line(&mut process).await.is_some();
        *self.slot(role) = Some(process);
        is_ready
    }

    fn slot(&mut self, role: Role) -> &mut Option<Process> {
        match role {
            Role::Edge => &mut self.edge,
            Role::Api => &mut self.api,
            Role::Worker => &mut self.worker,
            Role::Helper => &mut self.helper,
        }
    }

    /// Returns the process of a role; with `vayro up` everything is [`Role::Edge`].
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn process(&mut self, role: Role) -> &mut Process {
        self.slot(role).as_mut().expect("the process runs")
    }

    /// Tells whether the process of a role has ended by itself or was never started.
    pub fn has_ended(&mut self, role: Role) -> bool {
        self.slot(role).as_mut().is_none_or(Process::has_ended)
    }

    /// Waits until the process of a role has ended by itself.
    ///
    /// # Panics
    ///
    /// When it does not within `limit`, or reports a failure.
    pub async fn ended(&mut self, role: Role, limit: Duration) {
        let mut process = self.slot(role).take().expect("the process runs");
        wait::until("the end of a process", limit, async || process.has_ended().then_some(())).await;
        let status = process.child().wait().expect("our own child can be asked");
        assert!(status.success(), "{role:?} ended with {status}");
    }

    /// Ends a process at once.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn kill(&mut self, role: Role) {
        self.slot(role).take().expect("the process runs").kill();
    }

    /// Asks a process to stop and waits until it has.
    ///
    /// # Panics
    ///
    /// When it does not stop in time or reports a failure.
    pub fn stop(&mut self, role: Role) {
        let mut process = self.slot(role).take().expect("the process runs");
        let status = process.stop(Signal::SIGTERM, STOP_LIMIT);
        assert!(status.success(), "{role:?} ended with {status}");
    }

    /// Runs a `vayro` command.
    pub fn vayro(&self, arguments: &[&str]) -> Output {
        self.vayro_with_input(arguments, "")
    }

    /// Runs a `vayro` command with something on its standard input.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn vayro_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command("vayro");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("`vayro` can be started");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        // A command that reads nothing may be gone already.
        drop(stdin.write_all(input.as_bytes()));
        drop(stdin);
        child.wait_with_output().expect("`vayro` can be waited for")
    }

    /// Asks the API and returns status and body; an empty body is `null`.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub async fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let mut request =
            self.client.request(method, format!("{}{path}", self.api_url)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("the body arrives");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Creates a link and returns its JSON.
    ///
    /// # Panics
    ///
    /// When the API refuses.
    pub async fn create_link(&self, short_code: &str, target_url: &str) -> Value {
        let body = json!({ "short_code": short_code, "target_url": target_url });
        let (status, link) = self.api("POST", "/v1/links", Some(body)).await;
        assert_eq!(status, 201, "{link}");
        link
    }

    /// Visits a short link without following it; status and `Location`.
    ///
    /// # Panics
    ///
    /// When the edge does not answer.
    pub async fn visit(&self, short_code: &str) -> (u16, Option<String>) {
        let (status, headers) = self.ask_edge("GET", &format!("/{short_code}"), &[]).await;
        let location = headers.into_iter().find(|(name, _)| name == "location");
        (status, location.map(|(_, value)| value))
    }

    /// Asks the edge for anything; the status and the headers of the answer, which is not followed.
    ///
    /// # Panics
    ///
    /// When the edge does not answer.
    pub async fn ask_edge(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (u16, Vec<(String, String)>) {
        let url = format!("{}{path}", self.edge_url);
        let mut request = self.client.request(method.parse().expect("a method"), &url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        let text = |value: &reqwest::header::HeaderValue| value.to_str().expect("text").to_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
        (answer.status().as_u16(), headers.collect())
    }

    /// Returns a link's counted clicks as the API tells them.
    pub async fn clicks(&self, link_id: &str) -> i64 {
        let (status, body) = self.api("GET", &format!("/v1/analytics/{link_id}?interval=all"), None).await;
        if status == 200 { body["totals"]["clicks"].as_i64().unwrap_or(-1) } else { -1 }
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn assert_success(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr));
}

/// Waits until a file exists.
pub async fn file_exists(path: &Path) {
    wait::until(&path.display().to_string(), READY_LIMIT, async || path.exists().then_some(())).await;
}
