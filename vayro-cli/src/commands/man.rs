//! `vayro man`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};

use crate::cli::Cli;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, text};

/// Write a man page per command
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Directory to write them to, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Runs the command.
pub fn run(ui: &mut Ui, _: &Context, args: &ManArgs) -> Result<(), CommandError> {
    let dir = &args.dir;
    let failed =
        |error| CommandError::failed(format!("cannot write to `{}`", dir.display())).caused_by(error);
    fs::create_dir_all(dir).map_err(failed)?;
    let mut command = Cli::command();
    command.build();
    let count = write(&command, "vayro", dir).map_err(failed)?;
    ui.note(&format!("Wrote {} to {}", text::plural(count, "page"), dir.display()));
    Ok(())
}

/// Writes the page of a command and those of the commands below it; returns how many.
fn write(command: &clap::Command, name: &str, dir: &Path) -> std::io::Result<usize> {
    let mut page = Vec::new();
    // Man wants a whole name: `vayro-link-create(1)`.
    clap_mangen::Man::new(command.clone().name(name.to_owned()).display_name(name.to_owned()))
        .render(&mut page)?;
    fs::write(dir.join(format!("{name}.1")), page)?;
    let mut count = 1;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        count += write(below, &format!("{name}-{}", below.get_name()), dir)?;
    }
    Ok(count)
}
