//! Links that a thread served lately, in front of the table that all threads share.
//!
//! A hit takes no lock and touches no memory that another thread writes, however popular the link is. What a slot
//! says is compared with the generation of its stripe and the epoch each time, so an invalidation acts here at once.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::Entry;
use super::key::{CacheKey, KeyRef};

/// Links of one thread; a power of two.
const SLOTS: usize = 4096;

/// Tells the caches of one process apart; tests have several.
static NEXT_CACHE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static FRONT: RefCell<Front> = const { RefCell::new(Front { cache: u64::MAX, slots: Vec::new() }) };
}

struct Front {
    cache: u64,
    slots: Vec<Option<Slot>>,
}

#[derive(Clone)]
pub(super) struct Slot {
    key: CacheKey,
    pub(super) stripe: usize,
    pub(super) generation: u64,
    pub(super) entry: Arc<Entry>,
}

/// Returns a number that no other cache of this process has.
pub(super) fn number_cache() -> u64 {
    NEXT_CACHE.fetch_add(1, Ordering::Relaxed)
}

/// Looks at what this thread has under `key`; if `is_current` does not like it, or there is nothing, at what `fill`
/// finds, which is kept. `None` if that finds nothing.
pub(super) fn with<T>(
    cache: u64,
    key: KeyRef<'_>,
    hash: u64,
    is_current: impl Fn(&Slot) -> bool,
    fill: impl FnOnce() -> Option<(usize, u64, Arc<Entry>)>,
    look: impl FnOnce(&Entry) -> T,
) -> Option<T> {
    FRONT.with_borrow_mut(|front| {
        if front.cache != cache {
            *front = Front { cache, slots: vec![None; SLOTS] };
        }
        // Below the number of slots.
        let place = usize::try_from(hash & (SLOTS as u64 - 1)).unwrap_or(0);
        let slot = &mut front.slots[place];
        if let Some(slot) = slot.as_ref().filter(|slot| slot.key.as_ref() == key && is_current(slot)) {
            return Some(look(&slot.entry));
        }
        let (stripe, generation, entry) = fill()?;
        let slot = slot.insert(Slot { key: key.to_key(), stripe, generation, entry });
        Some(look(&slot.entry))
    })
}
