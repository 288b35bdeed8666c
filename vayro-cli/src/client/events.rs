//! Calls about clicks one by one.

use reqwest::Response;
use reqwest::header::HeaderName;
use serde::{Deserialize, Serialize};
use vayro_core::analytics::Dimension;
use vayro_core::click::ClickClass;
use vayro_core::ids::LinkId;
use vayro_core::timestamp::Timestamp;

use super::error::ApiError;
use super::http::{Api, Call};
use super::links::{PAGE_LEN_MAX, Page};

/// Header with the last click that was received.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Which clicks are wanted; what is `None` or empty is left to the server.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Of this link.
    pub link_id: Option<LinkId>,
    /// Name of a period.
    pub interval: Option<String>,
    /// An instant or a day to begin at.
    pub start: Option<String>,
    /// An instant or a day to end at.
    pub end: Option<String>,
    /// IANA name of the time zone that days follow.
    pub timezone: Option<String>,
    /// Of these classes.
    pub classes: Vec<ClickClass>,
    /// With these values of these dimensions.
    pub filters: Vec<(Dimension, String)>,
}

/// A click. Texts are empty where nothing is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its identity.
    pub id: String,
    /// When it was accepted.
    pub timestamp: Timestamp,
    /// The link.
    pub link_id: String,
    /// The link's address.
    pub short_url: String,
    /// What it counts as.
    pub class: String,
    /// The rule that saw a robot.
    pub bot: String,
    /// What the browser or robot says it is, as sent.
    pub user_agent: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Name of the region.
    pub region: String,
    /// Name of the city.
    pub city: String,
    /// `mobile`, `desktop` or `tablet`.
    pub device: String,
    /// Family of the browser.
    pub browser: String,
    /// Family of the operating system.
    pub os: String,
    /// First language asked for.
    pub language: String,
    /// Host of the referrer.
    pub referrer: String,
    /// The referrer as sent.
    pub referrer_url: String,
    /// The truncated address.
    pub ip_address: String,
    /// `link` or `qr`.
    pub trigger: String,
    /// `utm_source`.
    pub utm_source: String,
    /// `utm_medium`.
    pub utm_medium: String,
    /// `utm_campaign`.
    pub utm_campaign: String,
    /// `utm_term`.
    pub utm_term: String,
    /// `utm_content`.
    pub utm_content: String,
}

fn choose(call: Call, query: &EventQuery) -> Call {
    let mut call = call
        .query("link_id", query.link_id)
        .query("interval", query.interval.as_ref())
        .query("start", query.start.as_ref())
        .query("end", query.end.as_ref())
        .query("timezone", query.timezone.as_ref())
        .query("classes", names(&query.classes));
    for (dimension, values) in &query.filters {
        call = call.query(dimension.as_str(), Some(values));
    }
    call
}

fn names(classes: &[ClickClass]) -> Option<String> {
    let names: Vec<&str> = classes.iter().map(|class| class.as_str()).collect();
    (!names.is_empty()).then(|| names.join(","))
}

impl Api {
    /// Returns one page of at most `size` clicks, newest first.
    pub async fn list_events(
        &self,
        query: &EventQuery,
        cursor: Option<&str>,
        size: usize,
    ) -> Result<Page<Event>, ApiError> {
        let call = choose(Call::get(&["events"]), query)
            .query("cursor", cursor)
            .query("limit", Some(size.clamp(1, PAGE_LEN_MAX)));
        self.send(call).await
    }

    /// Begins an export in a format of the API; the caller reads it to its end.
    pub async fn export_events(&self, query: &EventQuery, format: &str) -> Result<Response, ApiError> {
        self.open(&choose(Call::get(&["export"]), query).query("format", Some(format))).await
    }

    /// Begins to follow clicks of every class, behind the one with the id `last` if there is one.
    pub async fn follow_events(
        &self,
        link_id: Option<LinkId>,
        last: Option<&str>,
    ) -> Result<Response, ApiError> {
        let call = Call::get(&["live"]).query("link_id", link_id);
        let call = last.into_iter().fold(call, |call, last| call.header(LAST_EVENT_ID, last));
        self.open(&call).await
    }
}
