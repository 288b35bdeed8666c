//! The wish to stop, as every task of the worker hears it.

use std::time::Duration;

use tokio::sync::watch;

/// Tells whether and when to stop. Also stops if whoever could ask for it is gone.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) const fn new(shutdown: watch::Receiver<bool>) -> Self {
        Self(shutdown)
    }

    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until stopping is asked for.
    pub(crate) async fn requested(&mut self) {
        // An error means that the sender is gone, which is a request as well.
        drop(self.0.wait_for(|is_requested| *is_requested).await);
    }

    /// Waits for `pause`; returns false at once when stopping is asked for.
    pub(crate) async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.requested() => false,
        }
    }
}
