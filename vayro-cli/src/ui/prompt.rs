//! Questions to the user.

use std::io::{self, BufRead as _, Read as _};
use std::sync::{Arc, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Ui;
use crate::error::CommandError;

/// Longest answer read, in bytes.
const ANSWER_LEN_MAX: u64 = 64 * 1024;

impl Ui {
    /// Asks a yes-or-no question; only `y` and `yes` are yes. `verb` names what `--yes` would do unasked.
    ///
    /// # Errors
    ///
    /// A usage error if nobody can be asked.
    pub async fn confirm(&mut self, question: &str, verb: &str) -> Result<bool, CommandError> {
        if self.manner.never_asks || !self.surroundings.is_in_terminal {
            return Err(CommandError::usage(format!("refusing to {verb} without being asked to confirm"))
                .hint("add `--yes` to confirm on the command line"));
        }
        self.say(&format!("{question} [y/N] "));
        let answer = self.read_answer().await?.unwrap_or_default();
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Asks for a line.
    ///
    /// # Errors
    ///
    /// A usage error if nobody can be asked; `instead` says how to pass it otherwise.
    pub async fn ask(&mut self, question: &str, instead: &str) -> Result<String, CommandError> {
        if self.manner.never_asks || !self.surroundings.is_in_terminal {
            let what = question.trim_end_matches([':', ' ']).to_lowercase();
            return Err(CommandError::usage(format!("{what} is missing")).hint(instead));
        }
        self.say(question);
        Ok(self.read_answer().await?.unwrap_or_default().trim().to_owned())
    }

    /// Reads a secret: from the terminal without echo after `prompt`, otherwise the first line of stdin.
    /// `None` if there is none.
    ///
    /// # Errors
    ///
    /// A usage error if stdin is a terminal and the user wants not to be asked.
    pub async fn read_secret(&mut self, prompt: &str) -> Result<Option<String>, CommandError> {
        if !self.surroundings.is_in_terminal {
            return self.read_answer().await;
        }
        if self.manner.never_asks {
            return Err(CommandError::usage("a secret is needed and asking is off")
                .hint("pipe it in on stdin, for example from a password manager"));
        }
        self.say(prompt);
        let echo = EchoOff::begin();
        let answer = self.read_answer().await;
        drop(echo);
        self.say("\n");
        answer
    }

    /// Reads one line without its end; `None` at the end of input.
    ///
    /// The read happens on its own thread, so that Ctrl-C is heard and the terminal is put right.
    async fn read_answer(&mut self) -> Result<Option<String>, CommandError> {
        let input = Arc::clone(&self.input);
        let read = tokio::task::spawn_blocking(move || {
            let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
            let mut line = String::new();
            (&mut *input).take(ANSWER_LEN_MAX).read_line(&mut line).map(|len| (len > 0).then_some(line))
        });
        let line = read.await.map_err(io::Error::other).flatten();
        let line = line.map_err(|error| CommandError::failed("cannot read stdin").caused_by(error))?;
        Ok(line.map(|line| line.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

/// Switches the terminal's echo off until it is dropped.
struct EchoOff(Option<Termios>);

impl EchoOff {
    fn begin() -> Self {
        let stdin = io::stdin();
        let Ok(before) = tcgetattr(&stdin) else { return Self(None) };
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        Self(tcsetattr(&stdin, OptionalActions::Flush, &silent).ok().map(|()| before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Nothing can be done if the terminal has gone away.
            tcsetattr(io::stdin(), OptionalActions::Now, before).ok();
        }
    }
}
