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

pub mod analytics;
pub mod clicks;
pub mod cpu;
pub mod edge;
pub mod freshness;
pub mod memory;
pub mod metrics;
pub mod pipeline;
pub mod plot;
pub mod report;
pub mod rows;

use vayro_core::timestamp::Timestamp;

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

/// The value below which a share of the values lies; 1.0 gives the greatest.
///
/// # Panics
///
/// When there are none.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}

/// Returns the present.
pub fn now() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}

/// Folder of the executables under test.
///
/// # Panics
///
/// When `VAYRO_BIN_DIR` is not set.
pub fn bin_dir() -> std::path::PathBuf {
    std::env::var_os("VAYRO_BIN_DIR").expect("VAYRO_BIN_DIR is set by scripts/bench").into()
}
