//! The dead letters.
//!
//! An entry begins with five fields that describe it, in a fixed order; what follows are the fields of
//! the click's entry exactly as they were, so that a replay puts back the same bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use redis::{RedisResult, Value};
use vayro_core::click::Fields;
use vayro_core::page::Page;
use vayro_core::ports::{DeadLetterStore, StreamError};
use vayro_core::stream::{DeadLetter, DeadLetterFilter, DeadReason, ERROR_LEN_MAX, NewDeadLetter};

use crate::client::RedisClient;
use crate::entry::{self, Entry, EntryId};
use crate::lane::Lane;
use crate::names::ShardKeys;
use crate::scripts::REPLAY;
use crate::shard::{Place, Shard, place};
use crate::shards::Shards;

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

/// The dead letters of the click stream, those of all shards.
#[derive(Clone, Debug)]
pub struct RedisDeadLetters {
    lane: Lane,
    shards: Arc<Shards>,
}

/// Letters are told in this order: by when they were put aside, then by shard.
type Order = (EntryId, Shard);

/// What was found in one shard.
struct Found {
    letters: Vec<(Order, DeadLetter)>,
    /// How far was searched; `None` if to the end.
    searched: Option<Order>,
}

impl RedisDeadLetters {
    /// Returns the letters on this server.
    pub fn new(client: &RedisClient) -> Self {
        Self { lane: client.commands.clone(), shards: Arc::clone(&client.shards) }
    }

    async fn range(&self, keys: &ShardKeys, from: &str, to: &str, count: usize) -> RedisResult<Vec<Entry>> {
        let mut command = redis::cmd("XRANGE");
        command.arg(&keys.dead_letters).arg(from).arg(to).arg("COUNT").arg(count);
        let reply: Value = self.lane.query(&keys.dead_letters, &command).await?;
        Ok(entry::entries(reply).map_err(std::io::Error::other)?)
    }

    /// Searches all shards and puts together what is in order: nothing behind the place where the search of
    /// one of them stopped.
    async fn search(
        &self,
        filter: &DeadLetterFilter,
        after: Option<Place>,
        max: usize,
    ) -> RedisResult<Page<DeadLetter, String>> {
        let layout = self.shards.layout().await?;
        let pages = (PAGES_MAX / layout.all().count()).max(1);
        let (mut letters, mut bound) = (Vec::new(), None);
        for keys in layout.all() {
            let found = self.search_one(keys, filter, after, max, pages).await?;
            letters.extend(found.letters);
            bound = match (bound, found.searched) {
                (Some(bound), Some(searched)) => Some(std::cmp::min::<Order>(bound, searched)),
                (bound, searched) => bound.or(searched),
            };
        }
        letters.sort_by_key(|(order, _)| *order);
        letters.retain(|(order, _)| bound.is_none_or(|bound| *order <= bound));
        let next = if letters.len() > max {
            letters.truncate(max);
            letters.last().map(|(order, _)| *order)
        } else {
            bound
        };
        Ok(Page {
            items: letters.into_iter().map(|(_, letter)| letter).collect(),
            next: next.map(|(id, shard)| Place { shard, id }.to_string()),
        })
    }

    /// Searches one shard until one letter more than `max` is found.
    async fn search_one(
        &self,
        keys: &ShardKeys,
        filter: &DeadLetterFilter,
        after: Option<Place>,
        max: usize,
        pages: usize,
    ) -> RedisResult<Found> {
        let mut letters = Vec::new();
        let mut from = match after {
            None => "-".to_owned(),
            Some(Place { shard, id }) if keys.shard <= shard => format!("({id}"),
            Some(Place { id, .. }) => id.to_string(),
        };
        let mut searched = None;
        for _ in 0..pages {
            let page = self.range(keys, &from, "+", PAGE_LEN).await?;
            let is_last = page.len() < PAGE_LEN;
            for entry in page {
                let id: EntryId = entry.id.parse().map_err(std::io::Error::other)?;
                let order = (id, keys.shard);
                searched = Some(order);
                from = format!("({id}");
                if let Some(letter) = decode(keys.shard, entry).filter(|letter| filter.matches(letter)) {
                    letters.push((order, letter));
                    if letters.len() > max {
                        return Ok(Found { letters, searched });
                    }
                }
            }
            if is_last {
                return Ok(Found { letters, searched: None });
            }
        }
        Ok(Found { letters, searched })
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
fn decode(shard: Shard, entry: Entry) -> Option<DeadLetter> {
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
            .map(|(name, value)| (name.into_owned(), String::from_utf8_lossy(&value).into_owned()))
            .collect(),
        id: place(shard, &entry.id),
    })
}

fn unavailable(error: redis::RedisError) -> StreamError {
    StreamError(error.into())
}

/// Ids that are none are unknown ones.
fn known_form(ids: &[String]) -> Vec<Place> {
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
        let Ok(Place { shard, id }) = id.parse() else { return Ok(None) };
        let keys = self.shards.find(shard).await.map_err(unavailable)?;
        let id = id.to_string();
        let found = self.range(&keys, &id, &id, 1).await.map_err(unavailable)?;
        Ok(found.into_iter().next().and_then(|entry| decode(shard, entry)))
    }

    async fn replay(&self, ids: &[String]) -> Result<u64, StreamError> {
        let mut replayed = 0;
        for Place { shard, id } in known_form(ids) {
            // Into the shard it was in: that is read as long as there are letters, and takes one step.
            let keys = self.shards.find(shard).await.map_err(unavailable)?;
            let mut call = REPLAY.key(&keys.dead_letters);
            call.key(&keys.stream).arg(id.to_string()).arg(2 * HEAD_LEN);
            replayed += self.lane.script::<u64>(&keys.stream, &call).await.map_err(unavailable)?;
        }
        Ok(replayed)
    }

    async fn purge(&self, ids: &[String]) -> Result<u64, StreamError> {
        let mut shards: BTreeMap<Shard, Vec<String>> = BTreeMap::new();
        for Place { shard, id } in known_form(ids) {
            shards.entry(shard).or_default().push(id.to_string());
        }
        let mut purged = 0;
        for (shard, ids) in shards {
            let keys = self.shards.find(shard).await.map_err(unavailable)?;
            for some in ids.chunks(IDS_PER_CALL) {
                let mut command = redis::cmd("XDEL");
                command.arg(&keys.dead_letters).arg(some);
                purged += self.lane.query::<u64>(&keys.dead_letters, &command).await.map_err(unavailable)?;
            }
        }
        Ok(purged)
    }
}
