//! One cached link.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use vayro_core::resolve::CachedLink;
use vayro_core::timestamp::Timestamp;

/// Threads read the clock on their own, so an entry may look this much younger than new.
const CLOCK_SKEW_MICROS: i64 = 1_000_000;
/// How long a failed or running refresh keeps others from trying, in microseconds.
const RETRY_MICROS: i64 = 1_000_000;

/// An epoch that no cache is ever in.
const NO_EPOCH: u64 = u64::MAX;

/// How long entries are good for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// Served without a second thought.
    pub(crate) fresh: Duration,
    /// After that, served while one look-up runs behind the visitor's back.
    pub(crate) revalidate: Duration,
    /// Counted from the fetch: served when nobody can be asked.
    pub(crate) stale: Duration,
}

/// What an entry may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Serve it.
    Fresh,
    /// Serve it and have it refreshed.
    Aging,
    /// Ask first; serve it only if nobody answers.
    Stale,
    /// Of no use any more.
    Dead,
}

/// A link as this process remembers it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What the decision needs.
    pub(crate) link: CachedLink,
    /// The cache's epoch when the look-up began.
    epoch: u64,
    fetched_at: i64,
    /// Nobody need try a refresh behind the visitors' backs before this instant.
    next_try_at: AtomicI64,
    /// A look-up failed; nobody need wait for another before this instant.
    failed_until: AtomicI64,
}

impl Entry {
    /// Remembers `link`, looked up at `now` in `epoch`.
    pub(crate) const fn new(link: CachedLink, epoch: u64, now: Timestamp) -> Self {
        Self {
            link,
            epoch,
            fetched_at: now.as_micros(),
            next_try_at: AtomicI64::new(i64::MIN),
            failed_until: AtomicI64::new(i64::MIN),
        }
    }

    /// Remembers `link`, looked up at `fetched_at` by an edge that ran before. It is only of use while nobody can be asked.
    pub(crate) const fn restored(link: CachedLink, fetched_at: Timestamp) -> Self {
        Self::new(link, NO_EPOCH, fetched_at)
    }

    /// Returns when it was looked up.
    pub(crate) fn fetched_at(&self) -> Timestamp {
        Timestamp::from_micros(self.fetched_at).unwrap_or(Timestamp::EPOCH)
    }

    /// Tells what the entry is good for at `now` in `epoch`.
    pub(crate) fn freshness(&self, now: Timestamp, epoch: u64, lifetimes: &Lifetimes) -> Freshness {
        let age = now.as_micros().saturating_sub(self.fetched_at);
        let reaches = |span: Duration| age < i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        // A clock set back makes entries look unborn; their true age is unknown then.
        let is_known = self.epoch == epoch && age > -CLOCK_SKEW_MICROS;
        if is_known && reaches(lifetimes.fresh) {
            Freshness::Fresh
        } else if is_known && reaches(lifetimes.fresh.saturating_add(lifetimes.revalidate)) {
            Freshness::Aging
        } else if reaches(lifetimes.stale) {
            Freshness::Stale
        } else {
            Freshness::Dead
        }
    }

    /// Makes the caller the one who tries a refresh now; at most one per second gets the turn.
    pub(crate) fn claim_try(&self, now: Timestamp) -> bool {
        let now = now.as_micros();
        let next = self.next_try_at.load(Ordering::Relaxed);
        now >= next
            && self
                .next_try_at
                .compare_exchange(
                    next,
                    now.saturating_add(RETRY_MICROS),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// Remembers that a look-up failed at `now`, so that visitors of the next second do not wait for another.
    pub(crate) fn note_failure(&self, now: Timestamp) {
        self.failed_until.store(now.as_micros().saturating_add(RETRY_MICROS), Ordering::Relaxed);
    }

    /// Tells whether a look-up failed within the last second.
    pub(crate) fn has_failed_lately(&self, now: Timestamp) -> bool {
        now.as_micros() < self.failed_until.load(Ordering::Relaxed)
    }

    /// Tells whether the entry was looked up in `epoch` and is fresh at `now`.
    pub(crate) fn is_fresh(&self, now: Timestamp, epoch: u64, lifetimes: &Lifetimes) -> bool {
        self.freshness(now, epoch, lifetimes) == Freshness::Fresh
    }

    /// Returns roughly how many bytes the entry takes, for the cache's size limit.
    pub(crate) fn weight(&self) -> u64 {
        /// Key, table slots and what the allocator adds; more than enough.
        const OVERHEAD: usize = 600;
        (size_of::<Self>() + OVERHEAD + 2 * self.link.target.as_str().len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at_seconds: i64) -> Entry {
        let link = serde_json::from_str(
            r#"{"target":"https://example.com/","active":true,"status":301,
                "id":"01890000-0000-7000-8000-000000000001",
                "workspace":"01890000-0000-7000-8000-000000000002"}"#,
        )
        .expect("valid");
        Entry::new(link, 1, at(at_seconds))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).expect("in range")
    }

    const LIFETIMES: Lifetimes = Lifetimes {
        fresh: Duration::from_secs(30),
        revalidate: Duration::from_secs(60),
        stale: Duration::from_secs(3600),
    };

    #[test]
    fn an_entry_ages_in_four_steps() {
        let entry = entry(1000);
        for (now, freshness) in [
            (1000, Freshness::Fresh),
            (1029, Freshness::Fresh),
            (1030, Freshness::Aging),
            (1089, Freshness::Aging),
            (1090, Freshness::Stale),
            (4600, Freshness::Dead),
        ] {
            assert_eq!(entry.freshness(at(now), 1, &LIFETIMES), freshness, "{now}");
        }
    }

    #[test]
    fn a_new_epoch_and_a_clock_set_back_make_an_entry_stale() {
        let entry = entry(1000);
        assert_eq!(entry.freshness(at(1000), 2, &LIFETIMES), Freshness::Stale);
        assert_eq!(entry.freshness(at(500), 1, &LIFETIMES), Freshness::Stale);
    }

    #[test]
    fn an_entry_of_an_earlier_run_is_stale_from_the_start() {
        let Entry { link, .. } = entry(0);
        let entry = Entry::restored(link, at(1000));
        assert_eq!(entry.fetched_at(), at(1000));
        assert_eq!(entry.freshness(at(1000), 0, &LIFETIMES), Freshness::Stale);
        assert_eq!(entry.freshness(at(4600), 0, &LIFETIMES), Freshness::Dead);
    }

    #[test]
    fn one_per_second_tries() {
        let entry = entry(0);
        assert!(entry.claim_try(at(10)));
        assert!(!entry.claim_try(at(10)));
        assert!(entry.claim_try(at(11)));
    }
}
