//! Stored clicks one by one, as they may be shown.

use crate::click::ClickClass;
use crate::host::Host;
use crate::ids::{ClickId, LinkId};
use crate::timestamp::Timestamp;

/// A stored click without what would tell who it was: no visitor hash, and of the address only what is kept,
/// which is truncated.
///
/// Texts are empty where nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickEvent {
    /// The click's id; clicks are ordered by it, which is their order in time.
    pub id: ClickId,
    /// When it was accepted.
    pub timestamp: Timestamp,
    /// Which link.
    pub link_id: LinkId,
    /// The link's path part.
    pub short_code: String,
    /// The link's host; `None` for the instance's default domain.
    pub domain: Option<Host>,
    /// What it counts as.
    pub class: ClickClass,
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
    /// Host of the referrer without `www.`.
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

/// Which way a list of clicks runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOrder {
    /// From the newest back.
    NewestFirst,
    /// From the oldest on.
    OldestFirst,
}

/// Most clicks one list holds; whoever wants more asks again behind the last one.
pub const EVENTS_MAX: u16 = 1000;
