//! `vayro completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Print the completions of a shell
///
/// For bash: `vayro completions bash > ~/.local/share/bash-completion/completions/vayro`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell to print them for
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub fn run(ui: &mut Ui, _: &Context, args: &CompletionsArgs) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vayro", &mut script);
    ui.write_bytes(&script)
}
