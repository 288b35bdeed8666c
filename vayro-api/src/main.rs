//! The `vayro-api` executable.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Serves the API
#[derive(Debug, Parser)]
#[command(name = "vayro-api", version)]
struct Args {
    /// File with settings; variables such as `VAYRO_API__LISTEN` win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    vayro_api::process::run(args.config.as_deref())
}
