//! Runs chaos; `scripts/chaos` builds what it needs and starts it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use vayro_testing::chaos::{DISK_LEN, Options, Set, run};
use vayro_testing::disk::SmallDisk;

fn main() -> ExitCode {
    let Some(mut options) = read(std::env::args().skip(1)) else { return ExitCode::from(2) };
    // Before there are other threads: they see the disk because they come from this one.
    options.disk = SmallDisk::mount(DISK_LEN).ok();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let mut say = |line: &str| drop(writeln!(std::io::stdout(), "{line}"));
    let verdict = runtime.block_on(run(options, &mut say));
    if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        seed: rand::random::<u32>().into(),
        length: Duration::from_secs(60),
        set: Set::Clustered,
        has_failpoints: std::env::var_os("VAYRO_CHAOS_FAILPOINTS").is_some(),
        disk: None,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--seed" => options.seed = value.parse().ok()?,
            "--minutes" => {
                let minutes: f64 = value.parse().ok().filter(|minutes| (0.0..=10_000.0).contains(minutes))?;
                options.length = Duration::from_secs_f64(minutes * 60.0);
            }
            "--set" => {
                options.set = match value.as_str() {
                    "clustered" => Set::Clustered,
                    "embedded" => Set::Embedded,
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    Some(options)
}
