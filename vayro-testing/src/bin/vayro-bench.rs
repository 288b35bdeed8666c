//! Runs one benchmark; `scripts/bench` builds what it needs and starts it.

fn main() -> std::process::ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    match std::env::args().nth(1).as_deref() {
        Some("edge") => runtime.block_on(vayro_testing::bench::edge::run()),
        Some("pipeline") => runtime.block_on(vayro_testing::bench::pipeline::run()),
        _ => return std::process::ExitCode::from(2),
    }
    std::process::ExitCode::SUCCESS
}
