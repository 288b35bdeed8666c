//! Reading dead letters, and removing them so that the account of clicks still adds up.

use std::collections::BTreeMap;

use crate::day::Day;
use crate::ledger::Removal;
use crate::ports::{DeadLetterStore, LedgerStore, StoreError, StreamError};
use crate::stream::{DeadLetter, DeadLetterFilter, day_of};

/// Letters removed by one call of the store.
const BATCH: usize = 100;

/// Reads letters page by page, so that however many there are, few are held at a time.
pub struct Pages<'a> {
    store: &'a dyn DeadLetterStore,
    filter: &'a DeadLetterFilter,
    size: u16,
    after: Option<String>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    /// Reads the letters that match `filter`, oldest first, at most `size` at a time.
    pub const fn new(store: &'a dyn DeadLetterStore, filter: &'a DeadLetterFilter, size: u16) -> Self {
        Self { store, filter, size, after: None, is_over: false }
    }

    /// Returns the next page, which may be empty; `None` after the last one.
    ///
    /// # Errors
    ///
    /// When the store fails; the same page is read again then.
    pub async fn next(&mut self) -> Result<Option<Vec<DeadLetter>>, StreamError> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.store.list(self.filter, self.after.as_deref(), self.size).await?;
        self.is_over = page.next.is_none();
        self.after = page.next;
        Ok(Some(page.items))
    }
}

/// Purges letters and notes of which days their clicks were, so that nobody looks for them. Returns how many
/// there still were.
///
/// # Errors
///
/// When either store fails; the letters purged until then are gone, and may not have been noted.
pub async fn purge<E>(
    letters: &[DeadLetter],
    store: &dyn DeadLetterStore,
    ledger: &dyn LedgerStore,
) -> Result<u64, E>
where
    E: From<StreamError> + From<StoreError>,
{
    let mut days: BTreeMap<Day, u64> = BTreeMap::new();
    let mut done = 0;
    for some in letters.chunks(BATCH) {
        let ids: Vec<String> = some.iter().map(|letter| letter.id.clone()).collect();
        let purged = store.purge(&ids).await?;
        done += purged;
        // Of letters that somebody else replayed or purged at the same time it is not known which they are.
        if purged == some.len() as u64 {
            for day in some.iter().filter_map(|letter| day_of(&letter.fields)) {
                *days.entry(day).or_default() += 1;
            }
        }
    }
    let days: Vec<(Day, u64)> = days.into_iter().collect();
    if !days.is_empty() {
        ledger.note_removed(&days, Removal::LetterPurged).await?;
    }
    Ok(done)
}
