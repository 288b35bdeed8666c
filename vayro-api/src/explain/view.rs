//! An explanation as clients see it.

use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use vayro_core::link::{LinkState, RedirectStatus};
use vayro_core::resolve::CachedLink;
use vayro_core::timestamp::Timestamp;
use vayro_core::visit::Head;

/// What would be done with a visit, and why.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Explanation)]
pub(super) struct ExplanationView {
    /// The address, as asked for.
    pub(super) url: String,
    /// The method.
    pub(super) method: String,
    /// When the visit would be.
    #[schema(value_type = String, format = DateTime)]
    pub(super) at: Timestamp,
    /// What is done, in order.
    pub(super) steps: Vec<StepView>,
    /// The short code; `null` if the address has none.
    #[schema(required = true)]
    pub(super) short_code: Option<String>,
    /// The link; `null` if there is none, or nobody can tell.
    #[schema(required = true)]
    pub(super) link: Option<LinkView>,
    /// What an edge answers; `null` if it hands the request on to another server.
    #[schema(required = true)]
    pub(super) answer: Option<AnswerView>,
    /// What the visit counts for.
    pub(super) count: CountView,
    /// How long it all took, in microseconds.
    pub(super) took_us: u64,
}

/// One step.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ExplanationStep)]
pub(super) struct StepView {
    /// `host`, `code`, `edge_memory`, `shared_cache`, `database`, `link`, `answer` or `count`.
    #[schema(value_type = String)]
    pub(super) step: &'static str,
    /// What came of it, for programs.
    #[schema(example = "active")]
    pub(super) result: String,
    /// The same in words.
    pub(super) detail: String,
    /// How long it took, in microseconds.
    pub(super) took_us: u64,
}

/// The link as edges know it, and what it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ExplainedLink)]
pub(super) struct LinkView {
    /// Its identity.
    pub(super) id: Uuid,
    /// Who owns it.
    pub(super) workspace_id: Uuid,
    /// What it is at the time of the visit; `null` if it is gone from the database.
    #[schema(value_type = Option<String>, required = true, example = "active")]
    pub(super) state: Option<LinkState>,
    /// Where it leads.
    pub(super) target_url: String,
    /// The status of its redirect.
    #[schema(schema_with = crate::schema::redirect_status)]
    pub(super) redirect_status: RedirectStatus,
    /// When it stops redirecting.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub(super) expires_at: Option<Timestamp>,
    /// Orders its changes; a cache with a lower one has not heard of the last change yet.
    pub(super) revision: i64,
}

impl LinkView {
    pub(super) fn new(link: &CachedLink, state: Option<LinkState>) -> Self {
        Self {
            id: link.id.as_uuid(),
            workspace_id: link.workspace_id.as_uuid(),
            state,
            target_url: link.target.to_string(),
            redirect_status: link.status,
            expires_at: link.expires_at,
            revision: link.revision,
        }
    }
}

/// An answer; `Date` and the headers of the connection come in addition.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ExplainedAnswer)]
pub(super) struct AnswerView {
    /// The status.
    pub(super) status: u16,
    /// The headers.
    pub(super) headers: Vec<HeaderView>,
}

impl From<&Head> for AnswerView {
    fn from(head: &Head) -> Self {
        let headers = head.headers.iter().map(|(name, value)| HeaderView {
            name: name.to_string(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        });
        Self { status: head.status, headers: headers.collect() }
    }
}

/// A header.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ExplainedHeader)]
pub(super) struct HeaderView {
    /// Its name.
    pub(super) name: String,
    /// Its value.
    pub(super) value: String,
}

/// What a visit counts for.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[schema(as = ExplainedCount)]
pub(super) struct CountView {
    /// What its click counts as: `counted`, `head`, `prefetch`, `bot` or `excluded`; `null` if there is no click. A
    /// `counted` one may still be a repeat.
    #[schema(required = true, value_type = Option<String>)]
    pub(super) class: Option<&'static str>,
    /// The rule that sees a robot; empty if none.
    pub(super) bot: String,
    /// Whether the visitor asks for privacy and gets it.
    pub(super) is_private: bool,
    /// The visitor's country; empty if unknown or withheld.
    pub(super) country: String,
    /// For how long after a counted visit another one of the same visitor is a repeat, in milliseconds; 0 if never.
    pub(super) repeat_window_ms: u64,
}

/// Takes down steps and how long each took.
pub(super) struct Steps {
    pub(super) taken: Vec<StepView>,
    began_at: Instant,
    last_at: Instant,
}

impl Steps {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { taken: Vec::new(), began_at: now, last_at: now }
    }

    /// Takes down what came of the step that just ended.
    pub(super) fn done(&mut self, step: &'static str, result: impl Into<String>, detail: impl Into<String>) {
        let now = Instant::now();
        let took_us = micros(now - self.last_at);
        self.last_at = now;
        self.taken.push(StepView { step, result: result.into(), detail: detail.into(), took_us });
    }

    pub(super) fn took_us(&self) -> u64 {
        micros(self.last_at - self.began_at)
    }
}

fn micros(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
