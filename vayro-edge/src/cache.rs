//! The in-process link cache, L1.
//!
//! A hit costs one look into a sharded table and no allocation. Misses of one key share one look-up with
//! a time limit. An entry is fresh for a while, is then served while one look-up refreshes it, and is
//! served even later when nobody can be asked. Unknown codes live in a small table of their own, so
//! that guessing codes cannot push out links that are used.
//!
//! A late look-up never brings back an old state: each key belongs to a stripe whose generation every
//! invalidation raises, and what was looked up under another generation is looked up again.

mod entry;
mod flights;
mod front;
mod key;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};
use vayro_core::host::Host;
use vayro_core::link::LinkKey;
use vayro_core::ports::{LinkLookup, StoreError};
use vayro_core::resolve::CachedLink;
use vayro_core::timestamp::Timestamp;
use vayro_core::visit::Remembered;

pub(crate) use entry::{Entry, Lifetimes};
pub(crate) use key::KeyRef;

use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::routes::DomainIndex;
use crate::shared::Clock;
use entry::Freshness;
use flights::{Flights, Joined, Takeoff};
use key::CacheKey;

/// Independent generations; two keys of one stripe only cost each other a repeated look-up.
const STRIPES: usize = 1024;
/// Look-ups in a row that an invalidation may overtake before the last one is served without being kept.
const FILL_TRIES: usize = 3;
/// Finds a key's place in front of the cache. Codes that share one cost each other a look into the cache and nothing
/// else, so nobody gains by knowing the seed.
const FRONT_HASH: foldhash::fast::FixedState = foldhash::fast::FixedState::with_seed(0);
/// Bytes of a typical entry, to size the tables.
const TYPICAL_WEIGHT: u64 = 1024;

/// What a look into the cache gave.
#[derive(Debug)]
pub(crate) enum Read {
    /// Serve it.
    Hit(Arc<Entry>),
    /// Serve it and call [`LinkCache::refresh`].
    Aging(Arc<Entry>),
    /// No such link, as of a moment ago.
    Absent,
    /// Ask with [`LinkCache::load`], handing over what may be served if nobody answers.
    Miss(Option<Arc<Entry>>),
}

/// What a look-up gave.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A link, perhaps switched off or expired.
    Found(Arc<Entry>),
    /// There is no such link.
    Absent,
    /// Nobody could tell.
    Unavailable,
}

/// What the cache is made of.
pub(crate) struct CacheOptions {
    /// Most bytes of links, roughly.
    pub(crate) size_max: u64,
    /// Most unknown codes remembered.
    pub(crate) absent_max: usize,
    /// How long an unknown code is remembered.
    pub(crate) absent_for: Duration,
    /// How long links are good for.
    pub(crate) lifetimes: Lifetimes,
    /// How long one look-up may take.
    pub(crate) lookup_timeout: Duration,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<CacheKey, Arc<Entry>> for ByBytes {
    fn weight(&self, _: &CacheKey, entry: &Arc<Entry>) -> u64 {
        entry.weight()
    }
}

#[derive(Clone, Copy, Debug)]
struct Absence {
    epoch: u64,
    until: i64,
}

/// What keys share that are invalidated together.
#[derive(Default)]
struct Stripe {
    /// Held by whoever keeps or removes an entry.
    lock: Mutex<()>,
    /// Raised under the lock.
    generation: AtomicU64,
}

impl Stripe {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

/// When a look-up began, to tell whether it was overtaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    generation: u64,
    epoch: u64,
}

/// The cache.
pub(crate) struct LinkCache {
    present: Cache<CacheKey, Arc<Entry>, ByBytes>,
    absent: Cache<CacheKey, Absence>,
    epoch: AtomicU64,
    stripes: Vec<Stripe>,
    /// See [`front::number_cache`].
    number: u64,
    stripe_hash: RandomState,
    flights: Flights,
    options: CacheOptions,
    lookup: Arc<dyn LinkLookup>,
    clock: Clock,
    metrics: Arc<Metrics>,
    failures: LogLimit,
    /// Where look-ups run. Their connections belong to this runtime, which outlives Pingora's, and a
    /// visitor who goes away does not take a look-up along that others wait for.
    runtime: tokio::runtime::Handle,
}

impl LinkCache {
    /// Makes an empty cache over `lookup`.
    ///
    /// # Panics
    ///
    /// Never: every option the tables need is given.
    pub(crate) fn new(
        options: CacheOptions,
        lookup: Arc<dyn LinkLookup>,
        clock: Clock,
        metrics: Arc<Metrics>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let items = usize::try_from(options.size_max / TYPICAL_WEIGHT).unwrap_or(usize::MAX).max(1);
        let tables = OptionsBuilder::new()
            .estimated_items_capacity(items)
            .weight_capacity(options.size_max)
            .build()
            .expect("both capacities are given");
        Self {
            present: Cache::with_options(
                tables,
                ByBytes,
                quick_cache::DefaultHashBuilder::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
            absent: Cache::new(options.absent_max),
            epoch: AtomicU64::new(0),
            stripes: (0..STRIPES).map(|_| Stripe::default()).collect(),
            number: front::number_cache(),
            stripe_hash: RandomState::new(),
            flights: Flights::default(),
            options,
            lookup,
            clock,
            metrics,
            failures: LogLimit::new(),
            runtime,
        }
    }

    /// Looks for `key` at `now`.
    pub(crate) fn read(&self, key: KeyRef<'_>, now: Timestamp) -> Read {
        let epoch = self.epoch.load(Ordering::Acquire);
        if let Some(entry) = self.present.get(&key) {
            return match entry.freshness(now, epoch, &self.options.lifetimes) {
                Freshness::Aging if entry.claim_try(now) => Read::Aging(entry),
                Freshness::Fresh | Freshness::Aging => Read::Hit(entry),
                // A look-up failed a moment ago; nobody gains by waiting for the next one.
                Freshness::Stale if entry.has_failed_lately(now) => Read::Hit(entry),
                Freshness::Stale => Read::Miss(Some(entry)),
                Freshness::Dead => Read::Miss(None),
            };
        }
        match self.absent.get(&key) {
            Some(absence) if absence.epoch == epoch && now.as_micros() < absence.until => Read::Absent,
            _ => Read::Miss(None),
        }
    }

    /// Tells what is known about `key` at `now`, as [`Self::read`] would find it, without leaving a trace.
    pub(crate) fn peek(&self, key: KeyRef<'_>, now: Timestamp) -> Remembered {
        let epoch = self.epoch.load(Ordering::Acquire);
        if let Some(entry) = self.present.peek(&key) {
            let link = entry.link.clone();
            return match entry.freshness(now, epoch, &self.options.lifetimes) {
                Freshness::Fresh => Remembered::Fresh(link),
                Freshness::Aging => Remembered::Aging(link),
                Freshness::Stale if entry.has_failed_lately(now) => Remembered::Aging(link),
                Freshness::Stale => Remembered::Stale(link),
                Freshness::Dead => Remembered::Nothing,
            };
        }
        match self.absent.peek(&key) {
            Some(absence) if absence.epoch == epoch && now.as_micros() < absence.until => Remembered::Absent,
            _ => Remembered::Nothing,
        }
    }

    /// Looks at a link that needs no look-up; `None` if there is none, or it needs one. Takes no lock if this thread
    /// looked at it a moment before.
    pub(crate) fn with_fresh<T>(
        &self,
        key: KeyRef<'_>,
        now: Timestamp,
        look: impl FnOnce(&Entry) -> T,
    ) -> Option<T> {
        let epoch = self.epoch.load(Ordering::Acquire);
        let is_fresh = |entry: &Entry| entry.is_fresh(now, epoch, &self.options.lifetimes);
        let generation = |stripe: usize| self.stripes[stripe].generation();
        front::with(
            self.number,
            key,
            FRONT_HASH.hash_one(key),
            |slot| generation(slot.stripe) == slot.generation && is_fresh(&slot.entry),
            || {
                // The generation first: what is removed after this is noticed.
                let stripe = self.stripe(key);
                let generation = generation(stripe);
                let entry = self.present.get(&key).filter(|entry| is_fresh(entry))?;
                Some((stripe, generation, entry))
            },
            look,
        )
    }

    /// Looks `key` up, or waits for a look-up that runs already. Returns `stale` if nobody can tell.
    pub(crate) async fn load(
        self: &Arc<Self>,
        key: KeyRef<'_>,
        host: Option<&Host>,
        stale: Option<Arc<Entry>>,
    ) -> Outcome {
        let joined = self.flights.join(key, || match self.read(key, (self.clock)()) {
            Read::Hit(entry) | Read::Aging(entry) => Some(Outcome::Found(entry)),
            Read::Absent => Some(Outcome::Absent),
            Read::Miss(_) => None,
        });
        let outcome = match joined {
            Joined::Landed(outcome) => outcome,
            Joined::Follow(landing) => flights::wait(landing).await,
            Joined::Lead(takeoff, landing) => {
                self.take_off(takeoff, host.cloned());
                flights::wait(landing).await
            }
            Joined::Full => {
                self.metrics.lookups_refused.add_one();
                Outcome::Unavailable
            }
        };
        match (outcome, stale) {
            (Outcome::Unavailable, Some(entry)) => {
                entry.note_failure((self.clock)());
                self.metrics.cache_stale_on_error.add_one();
                Outcome::Found(entry)
            }
            (outcome, _) => outcome,
        }
    }

    /// Has `key` looked up behind the visitor's back.
    pub(crate) fn refresh(self: &Arc<Self>, key: KeyRef<'_>, host: Option<&Host>) {
        if let Joined::Lead(takeoff, _) = self.flights.join(key, || None) {
            self.take_off(takeoff, host.cloned());
        }
    }

    /// Drops what is older than the change of `key` to `revision`.
    pub(crate) fn invalidate(&self, key: KeyRef<'_>, revision: i64) {
        let stripe = &self.stripes[self.stripe(key)];
        let _lock = stripe.lock.lock();
        self.present.remove_if(&key, |entry| entry.link.revision < revision);
        self.absent.remove(&key);
        // Last: whoever sees the new generation finds nothing old any more.
        stripe.generation.fetch_add(1, Ordering::Release);
    }

    /// Makes every entry stale at once.
    pub(crate) fn invalidate_everything(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Remembers a link that an edge before looked up at `fetched_at`, unless there is one.
    pub(crate) fn restore(&self, key: KeyRef<'_>, link: CachedLink, fetched_at: Timestamp) {
        let _lock = self.stripes[self.stripe(key)].lock.lock();
        if self.present.peek(&key).is_none() {
            self.present.insert(key.to_key(), Arc::new(Entry::restored(link, fetched_at)));
        }
    }

    /// Returns all links in memory in no particular order; those that come or go meanwhile may be missing.
    pub(crate) fn all(&self) -> impl Iterator<Item = (CacheKey, Arc<Entry>)> {
        self.present.iter()
    }

    /// Returns how many links, their bytes, and how many unknown codes are held.
    pub(crate) fn sizes(&self) -> (usize, u64, usize) {
        (self.present.len(), self.present.weight(), self.absent.len())
    }

    /// Returns how many look-ups run.
    pub(crate) fn lookups_running(&self) -> usize {
        self.flights.len()
    }

    fn take_off(self: &Arc<Self>, takeoff: Takeoff, host: Option<Host>) {
        let cache = Arc::clone(self);
        drop(self.runtime.spawn(async move {
            let outcome = cache.fetch(takeoff.key(), host).await;
            takeoff.land(outcome);
        }));
    }

    /// Looks up and keeps; again if an invalidation came in between.
    async fn fetch(&self, key: KeyRef<'_>, domain: Option<Host>) -> Outcome {
        let short_code = std::str::from_utf8(key.code).ok().and_then(|code| code.parse().ok());
        let Some(short_code) = short_code else { return Outcome::Absent };
        let link_key = LinkKey { domain, short_code };
        let mut last = Outcome::Unavailable;
        for _ in 0..FILL_TRIES {
            let start = self.start(key);
            let Ok(found) = self.ask(&link_key).await else { return Outcome::Unavailable };
            let (outcome, is_kept) = self.fill(key, start, found);
            if is_kept {
                return outcome;
            }
            last = outcome;
        }
        last
    }

    async fn ask(&self, key: &LinkKey) -> Result<Option<CachedLink>, ()> {
        let began_at = std::time::Instant::now();
        let answer = tokio::time::timeout(self.options.lookup_timeout, self.lookup.lookup(key)).await;
        self.metrics.lookup_seconds.observe(began_at.elapsed());
        match answer {
            Ok(Ok(found)) => {
                let counter =
                    if found.is_some() { &self.metrics.lookups_found } else { &self.metrics.lookups_absent };
                counter.add_one();
                Ok(found)
            }
            Ok(Err(error)) => {
                self.metrics.lookups_failed.add_one();
                self.log_failure(&error);
                Err(())
            }
            Err(_) => {
                self.metrics.lookups_timed_out.add_one();
                if let Some(held_back) = self.failures.turn((self.clock)()) {
                    tracing::warn!(held_back, "link look-up took too long");
                }
                Err(())
            }
        }
    }

    fn log_failure(&self, error: &StoreError) {
        let Some(held_back) = self.failures.turn((self.clock)()) else { return };
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, held_back, "link look-up failed");
    }

    fn start(&self, key: KeyRef<'_>) -> Start {
        let generation = self.stripes[self.stripe(key)].generation();
        Start { generation, epoch: self.epoch.load(Ordering::Acquire) }
    }

    /// Keeps what was found unless an invalidation overtook it, and tells whether it was kept.
    fn fill(&self, key: KeyRef<'_>, start: Start, found: Option<CachedLink>) -> (Outcome, bool) {
        let now = (self.clock)();
        let stripe = &self.stripes[self.stripe(key)];
        let _lock = stripe.lock.lock();
        let is_kept = stripe.generation() == start.generation;
        let Some(link) = found else {
            if is_kept {
                self.present.remove(&key);
                let for_micros = i64::try_from(self.options.absent_for.as_micros()).unwrap_or(i64::MAX);
                let until = now.as_micros().saturating_add(for_micros);
                self.absent.insert(key.to_key(), Absence { epoch: start.epoch, until });
            }
            return (Outcome::Absent, is_kept);
        };
        // Two look-ups may end in the wrong order without any invalidation between them. Only a fresh entry
        // wins, so that a database restored from an older backup is believed after a while.
        let newer = self.present.peek(&key).filter(|entry| {
            entry.link.revision > link.revision && entry.is_fresh(now, start.epoch, &self.options.lifetimes)
        });
        if let Some(newer) = newer {
            return (Outcome::Found(newer), true);
        }
        let entry = Arc::new(Entry::new(link, start.epoch, now));
        if is_kept {
            self.absent.remove(&key);
            self.present.insert(key.to_key(), Arc::clone(&entry));
        }
        (Outcome::Found(entry), is_kept)
    }

    fn stripe(&self, key: KeyRef<'_>) -> usize {
        // Below the number of stripes.
        usize::try_from(self.stripe_hash.hash_one(key) % STRIPES as u64).unwrap_or(0)
    }
}

impl std::fmt::Debug for LinkCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkCache").field("links", &self.present.len()).finish_non_exhaustive()
    }
}

/// Returns the key of a link of the default domain or of the domain `index`.
pub(crate) fn key_of(index: DomainIndex, key: &LinkKey) -> KeyRef<'_> {
    KeyRef { domain: index, code: key.short_code.as_str().as_bytes() }
}
