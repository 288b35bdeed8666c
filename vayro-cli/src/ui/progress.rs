//! Progress on stderr, for a person alone.

use std::fmt;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::Ui;

/// A bar that draws on a terminal and does nothing elsewhere; erased when dropped.
pub struct Progress(ProgressBar);

impl Ui {
    /// Begins a bar of `total` steps; without a total it counts.
    pub fn progress(&self, label: &str, total: Option<u64>) -> Progress {
        if !self.surroundings.is_err_terminal || self.manner.is_quiet {
            return Progress(ProgressBar::hidden());
        }
        let template = match total {
            Some(_) => "{msg} {wide_bar} {human_pos}/{human_len} {rate:>9} eta {eta:>4}",
            None => "{msg} {spinner} {human_pos} {rate}",
        };
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar that cannot be drawn is no failure.
            write!(out, "{:.0}/s", state.per_sec()).ok();
        });
        Progress(bar.with_style(style.progress_chars("█▉▊▋▌▍▎▏ ")).with_message(label.to_owned()))
    }
}

impl Progress {
    /// Moves on by `steps`.
    pub fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }

    /// Sets the position.
    pub fn set(&self, position: u64) {
        self.0.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
