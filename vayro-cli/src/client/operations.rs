//! Calls of instance operators: the click stream and its dead letters.

use serde::{Deserialize, Serialize};
use vayro_core::stream::{BoundedCount, DeadReason, EdgeReport, StreamStats};
use vayro_core::timestamp::Timestamp;

use super::error::ApiError;
use super::http::{Api, Call};
use super::links::Page;

/// The click stream and the edges in front of it, at one instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamState {
    /// When it was measured.
    pub at: Timestamp,
    /// The stream.
    #[serde(flatten)]
    pub stream: StreamStats,
    /// The edges that reported lately.
    pub edges: Vec<EdgeReport>,
}

/// A click that could not be stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its position among the dead letters.
    pub id: String,
    /// Where it was in the stream.
    pub stream_id: String,
    /// Why it is here.
    pub reason: DeadReason,
    /// What went wrong, in words.
    pub error: String,
    /// How often it had been handed out.
    pub attempts: u32,
    /// When it was put aside.
    pub dead_at: Timestamp,
    /// What it carries, in order.
    pub fields: Vec<Field>,
}

/// One field of a stream entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value, invalid UTF-8 replaced.
    pub value: String,
}

/// Which dead letters are meant; all of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterQuery {
    /// Only for this reason.
    pub reason: Option<DeadReason>,
    /// Only put aside at or after this instant.
    pub since: Option<Timestamp>,
    /// Only of this link.
    pub link_id: Option<String>,
}

/// Most dead letters one page has, and one replay or purge takes.
pub const LETTERS_MAX: usize = 100;

#[derive(Deserialize)]
struct Replayed {
    replayed: BoundedCount,
}

#[derive(Deserialize)]
struct Batch {
    done: u64,
}

impl Api {
    /// Measures the click stream.
    pub async fn stream_state(&self) -> Result<StreamState, ApiError> {
        self.send(Call::get(&["ops", "stream"])).await
    }

    /// Hands out again what the stream still holds of the time since, and returns how much that is.
    pub async fn replay_stream(&self, since: Timestamp) -> Result<BoundedCount, ApiError> {
        let call = Call::post(&["ops", "stream", "replay"]).body(&serde_json::json!({ "since": since }));
        self.send::<Replayed>(call).await.map(|answer| answer.replayed)
    }

    /// Returns one page of dead letters, oldest first.
    pub async fn list_letters(
        &self,
        query: &LetterQuery,
        cursor: Option<&str>,
        size: usize,
    ) -> Result<Page<DeadLetter>, ApiError> {
        let call = Call::get(&["ops", "dead-letters"])
            .query("reason", query.reason.map(DeadReason::as_str))
            .query("since", query.since)
            .query("link_id", query.link_id.as_ref())
            .query("cursor", cursor)
            .query("limit", Some(size.clamp(1, LETTERS_MAX)));
        self.send(call).await
    }

    /// Returns one dead letter.
    pub async fn find_letter(&self, id: &str) -> Result<DeadLetter, ApiError> {
        self.send(Call::get(&["ops", "dead-letters", id])).await
    }

    /// Puts dead letters back into the stream and returns how many.
    pub async fn replay_letters(&self, ids: &[String]) -> Result<u64, ApiError> {
        let call = Call::post(&["ops", "dead-letters", "replay"]).body(&serde_json::json!({ "ids": ids }));
        self.send::<Batch>(call).await.map(|answer| answer.done)
    }

    /// Removes dead letters for good and returns how many.
    pub async fn purge_letters(&self, ids: &[String]) -> Result<u64, ApiError> {
        let call = Call::delete(&["ops", "dead-letters"]).query("ids", Some(ids.join(",")));
        self.send::<Batch>(call).await.map(|answer| answer.done)
    }
}
