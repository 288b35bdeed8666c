//! Named points at which a process can be made to die or to stop, for tests of what survives it.
//!
//! Without the feature `failpoints`, which no release is built with, [`hit`] is empty and [`ENABLED`] is
//! false, so nothing of this is left in the code. With it a process arms one point for itself. It dies
//! there as if it was killed: without unwinding, flushing or saying goodbye. Or it freezes until somebody
//! sends it SIGCONT, while whatever it holds grows old.

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

/// When an ACME server has an order and its address is stored.
pub const AFTER_ORDER: &str = "after_order";
/// When an ACME server was asked for the certificate of an order and it is not stored yet.
pub const AFTER_FINALIZE: &str = "after_finalize";

/// Every point.
pub const ALL: [&str; 10] = [
    AFTER_READ,
    MID_COPY,
    BEFORE_COMMIT,
    AFTER_COMMIT,
    BEFORE_ACK,
    AFTER_ACK,
    MID_DEAD_LETTER,
    MID_TRIM,
    AFTER_ORDER,
    AFTER_FINALIZE,
];

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

    use nix::sys::signal::{Signal, raise};

    /// What happens at the point.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Action {
        Die,
        Stop,
    }

    /// A point, how often it must be reached, and what happens then.
    type Armed = (&'static str, i64, Action);

    static ARMED: OnceLock<(&'static str, AtomicI64, Action)> = OnceLock::new();

    /// The text is not a point such as `before_ack:3` or `before_ack:3:stop`.
    #[derive(Debug, thiserror::Error, PartialEq, Eq)]
    #[error("`{0}` is not one of {all} with a colon and a count", all = super::ALL.join(", "))]
    pub struct ArmError(String);

    fn parse(text: &str) -> Result<Armed, ArmError> {
        let error = || ArmError(text.to_owned());
        let (name, rest) = text.split_once(':').ok_or_else(error)?;
        let (count, action) = match rest.split_once(':') {
            None => (rest, Action::Die),
            Some((count, "stop")) => (count, Action::Stop),
            Some(_) => return Err(error()),
        };
        let name = super::ALL.into_iter().find(|known| *known == name).ok_or_else(error)?;
        let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(error)?;
        Ok((name, count, action))
    }

    /// Makes this process die when it reaches the point the given number of times, as `before_ack:3` says,
    /// or stop, as `before_ack:3:stop` says. Only the first call counts.
    ///
    /// # Errors
    ///
    /// [`ArmError`].
    pub fn arm(text: &str) -> Result<(), ArmError> {
        let (name, count, action) = parse(text)?;
        ARMED.get_or_init(|| (name, AtomicI64::new(count), action));
        Ok(())
    }

    /// Says that the process is at this point; dies or stops if it was armed and is due.
    pub fn hit(name: &'static str) {
        let Some((armed, left, action)) = ARMED.get() else { return };
        if *armed != name || left.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        match action {
            Action::Die => std::process::abort(),
            Action::Stop => raise(Signal::SIGSTOP).expect("a process may stop itself"),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn points_are_named_with_a_count() {
            assert_eq!(parse("before_ack:3"), Ok(("before_ack", 3, Action::Die)));
            assert_eq!(parse("mid_copy:1:stop"), Ok(("mid_copy", 1, Action::Stop)));
            for text in
                ["", "before_ack", "before_ack:0", "nowhere:1", "before_ack:often", "before_ack:1:nap"]
            {
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
