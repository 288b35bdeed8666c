//! The `vayro` command: every client command, and with feature `server` also `vayro up` and its kin.
//!
//! It keeps no state of its own apart from the profile file, and speaks to the API over HTTP except
//! where a command must work without one. Start reading at [`cli`], then at a command below
//! [`commands`]: one file per command, each a `run(ui, context, args)`. Output goes through
//! [`ui::Ui`] and nowhere else; failures are a [`error::CommandError`] with its exit status.

pub mod cli;
pub mod client;
pub mod commands;
pub mod context;
pub mod environment;
pub mod error;
pub mod new_file;
pub mod profile;
#[cfg(feature = "server")]
pub mod server;
pub mod ui;
pub mod when;

use std::ffi::OsString;

use clap::Parser as _;
use clap::error::ErrorKind as ClapErrorKind;

use cli::Cli;
use context::Context;
use environment::Environment;
use error::{CommandError, ErrorKind};
use ui::{Manner, Surroundings, Ui};

/// Runs the command line `args` and returns the exit status.
pub fn run(args: impl IntoIterator<Item = OsString>, environment: Environment) -> u8 {
    let surroundings = Surroundings::detect(environment.refuses_color());
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, surroundings),
    };
    let manner = Manner {
        is_json: cli.globals.json,
        is_quiet: cli.globals.quiet,
        never_asks: cli.globals.no_input,
        color: cli.globals.color,
    };
    let context = Context::new(cli.globals, environment);
    let mut ui = Ui::standard(surroundings, manner, context.now());
    let result = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(cli.command.run(&mut ui, &context));
            // A thread may still wait for a line on stdin; the process does not wait for it.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(CommandError::failed("cannot start any thread").caused_by(error)),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            ui.fail(&error);
            error.kind().exit_status()
        }
    }
}

/// Prints help, version or what is wrong with the command line.
fn refuse(error: &clap::Error, surroundings: Surroundings) -> u8 {
    let mut ui = Ui::standard(surroundings, Manner::default(), vayro_core::timestamp::Timestamp::EPOCH);
    let is_asked_for = matches!(error.kind(), ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion);
    let text = error.render();
    if is_asked_for {
        let text = if ui.is_colored() { text.ansi().to_string() } else { text.to_string() };
        return match ui.write(&text) {
            Ok(()) => 0,
            Err(error) => error.kind().exit_status(),
        };
    }
    ui.say_usage(&text.to_string());
    ErrorKind::Usage.exit_status()
}
