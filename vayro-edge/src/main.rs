//! The `vayro-edge` executable.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Clicks are made on one thread and freed on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Answers short links with redirects and counts the clicks.
#[derive(Debug, Parser)]
#[command(name = "vayro-edge", version)]
struct Args {
    /// File with settings; variables named `VAYRO_EDGE__…` win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    vayro_edge::process::run(args.config.as_deref())
}
