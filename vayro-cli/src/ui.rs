//! Everything the command says goes through [`Ui`]: data to stdout, the rest to stderr.
//!
//! On a terminal data is a table with relative times, piped it is tab-separated with RFC 3339, and
//! with `--json` it is one JSON document. Notes are left out with `--quiet`; errors never are.

pub mod bars;
pub mod progress;
pub mod prompt;
pub mod table;
pub mod text;

use std::io::{self, BufRead, IsTerminal as _, Write};
use std::sync::{Arc, Mutex};

use clap::ValueEnum;
use rustix::termios::tcgetwinsize;
use serde::Serialize;
use vayro_core::timestamp::Timestamp;

use crate::error::{CommandError, ErrorKind};
use table::Table;

/// Columns assumed where a terminal does not tell.
const COLUMNS_DEFAULT: u16 = 80;
/// Tables are never drawn narrower than this, whatever the terminal says.
const COLUMNS_MIN: u16 = 20;

/// When to use color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Also when piped.
    Always,
    /// Not at all.
    Never,
}

/// What a run of the command looks like from outside.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Whether stdin is a terminal.
    pub is_in_terminal: bool,
    /// Whether stdout is a terminal.
    pub is_out_terminal: bool,
    /// Whether stderr is a terminal.
    pub is_err_terminal: bool,
    /// Columns of that terminal.
    pub columns: u16,
    /// Whether the environment asks for no color: `NO_COLOR` or a dumb terminal.
    pub refuses_color: bool,
}

impl Surroundings {
    /// Looks at the standard streams of this process.
    pub fn detect(refuses_color: bool) -> Self {
        let stdout = io::stdout();
        let columns = tcgetwinsize(&stdout).map_or(COLUMNS_DEFAULT, |size| size.ws_col);
        Self {
            is_in_terminal: io::stdin().is_terminal(),
            is_out_terminal: stdout.is_terminal(),
            is_err_terminal: io::stderr().is_terminal(),
            columns: if columns == 0 { COLUMNS_DEFAULT } else { columns.max(COLUMNS_MIN) },
            refuses_color,
        }
    }

    fn has_color(self, choice: ColorChoice, is_terminal: bool) -> bool {
        match choice {
            ColorChoice::Auto => is_terminal && !self.refuses_color,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

/// How the user wants to be talked to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// One JSON document instead of tables.
    pub is_json: bool,
    /// No notes, no progress.
    pub is_quiet: bool,
    /// Never ask, fail instead.
    pub never_asks: bool,
    /// When to use color.
    pub color: ColorChoice,
}

/// The way out of every command, and the way in for answers.
pub struct Ui {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    input: Arc<Mutex<dyn BufRead + Send>>,
    surroundings: Surroundings,
    manner: Manner,
    now: Timestamp,
    /// Lines of the last [`Ui::redraw`], to be drawn over by the next.
    drawn: usize,
}

impl Ui {
    /// Makes a `Ui` on any streams; `now` is what relative times refer to.
    pub fn new(
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
        input: impl BufRead + Send + 'static,
        surroundings: Surroundings,
        manner: Manner,
        now: Timestamp,
    ) -> Self {
        Self {
            out: Box::new(out),
            err: Box::new(err),
            input: Arc::new(Mutex::new(input)),
            surroundings,
            manner,
            now,
            drawn: 0,
        }
    }

    /// Makes a `Ui` on the standard streams of this process.
    pub fn standard(surroundings: Surroundings, manner: Manner, now: Timestamp) -> Self {
        let stdin = io::BufReader::new(io::stdin());
        Self::new(io::stdout(), io::stderr(), stdin, surroundings, manner, now)
    }

    /// Tells whether the output is one JSON document.
    pub const fn is_json(&self) -> bool {
        self.manner.is_json
    }

    /// Tells whether a person reads stdout.
    pub const fn is_human(&self) -> bool {
        self.surroundings.is_out_terminal && !self.manner.is_json
    }

    /// Returns the columns of the terminal.
    pub const fn columns(&self) -> u16 {
        self.surroundings.columns
    }

    /// Sets the instant that relative times refer to.
    pub const fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Prints a value: as JSON if asked for, otherwise the table made of it.
    pub fn show<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        table: impl FnOnce(&T) -> Table,
    ) -> Result<(), CommandError> {
        if self.is_json() {
            return self.json(value);
        }
        let table = table(value);
        let text = self.render(&table);
        self.write(&text)
    }

    /// Prints a value as one indented JSON document.
    pub fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CommandError> {
        let text = serde_json::to_string_pretty(value).map_err(unprintable)?;
        self.write(&(text + "\n"))
    }

    /// Prints a value as one line of JSON.
    pub fn json_line<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CommandError> {
        let text = serde_json::to_string(value).map_err(unprintable)?;
        self.write(&(text + "\n"))
    }

    /// Draws a table the way stdout wants it.
    pub fn render(&self, table: &Table) -> String {
        if self.is_human() {
            let has_color = self.surroundings.has_color(self.manner.color, true);
            table.to_human(self.now, self.surroundings.columns, has_color)
        } else {
            table.to_plain()
        }
    }

    /// Prints a line of data.
    pub fn line(&mut self, line: &str) -> Result<(), CommandError> {
        self.write(&format!("{}\n", text::clean(line)))
    }

    /// Prints a line of columns that were made clean: tabs between them when piped, on a terminal spaces, cut
    /// to its width.
    pub fn line_of_columns(&mut self, columns: &[String]) -> Result<(), CommandError> {
        if !self.is_human() {
            return self.write(&format!("{}\n", columns.join("\t")));
        }
        let line = columns.join("  ");
        let line = text::truncate(&line, usize::from(self.columns())).into_owned();
        self.write(&format!("{line}\n"))
    }

    /// Prints text of our own making as it is.
    pub fn write(&mut self, text: &str) -> Result<(), CommandError> {
        self.drawn = 0;
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }

    /// Prints bytes as they are, for generated files such as completions.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        self.out.write_all(bytes)?;
        Ok(self.out.flush()?)
    }

    /// Prints text over what the last call printed; for a terminal only.
    pub fn redraw(&mut self, text: &str) -> Result<(), CommandError> {
        let mut frame = String::new();
        if self.drawn > 0 {
            frame = format!("\x1b[{}A\x1b[J", self.drawn);
        }
        frame.push_str(text);
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()?;
        self.drawn = text.lines().count();
        Ok(())
    }

    /// Makes text bold where stdout has color.
    pub fn bold(&self, text: &str) -> String {
        self.painted(text, "1")
    }

    /// Makes text dim where stdout has color.
    pub fn dim(&self, text: &str) -> String {
        self.painted(text, "2")
    }

    /// Colors a chart where stdout has color.
    pub fn accent(&self, text: &str) -> String {
        self.painted(text, "36")
    }

    fn painted(&self, text: &str, code: &str) -> String {
        if self.is_colored() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Says what happened, on stderr, unless quiet.
    pub fn note(&mut self, note: &str) {
        if !self.manner.is_quiet {
            self.say(&format!("{}\n", text::clean(note)));
        }
    }

    /// Tells whether stdout has color.
    pub fn is_colored(&self) -> bool {
        self.surroundings.has_color(self.manner.color, self.surroundings.is_out_terminal)
    }

    /// Says what is wrong with the command line, on stderr, in the parser's own words.
    pub fn say_usage(&mut self, usage: &str) {
        self.say(usage);
    }

    /// Suggests the next useful command to a person.
    pub fn suggest(&mut self, suggestion: &str) {
        if !self.manner.is_quiet && self.surroundings.is_err_terminal {
            let label = self.labeled("next:", "36");
            self.say(&format!("{label} {}\n", text::clean(suggestion)));
        }
    }

    /// Says that something deserves attention, with what to do about it.
    pub fn warn(&mut self, warning: &str) {
        let label = self.labeled("warning:", "33");
        self.say(&format!("{label} {}\n", text::clean(warning)));
    }

    /// Says how a command failed; silent for a broken pipe and an interruption.
    pub fn fail(&mut self, error: &CommandError) {
        match error.kind() {
            ErrorKind::BrokenPipe => return,
            ErrorKind::Interrupted => {
                // The shell echoes `^C` without a line break.
                if self.surroundings.is_err_terminal {
                    self.say("\n");
                }
                return self.hint(error);
            }
            _ => {}
        }
        let label = self.labeled("error:", "31");
        let mut said = format!("{label} {}\n", text::clean(&error.to_string()));
        for detail in error.details() {
            said = format!("{said}  {}\n", text::clean(&detail));
        }
        self.say(&said);
        if !error.hints().is_empty() {
            self.say("\n");
        }
        self.hint(error);
    }

    fn hint(&mut self, error: &CommandError) {
        for hint in error.hints() {
            let label = self.labeled("hint:", "36");
            self.say(&format!("{label} {}\n", text::clean(hint)));
        }
    }

    fn labeled(&self, label: &str, code: &str) -> String {
        if self.surroundings.has_color(self.manner.color, self.surroundings.is_err_terminal) {
            format!("\x1b[1;{code}m{label}\x1b[0m")
        } else {
            label.to_owned()
        }
    }

    /// Writes to stderr; nobody can be told if that fails.
    fn say(&mut self, text: &str) {
        drop(self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush()));
    }
}

fn unprintable(error: serde_json::Error) -> CommandError {
    CommandError::failed("the result cannot be written as JSON").caused_by(error)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
