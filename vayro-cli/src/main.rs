//! The `vayro` executable.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(vayro_cli::run(std::env::args_os(), vayro_cli::environment::Environment::of_process()))
}
