//! Calls about links.

use reqwest::header::IF_MATCH;
use serde::{Deserialize, Serialize};
use vayro_core::ids::LinkId;
use vayro_core::timestamp::Timestamp;

use super::error::{ApiError, Problem};
use super::http::{Api, Call};

/// A link as the API shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Link {
    /// Its identity.
    pub id: LinkId,
    /// Its path part.
    pub short_code: String,
    /// Its whole short address.
    pub short_url: String,
    /// The host it lives on.
    pub domain: Option<String>,
    /// Where it leads.
    pub target_url: String,
    /// A name for people, empty if none.
    #[serde(default)]
    pub title: String,
    /// `active`, `disabled`, `expired`, `archived` or `deleted`.
    pub state: String,
    /// The status of its redirect.
    pub redirect_status: u16,
    /// Whether it is switched on.
    pub is_active: bool,
    /// When it stops redirecting.
    pub expires_at: Option<Timestamp>,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Counts its changes.
    pub version: i32,
    /// Counted clicks.
    pub clicks: i64,
    /// When the newest of them was accepted.
    pub last_click_at: Option<Timestamp>,
}

/// A link about to be created; what is `None` is left to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct NewLink {
    /// Where it will lead.
    pub target_url: String,
    /// Its path part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_code: Option<String>,
    /// The host it will live on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The status of its redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_status: Option<u16>,
    /// Whether it is switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
    /// When it stops redirecting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A change of a link; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LinkPatch {
    /// Where it will lead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_url: Option<String>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The status of its redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_status: Option<u16>,
    /// On or off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
    /// When it stops redirecting; `Some(None)` is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Option<Timestamp>>,
    /// Into the archive or out of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_archived: Option<bool>,
}

/// Which links a list wants.
#[derive(Clone, Debug, Default)]
pub struct LinkQuery {
    /// Only with this in code, target or title.
    pub search: Option<String>,
    /// Only with this code.
    pub short_code: Option<String>,
    /// Only on this host.
    pub domain: Option<String>,
    /// Only in these states; empty leaves it to the server.
    pub states: Vec<String>,
    /// The order.
    pub sort: Option<String>,
    /// `asc` or `desc`.
    pub order: Option<String>,
}

/// Items in order, and where the next page starts.
#[derive(Clone, Debug, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; `None` on the last page.
    pub next: Option<String>,
}

/// What became of one link of a bulk call.
#[derive(Clone, Debug, Deserialize)]
pub struct BulkResult {
    /// The link, if it was made.
    #[serde(default)]
    pub link: Option<Link>,
    /// Why it was not.
    #[serde(default)]
    pub problem: Option<Problem>,
}

#[derive(Deserialize)]
struct BulkAnswer {
    results: Vec<BulkResult>,
}

#[derive(Serialize)]
struct BulkRequest<'a> {
    operations: Vec<BulkOperation<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum BulkOperation<'a> {
    Create { link: &'a NewLink },
}

/// Most links one page of a list has.
pub const PAGE_LEN_MAX: usize = 200;
/// Most links one bulk call takes.
pub const BULK_LEN_MAX: usize = 100;

impl Api {
    /// Creates a link.
    pub async fn create_link(&self, new: &NewLink) -> Result<Link, ApiError> {
        self.send(Call::post(&["links"]).once().body(new)).await
    }

    /// Creates up to [`BULK_LEN_MAX`] links; one result per link, in order.
    pub async fn create_links(&self, links: &[NewLink]) -> Result<Vec<BulkResult>, ApiError> {
        let operations = links.iter().map(|link| BulkOperation::Create { link }).collect();
        let call = Call::post(&["links", "bulk"]).once().body(&BulkRequest { operations });
        let answer: BulkAnswer = self.send(call).await?;
        Ok(answer.results)
    }

    /// Returns one page of at most `size` links.
    pub async fn list_links(
        &self,
        query: &LinkQuery,
        cursor: Option<&str>,
        size: usize,
    ) -> Result<Page<Link>, ApiError> {
        let states = (!query.states.is_empty()).then(|| query.states.join(","));
        let call = Call::get(&["links"])
            .query("search", query.search.as_ref())
            .query("short_code", query.short_code.as_ref())
            .query("domain", query.domain.as_ref())
            .query("state", states)
            .query("sort", query.sort.as_ref())
            .query("order", query.order.as_ref())
            .query("cursor", cursor)
            .query("limit", Some(size.clamp(1, PAGE_LEN_MAX)));
        self.send(call).await
    }

    /// Returns a link.
    pub async fn find_link(&self, id: LinkId) -> Result<Link, ApiError> {
        self.send(Call::get(&["links", &id.to_string()])).await
    }

    /// Changes a link; with `version` only if it still has that one.
    pub async fn update_link(
        &self,
        id: LinkId,
        patch: &LinkPatch,
        version: Option<i32>,
    ) -> Result<Link, ApiError> {
        let mut call = Call::patch(&["links", &id.to_string()]).body(patch);
        if let Some(version) = version {
            call = call.header(IF_MATCH, &format!("\"{version}\""));
        }
        self.send(call).await
    }

    /// Deletes a link; it can be restored for a while.
    pub async fn delete_link(&self, id: LinkId) -> Result<(), ApiError> {
        self.send_only(Call::delete(&["links", &id.to_string()])).await
    }

    /// Takes back the deletion of a link.
    pub async fn restore_link(&self, id: LinkId) -> Result<Link, ApiError> {
        self.send(Call::post(&["links", &id.to_string(), "restore"])).await
    }
}
