//! The dead letters.
//!
//! An entry begins with five fields that describe it, in a fixed order; what follows are the fields of
//! the click's entry exactly as they were, so that a replay puts back the same bytes.

use async_trait::async_trait;
use redis::{RedisResult, Value};
use vayro_core::click::Fields;
use vayro_core::page::Page;
use vayro_core::ports::{DeadLetterStore, StreamError};
use vayro_core::stream::{DeadLetter, DeadLetterFilter, DeadReason, ERROR_LEN_MAX, NewDeadLetter};

use crate::client::RedisClient;
use crate::entry::{self, Entry, EntryId};
use crate::lane::Lane;
use crate::names;
use crate::scripts::REPLAY;

const STREAM_ID: &str = "dead.stream_id";
const REASON: &str = "dead.reason";
const ERROR: &str = "dead.error";
const ATTEMPTS: &str = "dead.attempts";
const AT: &str = "dead.at";
/// How many fields describe the letter.
const HEAD_LEN: usize = 5;

/// Letters fetched at a time while searching.
const PAGE_LEN: usize = 500;
/// Pages searched by one call; the cursor goes on from there.
const PAGES_MAX: usize = 20;
/// Ids of one command.
const IDS_PER_CALL: usize = 1000;

/// The dead letters of the click stream.
#[derive(Clone, Debug)]
pub struct RedisDeadLetters(Lane);

impl RedisDeadLetters {
    /// Returns the letters on this server.
    pub fn new(client: &RedisClient) -> Self {
        Self(client.commands.clone())
    }

    async fn range(&self, from: &str, to: &str, count: usize) -> RedisResult<Vec<Entry>> {
        let mut command = redis::cmd("XRANGE");
        command.arg(names::DEAD_LETTERS).arg(from).arg(to).arg("COUNT").arg(count);
        let reply: Value = self.0.query(&command).await?;
        Ok(entry::entries(reply).map_err(std::io::Error::other)?)
    }

    async fn search(
        &self,
        filter: &DeadLetterFilter,
        after: Option<EntryId>,
        max: usize,
    ) -> RedisResult<Page<DeadLetter, String>> {
        let mut items: Vec<DeadLetter> = Vec::new();
        let mut from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut searched = None;
        for _ in 0..PAGES_MAX {
            let page = self.range(&from, "+", PAGE_LEN).await?;
            let is_last = page.len() < PAGE_LEN;
            for entry in page {
                let id = entry.id.clone();
                if let Some(letter) = decode(entry).filter(|letter| filter.matches(letter)) {
                    if items.len() == max {
                        let next = items.last().map(|last| last.id.clone());
                        return Ok(Page { items, next });
                    }
                    items.push(letter);
                }
                from = format!("({id}");
                searched = Some(id);
            }
            if is_last {
                return Ok(Page { items, next: None });
            }
        }
        Ok(Page { items, next: searched })
    }
}

/// Hands the values of the letter's entry to `put`: names and values in turn.
pub(crate) fn encode(letter: &NewDeadLetter, mut put: impl FnMut(&[u8])) {
    let end = letter.error.floor_char_boundary(ERROR_LEN_MAX);
    for (name, value) in [
        (STREAM_ID, letter.delivery.id.0.as_str()),
        (REASON, letter.reason.as_str()),
        (ERROR, &letter.error[..end]),
        (ATTEMPTS, &letter.delivery.attempts.to_string()),
        (AT, &letter.at.to_string()),
    ] {
        put(name.as_bytes());
        put(value.as_bytes());
    }
    for (name, value) in &letter.delivery.fields {
        put(name.as_bytes());
        put(value);
    }
}

/// Reads a letter. What somebody else put into the stream is shown as far as it can be.
fn decode(entry: Entry) -> Option<DeadLetter> {
    let mut fields = entry.fields?;
    let rest = if fields.len() > HEAD_LEN && fields[0].0 == STREAM_ID {
        fields.split_off(HEAD_LEN)
    } else {
        Fields::new()
    };
    let find = |name: &str| {
        let value = fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice());
        String::from_utf8_lossy(value.unwrap_or_default())
    };
    Some(DeadLetter {
        stream_id: find(STREAM_ID).into_owned(),
        reason: DeadReason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == find(REASON))
            .unwrap_or(DeadReason::Undecodable),
        error: find(ERROR).into_owned(),
        attempts: find(ATTEMPTS).parse().unwrap_or_default(),
        dead_at: find(AT).parse().unwrap_or(vayro_core::timestamp::Timestamp::EPOCH),
        fields: rest
            .into_iter()
            .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
            .collect(),
        id: entry.id,
    })
}

fn unavailable(error: redis::RedisError) -> StreamError {
    StreamError(error.into())
}

/// Ids that are none are unknown ones.
fn known_form(ids: &[String]) -> Vec<EntryId> {
    ids.iter().filter_map(|id| id.parse().ok()).collect()
}

#[async_trait]
impl DeadLetterStore for RedisDeadLetters {
    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<&str>,
        max: u16,
    ) -> Result<Page<DeadLetter, String>, StreamError> {
        let after = match after.map(str::parse) {
            None => None,
            Some(Ok(after)) => Some(after),
            Some(Err(_)) => return Ok(Page { items: Vec::new(), next: None }),
        };
        self.search(filter, after, usize::from(max)).await.map_err(unavailable)
    }

    async fn find(&self, id: &str) -> Result<Option<DeadLetter>, StreamError> {
        let Ok(id) = id.parse::<EntryId>() else { return Ok(None) };
        let id = id.to_string();
        let found = self.range(&id, &id, 1).await.map_err(unavailable)?;
        Ok(found.into_iter().next().and_then(decode))
    }

    async fn replay(&self, ids: &[String]) -> Result<u64, StreamError> {
        let mut replayed = 0;
        for id in known_form(ids) {
            let mut call = REPLAY.key(names::DEAD_LETTERS);
            call.key(names::CLICKS).arg(id.to_string()).arg(2 * HEAD_LEN);
            replayed += self.0.script::<u64>(&call).await.map_err(unavailable)?;
        }
        Ok(replayed)
    }

    async fn purge(&self, ids: &[String]) -> Result<u64, StreamError> {
        let mut purged = 0;
        for some in known_form(ids).chunks(IDS_PER_CALL) {
            let mut command = redis::cmd("XDEL");
            command.arg(names::DEAD_LETTERS);
            for id in some {
                command.arg(id.to_string());
            }
            purged += self.0.query::<u64>(&command).await.map_err(unavailable)?;
        }
        Ok(purged)
    }
}
