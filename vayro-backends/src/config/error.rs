//! What is wrong with a configuration, all of it at once.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from, weakest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Compiled in.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A variable.
    Variable(String),
    /// A file named by a variable.
    VariableFile {
        /// The variable, with `_FILE`.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A flag, named by the setting it overrides.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::VariableFile { name, path } => write!(f, "{name} ({})", path.display()),
            Self::Flag(key) => write!(f, "flag for {key}"),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMistake {
    /// The dotted key, or the section when it is about more than one key; empty for a whole file.
    pub key: String,
    /// The value as given, redacted if secret; `None` if there is none to show.
    pub value: Option<String>,
    /// Where it was given.
    pub source: Source,
    /// What is wrong, in words.
    pub message: String,
}

impl fmt::Display for ConfigMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, self.key.is_empty()) {
            (_, true) => write!(f, "{}", self.message)?,
            (Some(value), false) => write!(f, "{} = {value}: {}", self.key, self.message)?,
            (None, false) => write!(f, "{}: {}", self.key, self.message)?,
        }
        write!(f, " (from {})", self.source)
    }
}

/// Everything wrong with a configuration; displays one mistake per line.
///
/// Made by [`super::Layers::errors`] and filled by reading the sections, so that mistakes found while
/// loading cannot be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    mistakes: Vec<ConfigMistake>,
}

impl ConfigErrors {
    pub(super) const fn new(mistakes: Vec<ConfigMistake>) -> Self {
        Self { mistakes }
    }

    /// Returns the mistakes, in the order they were found.
    pub fn mistakes(&self) -> &[ConfigMistake] {
        &self.mistakes
    }

    /// Adds a mistake; see [`super::Layers::reject`] for one about a known key.
    pub fn push(&mut self, mistake: ConfigMistake) {
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// Returns `Err` with everything that was found.
    ///
    /// # Errors
    ///
    /// `self`, unless it is empty.
    pub fn finish(self) -> Result<(), Self> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.mistakes.len();
        write!(f, "configuration has {count} mistake{}", if count == 1 { "" } else { "s" })?;
        for mistake in &self.mistakes {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
