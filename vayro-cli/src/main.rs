//! The `vayro` executable.

use std::process::ExitCode;

/// Clicks are made on one thread and freed on another, which the system's allocator is slow at.
#[cfg(feature = "server")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(vayro_cli::run(std::env::args_os(), vayro_cli::environment::Environment::of_process()))
}
