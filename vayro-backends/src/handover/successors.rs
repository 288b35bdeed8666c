//! Starts successors when asked to, until one has taken over.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::lines::{LINE_TIMEOUT, hear, say};
use super::{COUNT_VARIABLE, NAMES_VARIABLE, SOCKET_VARIABLE};

/// How long a successor may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// First descriptor of what is handed over, as `sd_listen_fds(3)` has it.
const FIRST_DESCRIPTOR: i32 = 3;
/// Mode of the socket: whoever may ask for an upgrade may end the process as well.
const SOCKET_MODE: u32 = 0o600;
/// Pause after a connection could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The process that a container or a machine ends with.
const INIT: u32 = 1;

/// What is needed to start a successor and to be asked for one.
#[derive(Debug)]
pub struct Successors {
    listener: UnixListener,
    path: PathBuf,
    executable: PathBuf,
    arguments: Vec<OsString>,
    sockets: Vec<(String, TcpListener)>,
}

/// A successor that is not ready yet.
struct Starting {
    child: Child,
    /// Who asked for it.
    asker: UnixStream,
    deadline: Instant,
    /// What it says is wrong.
    failure: Option<String>,
}

impl Successors {
    /// Listens at `path`, in place of a process that did so before, and hands over `sockets` under their names, which
    /// must not contain commas. Until [`Successors::serve`] ends the sockets stay open, whoever else closes them.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made or our own executable cannot be found.
    pub fn listen(path: PathBuf, sockets: Vec<(String, TcpListener)>) -> io::Result<Self> {
        let own = path.with_extension(format!("{}.sock", std::process::id()));
        let listener = UnixListener::bind(&own)?;
        // Renamed with its mode set, so that nobody else can ever connect and the predecessor's place is taken at once.
        std::fs::set_permissions(&own, Permissions::from_mode(SOCKET_MODE))?;
        std::fs::rename(&own, &path)?;
        let mut arguments = std::env::args_os();
        let called = arguments.next().unwrap_or_default();
        let executable = executable(Path::new(&called))?;
        Ok(Self { listener, path, executable, arguments: arguments.collect(), sockets })
    }

    /// Starts a successor whenever somebody asks for one, `prepare` coming first, and returns the id of the one that
    /// has taken over; `None` when `shutdown` turns true before.
    pub async fn serve(self, mut shutdown: watch::Receiver<bool>, prepare: impl AsyncFn()) -> Option<u32> {
        let mut starting: Option<Starting> = None;
        loop {
            let deadline = starting.as_ref().map(|starting| starting.deadline);
            tokio::select! {
                _ = shutdown.wait_for(|is_told| *is_told) => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        if let Some(id) = self.answer(stream, &mut starting, &prepare).await {
                            return Some(id);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(error = %error, "cannot be asked for an upgrade: {error}");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                status = ended(starting.as_mut()) => {
                    if let Some(starting) = starting.take() {
                        let why = match (&starting.failure, status) {
                            (Some(why), _) => why.clone(),
                            (None, Ok(status)) => format!("the new process ended before it was ready: {status}"),
                            (None, Err(error)) => format!("the new process cannot be watched: {error}"),
                        };
                        starting.failed(&why).await;
                    }
                }
                () = too_late(deadline) => {
                    if let Some(mut starting) = starting.take() {
                        // It may have ended just now.
                        drop(starting.child.kill().await);
                        starting.failed(&format!("the new process was not ready within {} s", READY_TIMEOUT.as_secs())).await;
                    }
                }
            }
        }
        if let Some(mut starting) = starting {
            drop(starting.child.kill().await);
            starting.failed("the edge was told to stop").await;
        }
        // Nobody else listens there: a successor that took over ends this loop above.
        drop(std::fs::remove_file(&self.path));
        None
    }

    /// Hears what somebody has to say, and returns the id of a successor that is ready.
    async fn answer(
        &self,
        mut stream: UnixStream,
        starting: &mut Option<Starting>,
        prepare: &impl AsyncFn(),
    ) -> Option<u32> {
        let line = hear(&mut stream, Some(LINE_TIMEOUT)).await.ok()?;
        let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let is_successor =
            |starting: &Starting| starting.child.id().is_some_and(|id| i32::try_from(id).ok() == peer);
        match (line.as_str(), starting.as_mut().filter(|starting| is_successor(starting))) {
            ("ready", Some(_)) => {
                let mut starting = starting.take()?;
                let id = starting.child.id()?;
                // Whoever does not wait for the answer does not need it.
                drop(say(&mut stream, "ok").await);
                drop(say(&mut starting.asker, &format!("done {id}")).await);
                tracing::info!(successor = id, "handed over");
                return Some(id);
            }
            ("upgrade", None) => {
                prepare().await;
                match self.start(starting.is_some()) {
                    Ok(child) => {
                        tracing::info!(successor = child.id(), "a successor starts");
                        let deadline = Instant::now() + READY_TIMEOUT;
                        *starting = Some(Starting { child, asker: stream, deadline, failure: None });
                    }
                    Err(why) => {
                        tracing::warn!("no successor: {why}");
                        drop(say(&mut stream, &format!("failed {why}")).await);
                    }
                }
            }
            (line, successor) => {
                if let (Some(why), Some(successor)) = (line.strip_prefix("failed "), successor) {
                    successor.failure = Some(why.to_owned());
                }
                drop(say(&mut stream, "ok").await);
            }
        }
        None
    }

    fn start(&self, is_starting: bool) -> Result<Child, String> {
        if is_starting {
            return Err("an upgrade is under way".to_owned());
        }
        if std::process::id() == INIT {
            return Err(
                "the first process of a container cannot hand over: start another container".to_owned()
            );
        }
        let mut mappings = Vec::new();
        let mut names = Vec::new();
        for (child_fd, (name, socket)) in (FIRST_DESCRIPTOR..).zip(&self.sockets) {
            let parent_fd: OwnedFd = socket.try_clone().map_err(|error| error.to_string())?.into();
            mappings.push(FdMapping { parent_fd, child_fd });
            names.push(name.as_str());
        }
        let mut command = Command::new(&self.executable);
        command
            .args(&self.arguments)
            .env(SOCKET_VARIABLE, &self.path)
            .env(NAMES_VARIABLE, names.join(","))
            .env(COUNT_VARIABLE, names.len().to_string())
            .env_remove("LISTEN_PID");
        command.fd_mappings(mappings).map_err(|error| error.to_string())?;
        command.spawn().map_err(|error| format!("`{}` cannot be started: {error}", self.executable.display()))
    }
}

impl Starting {
    async fn failed(mut self, why: &str) {
        tracing::warn!("no successor: {why}");
        // Whoever asked may have left.
        drop(say(&mut self.asker, &format!("failed {why}")).await);
    }
}

/// Waits for the end of a process that starts.
async fn ended(starting: Option<&mut Starting>) -> io::Result<ExitStatus> {
    match starting {
        Some(starting) => starting.child.wait().await,
        None => std::future::pending().await,
    }
}

/// Waits until a process that starts has had its time.
async fn too_late(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Returns the path that this process was `called` by, which leads to what is installed now, even where that is
/// another file than the one that runs or a link to it.
fn executable(called: &Path) -> io::Result<PathBuf> {
    if called.components().count() > 1 {
        return std::path::absolute(called);
    }
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search).map(|dir| dir.join(called)).find(|path| path.is_file());
    found.map_or_else(std::env::current_exe, Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_the_one_that_lies_there_now() {
        assert_eq!(
            executable(Path::new("/opt/vayro/current/vayro-edge")).expect("a path"),
            Path::new("/opt/vayro/current/vayro-edge")
        );
        let here = std::env::current_dir().expect("a directory");
        assert_eq!(executable(Path::new("./vayro-edge")).expect("a path"), here.join("vayro-edge"));
        let found = executable(Path::new("sh")).expect("a path");
        assert!(found.ends_with("sh") && found.is_file(), "{}", found.display());
        let own = std::env::current_exe().expect("a path");
        assert_eq!(executable(Path::new("no-such-program")).expect("a path"), own);
    }
}
