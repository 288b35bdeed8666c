//! A real server for a test: `vayro up` on the embedded set in a temporary folder.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use regex::Regex;
use tempfile::TempDir;

use super::run::{Home, Run};

/// How long a start or a stop may take; debug builds on small machines are slow.
const LIMIT: Duration = Duration::from_secs(60);
/// A browser, so that its visits are a person's.
pub(crate) const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

/// A running server and the home of its owner.
pub(crate) struct Server {
    dir: TempDir,
    child: Option<Child>,
    pub(crate) edge: String,
    pub(crate) api: String,
    pub(crate) admin: String,
    /// What was said before the ready line.
    pub(crate) greeting: String,
    stdout: Option<thread::JoinHandle<String>>,
}

impl Server {
    /// Starts a server in a fresh folder.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server in a fresh folder with further arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self {
            dir,
            child: None,
            edge: String::new(),
            api: String::new(),
            admin: String::new(),
            greeting: String::new(),
            stdout: None,
        };
        server.up(arguments);
        server
    }

    /// Starts the server on what is in its folder.
    pub(crate) fn up(&mut self, arguments: &[&str]) {
        let mut command = self.command(arguments);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("`vayro up` starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        self.child = Some(child);
        self.greeting.clear();
        let ready = loop {
            let mut line = String::new();
            let len = stdout.read_line(&mut line).expect("stdout is UTF-8");
            assert!(len > 0, "`vayro up` ended before it was ready: {}", self.greeting);
            if line.starts_with("ready") {
                break line;
            }
            self.greeting.push_str(&line);
        };
        let address = |name: &str| {
            let (_, rest) =
                ready.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name}: {ready}"));
            rest.split_whitespace().next().unwrap_or_default().to_owned()
        };
        (self.edge, self.api, self.admin) = (address("edge"), address("api"), address("admin"));
        self.stdout = Some(thread::spawn(move || {
            let mut rest = String::new();
            stdout.read_to_string(&mut rest).expect("stdout is UTF-8");
            rest
        }));
    }

    /// Returns `vayro up` on free ports with further arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self
            .home()
            .with("VAYRO_LOG__LEVEL", "warn")
            .with("VAYRO_GEOIP__POLL", "100ms")
            .with("VAYRO_WORKER__REPEAT_WINDOW", "0s")
            .command();
        command
            .args(["up", "--edge", "127.0.0.1:0", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(arguments);
        command
    }

    /// The home of the owner, where the profile is.
    pub(crate) fn home(&self) -> Home<'_> {
        Home::new(self.dir.path())
    }

    pub(crate) fn vayro(&self, arguments: &[&str]) -> Run {
        self.home().vayro(arguments)
    }

    /// Runs a command that must succeed, and returns what it said on stdout.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let run = self.vayro(arguments);
        assert_eq!(run.status, 0, "{run}");
        run.stdout
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("vayro-data")
    }

    pub(crate) fn profile(&self) -> PathBuf {
        self.dir.path().join("config/vayro/config.toml")
    }

    /// Returns a line of the greeting by its name.
    pub(crate) fn greeted(&self, name: &str) -> String {
        let line = self.greeting.lines().find_map(|line| line.trim().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}: {}", self.greeting)).trim().to_owned()
    }

    /// Sends SIGTERM, waits for the end, and returns the status and what stdout had after the ready line.
    pub(crate) fn stop(&mut self) -> (ExitStatus, String) {
        let mut child = self.child.take().expect("it runs");
        terminate(&child);
        let status = wait(&mut child);
        (status, self.stdout.take().expect("it ran").join().expect("stdout is read"))
    }

    /// Visits a path of the edge and returns the head of the answer.
    pub(crate) fn visit(&self, path: &str, user_agent: &str) -> String {
        let host = self.edge.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).expect("the edge listens");
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {user_agent}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the edge reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the edge answers");
        answer
    }

    /// Asks the admin listener for a path; status and body.
    pub(crate) fn ask_admin(&self, path: &str) -> (u16, String) {
        ask(&format!("{}{path}", self.admin))
    }

    /// Returns what every role says about itself.
    pub(crate) fn readiness(&self) -> serde_json::Value {
        serde_json::from_str(&self.ask_admin("/readyz").1).expect("it is JSON")
    }

    /// Waits until a JSON answer of a command has `count` at `pointer`.
    pub(crate) fn wait_for(&self, arguments: &[&str], pointer: &str, count: i64) -> serde_json::Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let json: serde_json::Value = serde_json::from_str(&self.ok(arguments)).expect("it is JSON");
            if json.pointer(pointer).and_then(serde_json::Value::as_i64) == Some(count) {
                return json;
            }
            assert!(Instant::now() < deadline, "{pointer} never was {count}: {json:#}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Replaces what differs from run to run.
    pub(crate) fn redact(&self, run: &Run) -> String {
        let text = run.to_string().replace(&self.edge, "EDGE").replace(&self.api, "API");
        let patterns = [
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
            (r"vayro_[0-9A-Za-z]{8}_[0-9A-Za-z]{40}", "KEY"),
            (r"vayro_[0-9A-Za-z]{8}\b", "PREFIX"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        ];
        patterns.into_iter().fold(text, |text, (pattern, name)| {
            Regex::new(pattern).expect("a pattern").replace_all(&text, name).into_owned()
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            terminate(&child);
            wait(&mut child);
        }
    }
}

/// Asks a process to stop.
pub(crate) fn terminate(child: &Child) {
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("`kill` runs");
    assert!(told.success());
}

/// Waits for a process, and ends it if it takes too long.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().expect("it can be ended");
            panic!("it did not stop within {LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asks for an address; status and body.
pub(crate) fn ask(url: &str) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let answer = reqwest::get(url).await.expect("it answers");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    })
}
