//! A child process that a test may stop, pause and kill, and that ends with the test.

use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running child; dropped, it is killed and waited for.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        Self { child }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives access to the pipes of the child.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Tells whether the process has ended.
    ///
    /// # Panics
    ///
    /// When it cannot be asked.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child can be asked").is_some()
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// When the process is gone already.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("process ids are small");
        kill(Pid::from_raw(id), signal)
            .unwrap_or_else(|error| panic!("{signal} cannot be sent to {id}: {error}"));
    }

    /// Freezes the process; it keeps its connections and answers nothing.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a frozen process go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Tells whether the process was frozen by a signal.
    pub fn is_frozen(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // The state follows the name, which is in brackets and may hold anything.
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    }

    /// Limits the length of every file that the process writes from now on; `None` lifts the limit. Beyond
    /// it a write takes a part of the bytes and then fails, if the process ignores SIGXFSZ.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let soft = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let output = Command::new("prlimit")
            .args(["--pid", &self.id().to_string(), &format!("--fsize={soft}:")])
            .output()
            .expect("prlimit of util-linux can be started");
        assert!(output.status.success(), "prlimit: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends the process at once, as a power cut would, and waits until it is gone.
    ///
    /// # Panics
    ///
    /// When it cannot be waited for.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Asks the process to stop with `signal` and waits for it.
    ///
    /// # Panics
    ///
    /// When it is still there after `limit`; it is killed then.
    pub fn stop(&mut self, signal: Signal, limit: Duration) -> ExitStatus {
        if let Some(status) = self.child.try_wait().expect("our own child can be asked") {
            return status;
        }
        self.signal(signal);
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be asked") {
                return status;
            }
            if started.elapsed() > limit {
                self.kill();
                panic!("the process did not stop within {limit:?} of {signal}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
