//! How a command fails: what is said, what is suggested, which status the process ends with.

use std::error::Error;
use std::fmt;
use std::io;

/// What kind of failure it was; decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// It did not work.
    Failed,
    /// The command line, or a value on it, makes no sense.
    Usage,
    /// What was named does not exist.
    NotFound,
    /// Nobody is signed in, or whoever is may not do that.
    NotAllowed,
    /// What was checked does not add up.
    Unbalanced,
    /// The configuration has mistakes.
    Config,
    /// Whoever read the output has gone; nothing is said about it.
    BrokenPipe,
    /// The user pressed Ctrl-C; nothing is said about it.
    Interrupted,
}

impl ErrorKind {
    /// Returns the exit status; a part of the public interface.
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NotAllowed => 4,
            Self::Unbalanced => 5,
            Self::Config => 64,
            Self::Interrupted => 130,
        }
    }
}

/// A failed command: one sentence, perhaps details, perhaps what to do about it.
#[derive(Debug)]
pub struct CommandError {
    kind: ErrorKind,
    message: String,
    details: Vec<String>,
    hints: Vec<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CommandError {
    /// Makes an error of `kind`; `message` has no full stop and no `error:` in front.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), details: Vec::new(), hints: Vec::new(), source: None }
    }

    /// Makes an error of kind [`ErrorKind::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// Makes an error of kind [`ErrorKind::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Makes an error of kind [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// Makes an error of kind [`ErrorKind::NotAllowed`].
    pub fn not_allowed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotAllowed, message)
    }

    /// Makes an error of kind [`ErrorKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Adds a line below the message.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// Adds something to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Keeps what caused it; its chain is printed below the message.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the kind.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the lines below the message: details first, then the chain of causes.
    pub fn details(&self) -> Vec<String> {
        let mut lines = self.details.clone();
        let mut said = self.message.clone();
        let mut cause = self.source.as_ref().map(|source| &**source as &dyn Error);
        while let Some(error) = cause {
            let text = error.to_string();
            // Many libraries repeat the cause in their own message.
            if !said.contains(&text) {
                lines.push(format!("caused by: {text}"));
                said = text;
            }
            cause = error.source();
        }
        lines
    }

    /// Returns what to try.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CommandError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}

impl From<io::Error> for CommandError {
    /// Turns a failed write to stdout; other uses of files say which file and use [`CommandError::failed`].
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::new(ErrorKind::BrokenPipe, "output closed")
        } else {
            Self::failed("cannot write the output").caused_by(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_are_the_documented_ones() {
        let kinds = [
            (ErrorKind::BrokenPipe, 0),
            (ErrorKind::Failed, 1),
            (ErrorKind::Usage, 2),
            (ErrorKind::NotFound, 3),
            (ErrorKind::NotAllowed, 4),
            (ErrorKind::Unbalanced, 5),
            (ErrorKind::Config, 64),
            (ErrorKind::Interrupted, 130),
        ];
        for (kind, status) in kinds {
            assert_eq!(kind.exit_status(), status, "{kind:?}");
        }
    }

    #[test]
    fn causes_that_repeat_the_message_are_left_out() {
        let error = CommandError::failed("cannot read: gone").caused_by(io::Error::other("gone"));
        assert_eq!(error.details(), Vec::<String>::new());
        let error = CommandError::failed("cannot read").caused_by(io::Error::other("gone"));
        assert_eq!(error.details(), ["caused by: gone"]);
    }
}
