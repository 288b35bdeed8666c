//! Arms the point at which this process is to die or to stop.

use vayro_core::failpoint;

/// Names the point and how often it must be reached, such as `before_ack:3` or `before_ack:3:stop`.
const VARIABLE: &str = "VAYRO_FAILPOINT";

/// Arms what the environment says.
///
/// # Panics
///
/// When that is no failpoint: the test would prove nothing.
pub(crate) fn arm() {
    if let Ok(text) = std::env::var(VARIABLE) {
        failpoint::arm(&text).expect("VAYRO_FAILPOINT names a failpoint");
        tracing::warn!(failpoint = text, "this process dies or stops at failpoint {text}");
    }
}
