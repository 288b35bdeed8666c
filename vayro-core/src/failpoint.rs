//! Named points at which a process can be made to die, for tests of what survives it.
//!
//! Without the feature `failpoints`, which no release is built with, [`hit`] is empty and [`ENABLED`] is
//! false, so nothing of this is left in the code. With it a process arms one point for itself, and dies
//! there as if it was killed: without unwinding, flushing or saying goodbye.

/// After a batch was read and before anything is done with it.
pub const AFTER_READ: &str = "after_read";
/// When half of the rows of a batch are on their way to the database.
pub const MID_COPY: &str = "mid_copy";
/// When everything is written and not committed.
pub const BEFORE_COMMIT: &str = "before_commit";
/// When the database has committed and nobody has heard of it yet.
pub const AFTER_COMMIT: &str = "after_commit";
/// When a batch is stored, before it is acknowledged.
pub const BEFORE_ACK: &str = "before_ack";
/// After a batch was acknowledged.
pub const AFTER_ACK: &str = "after_ack";
/// In the middle of putting clicks aside.
pub const MID_DEAD_LETTER: &str = "mid_dead_letter";
/// In the middle of trimming the stream.
pub const MID_TRIM: &str = "mid_trim";

/// Every point.
pub const ALL: [&str; 8] =
    [AFTER_READ, MID_COPY, BEFORE_COMMIT, AFTER_COMMIT, BEFORE_ACK, AFTER_ACK, MID_DEAD_LETTER, MID_TRIM];

/// Whether failpoints are compiled in.
pub const ENABLED: bool = cfg!(feature = "failpoints");

/// Says that the process is at this point; returns unless it was armed.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub const fn hit(_: &'static str) {}

#[cfg(feature = "failpoints")]
pub use armed::{ArmError, arm, hit};

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// The point that was armed, and how often it must be reached.
    static ARMED: OnceLock<(&'static str, AtomicI64)> = OnceLock::new();

    /// The text is not a point such as `before_ack:3`.
    #[derive(Debug, thiserror::Error, PartialEq, Eq)]
    #[error("`{0}` is not one of {all} with a colon and a count", all = super::ALL.join(", "))]
    pub struct ArmError(String);

    fn parse(text: &str) -> Result<(&'static str, i64), ArmError> {
        let error = || ArmError(text.to_owned());
        let (name, count) = text.split_once(':').ok_or_else(error)?;
        let name = super::ALL.into_iter().find(|known| *known == name).ok_or_else(error)?;
        let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(error)?;
        Ok((name, count))
    }

    /// Makes this process die when it reaches the point the given number of times, as `before_ack:3` says.
    /// Only the first call counts.
    ///
    /// # Errors
    ///
    /// [`ArmError`].
    pub fn arm(text: &str) -> Result<(), ArmError> {
        let (name, count) = parse(text)?;
        ARMED.get_or_init(|| (name, AtomicI64::new(count)));
        Ok(())
    }

    /// Says that the process is at this point; dies if it was armed and is due.
    pub fn hit(name: &'static str) {
        if let Some((armed, left)) = ARMED.get()
            && *armed == name
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::abort();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn points_are_named_with_a_count() {
            assert_eq!(parse("before_ack:3"), Ok(("before_ack", 3)));
            for text in ["", "before_ack", "before_ack:0", "nowhere:1", "before_ack:often"] {
                assert_eq!(parse(text), Err(ArmError(text.to_owned())));
            }
        }

        #[test]
        fn others_and_earlier_passes_do_nothing() {
            arm("after_ack:3").expect("a point");
            hit("before_ack");
            hit("after_ack");
            hit("after_ack");
        }
    }
}
