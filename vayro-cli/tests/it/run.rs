//! Running the executable and looking at all it says.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a run said and how it ended.
pub(crate) struct Run {
    arguments: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: i32,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ vayro {}", self.arguments)?;
        write!(f, "{}", self.stdout)?;
        if !self.stderr.is_empty() {
            write!(f, "--- stderr\n{}", self.stderr)?;
        }
        if self.status != 0 {
            write!(f, "--- status {}", self.status)?;
        }
        Ok(())
    }
}

/// A folder that stands for somebody's home, and the variables of their shell.
pub(crate) struct Home<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl<'a> Home<'a> {
    pub(crate) fn new(dir: &'a Path) -> Self {
        Self { dir, variables: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Returns the command with an environment that holds nothing of the machine's own.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vayro"));
        command
            .env_clear()
            .env("HOME", self.dir)
            .env("XDG_CONFIG_HOME", self.dir.join("config"))
            .env("TZ", "UTC")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir);
        command
    }

    pub(crate) fn vayro(&self, arguments: &[&str]) -> Run {
        self.vayro_with_input(arguments, "")
    }

    pub(crate) fn vayro_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("`vayro` starts");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        // A command that reads nothing may be gone already.
        drop(stdin.write_all(input.as_bytes()));
        drop(stdin);
        let output = child.wait_with_output().expect("`vayro` ends");
        Run {
            arguments: arguments.join(" "),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
            status: output.status.code().expect("it was not killed"),
        }
    }
}
