//! The `vayro-worker` executable.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Batches are made on one thread and freed on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes clicks out of the stream into the database
#[derive(Debug, Parser)]
#[command(name = "vayro-worker", version)]
struct Args {
    /// File with settings; variables such as `VAYRO_WORKER__WRITERS` win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    vayro_worker::process::run(args.config.as_deref())
}
