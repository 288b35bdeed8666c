//! The dead letters.

use std::io;

use async_trait::async_trait;
use vayro_core::page::Page;
use vayro_core::ports::{DeadLetterStore, StreamError};
use vayro_core::stream::{DeadLetter, DeadLetterFilter};

use super::stream::flat;
use super::{EmbeddedClicks, State};
use crate::log::{AppendError, SegmentLog};
use crate::payload;

/// The dead letters of the embedded stream, one file each.
#[derive(Clone, Debug)]
pub struct SpoolDeadLetters(EmbeddedClicks);

impl SpoolDeadLetters {
    pub(super) const fn new(clicks: EmbeddedClicks) -> Self {
        Self(clicks)
    }
}

#[async_trait]
impl DeadLetterStore for SpoolDeadLetters {
    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<&str>,
        max: u16,
    ) -> Result<Page<DeadLetter, String>, StreamError> {
        let (filter, after) = (filter.clone(), after.map(ToOwned::to_owned));
        let ids = flat(self.0.run(move |_, state| Ok(state.letters.ids_after(after.as_deref()))).await)?;
        let mut page = Page { items: Vec::new(), next: None };
        // A few at a time, so that a long list does not hold up the clicks.
        for some in ids.chunks(READ_AT_ONCE) {
            let some = some.to_vec();
            for letter in flat(self.0.run(move |log, state| read_all(log, state, &some)).await)? {
                if !filter.matches(&letter) {
                    continue;
                }
                if page.items.len() == usize::from(max) {
                    page.next = page.items.last().map(|last: &DeadLetter| last.id.clone());
                    return Ok(page);
                }
                page.items.push(letter);
            }
        }
        Ok(page)
    }

    async fn find(&self, id: &str) -> Result<Option<DeadLetter>, StreamError> {
        let id = id.to_owned();
        flat(self.0.run(move |log, state| state.letters.read(log.side_files().0, &id)).await)
    }

    async fn replay(&self, ids: &[String]) -> Result<u64, StreamError> {
        self.each(ids, |log, state, id| {
            let Some(letter) = state.letters.read(log.side_files().0, id)? else { return Ok(false) };
            let record = payload::of_fields(&letter.fields);
            log.append(&[record], (state.clock)()).map_err(|error| match error {
                AppendError::Disk(error) => error,
                other => io::Error::other(other),
            })?;
            // The click is on the disk before its letter is gone. In between a crash leaves both, and
            // replaying twice counts once, because the click's id is the same.
            log.sync()?;
            state.letters.remove(log.side_files().0, id)
        })
        .await
    }

    async fn purge(&self, ids: &[String]) -> Result<u64, StreamError> {
        self.each(ids, |log, state, id| state.letters.remove(log.side_files().0, id)).await
    }
}

/// Letters read before other work of the log's thread gets its turn.
const READ_AT_ONCE: usize = 64;

fn read_all(log: &SegmentLog, state: &State, ids: &[String]) -> io::Result<Vec<DeadLetter>> {
    let mut letters = Vec::with_capacity(ids.len());
    for id in ids {
        letters.extend(state.letters.read(log.side_files().0, id)?);
    }
    Ok(letters)
}

impl SpoolDeadLetters {
    /// Does `work` for each letter that is there and counts for how many it did something.
    async fn each(
        &self,
        ids: &[String],
        work: impl Fn(&mut SegmentLog, &mut State, &str) -> io::Result<bool> + Send + 'static,
    ) -> Result<u64, StreamError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids = ids.to_vec();
        let all = move |log: &mut SegmentLog, state: &mut State| {
            let mut count = 0;
            for id in &ids {
                if state.letters.contains(id) && work(log, state, id)? {
                    count += 1;
                }
            }
            state.letters.sync(log.side_files().0)?;
            Ok(count)
        };
        flat(self.0.run(all).await)
    }
}
