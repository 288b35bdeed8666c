//! Benchmarks that run both sides in one run; started by `scripts/bench`.
//!
//! Machines are noisy, so every figure is a ratio of two things measured in turn, and CPU time comes
//! from the kernel's own accounting of each process.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures are far below 2^52 and never negative"
)]

pub mod cpu;
pub mod edge;
pub mod metrics;
pub mod pipeline;
pub mod report;

/// The middle value; of two middle values the lower.
///
/// # Panics
///
/// When there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

/// Folder of the executables under test.
///
/// # Panics
///
/// When `VAYRO_BIN_DIR` is not set.
pub fn bin_dir() -> std::path::PathBuf {
    std::env::var_os("VAYRO_BIN_DIR").expect("VAYRO_BIN_DIR is set by scripts/bench").into()
}
