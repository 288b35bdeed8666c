//! Look-ups on their way: whoever misses the same key joins the one that is running.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Outcome;
use super::key::{CacheKey, KeyRef};

/// Most look-ups at one time. Misses beyond it get 503 instead of a queue.
pub(crate) const FLIGHTS_MAX: usize = 4096;

/// Where the outcome of a look-up appears.
pub(crate) type Landing = watch::Receiver<Option<Outcome>>;

/// The running look-ups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flights {
    running: Arc<Mutex<HashMap<CacheKey, Landing>>>,
}

/// What somebody who needs a look-up should do.
#[derive(Debug)]
pub(crate) enum Joined {
    /// Wait for the one that runs.
    Follow(Landing),
    /// Run it.
    Lead(Takeoff, Landing),
    /// The answer came meanwhile.
    Landed(Outcome),
    /// Too many run.
    Full,
}

/// The right, and the duty, to run a look-up. Dropped without [`Takeoff::land`], its followers learn that
/// nobody can tell.
#[derive(Debug)]
pub(crate) struct Takeoff {
    key: CacheKey,
    sender: watch::Sender<Option<Outcome>>,
    flights: Flights,
    is_landed: bool,
}

impl Flights {
    /// Joins or starts the look-up of `key`. `cached` is asked under the lock, so that a look-up that ended
    /// a moment ago is not repeated.
    pub(crate) fn join(&self, key: KeyRef<'_>, cached: impl FnOnce() -> Option<Outcome>) -> Joined {
        let key = key.to_key();
        let mut running = self.running.lock();
        if let Some(landing) = running.get(&key) {
            return Joined::Follow(landing.clone());
        }
        if let Some(outcome) = cached() {
            return Joined::Landed(outcome);
        }
        if running.len() >= FLIGHTS_MAX {
            return Joined::Full;
        }
        let (sender, landing) = watch::channel(None);
        running.insert(key.clone(), landing.clone());
        let takeoff = Takeoff { key, sender, flights: self.clone(), is_landed: false };
        Joined::Lead(takeoff, landing)
    }

    /// Returns how many run.
    pub(crate) fn len(&self) -> usize {
        self.running.lock().len()
    }
}

impl Takeoff {
    /// Returns what is looked up.
    pub(crate) fn key(&self) -> KeyRef<'_> {
        self.key.as_ref()
    }

    /// Ends the look-up. Nobody joins it from now on: what it found may be older than the next request.
    pub(crate) fn land(mut self, outcome: Outcome) {
        self.leave();
        self.sender.send_replace(Some(outcome));
    }

    fn leave(&mut self) {
        // Only once: the key may be flying again under another pilot.
        if !self.is_landed {
            self.is_landed = true;
            self.flights.running.lock().remove(&self.key);
        }
    }
}

impl Drop for Takeoff {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waits for the outcome; a look-up that died counts as unavailable.
pub(crate) async fn wait(mut landing: Landing) -> Outcome {
    match landing.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or(Outcome::Unavailable),
        Err(_) => Outcome::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::DomainIndex;

    const KEY: KeyRef<'static> = KeyRef { domain: DomainIndex::DEFAULT, code: b"abc" };

    #[tokio::test]
    async fn followers_get_the_leaders_outcome() {
        let flights = Flights::default();
        let Joined::Lead(takeoff, first) = flights.join(KEY, || None) else { panic!("nobody flies") };
        let Joined::Follow(second) = flights.join(KEY, || None) else { panic!("one flies") };
        takeoff.land(Outcome::Absent);
        assert!(matches!(wait(first).await, Outcome::Absent));
        assert!(matches!(wait(second).await, Outcome::Absent));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn a_look_up_that_dies_does_not_block_its_key() {
        let flights = Flights::default();
        let Joined::Lead(takeoff, landing) = flights.join(KEY, || None) else { panic!("nobody flies") };
        drop(takeoff);
        assert!(matches!(wait(landing).await, Outcome::Unavailable));
        assert!(matches!(flights.join(KEY, || None), Joined::Lead(..)));
    }

    #[test]
    fn an_answer_found_under_the_lock_spares_the_look_up() {
        let flights = Flights::default();
        let joined = flights.join(KEY, || Some(Outcome::Absent));
        assert!(matches!(joined, Joined::Landed(Outcome::Absent)));
        assert_eq!(flights.len(), 0);
    }
}
