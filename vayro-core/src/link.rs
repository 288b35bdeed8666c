//! Links: what they are, how they change, how they are listed.

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::ids::{DomainId, LinkId, UserId, WorkspaceId};
use crate::page::PageSize;
use crate::short_code::ShortCode;
use crate::target::TargetUrl;
use crate::timestamp::Timestamp;

/// The status a redirect answers with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum RedirectStatus {
    /// 301: browsers may remember it, and then neither edits nor clicks are seen.
    MovedPermanently,
    /// 302, the default: every visit comes past us.
    #[default]
    Found,
    /// 303: the method becomes GET.
    SeeOther,
    /// 307: like 302, keeping the method.
    TemporaryRedirect,
    /// 308: like 301, keeping the method.
    PermanentRedirect,
}

/// The number is not one of the five redirects.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("redirect status must be 301, 302, 303, 307 or 308, not {0}")]
pub struct RedirectStatusError(u16);

impl RedirectStatus {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::MovedPermanently,
        Self::Found,
        Self::SeeOther,
        Self::TemporaryRedirect,
        Self::PermanentRedirect,
    ];

    /// Returns the HTTP status code.
    pub const fn code(self) -> u16 {
        match self {
            Self::MovedPermanently => 301,
            Self::Found => 302,
            Self::SeeOther => 303,
            Self::TemporaryRedirect => 307,
            Self::PermanentRedirect => 308,
        }
    }

    /// Tells whether browsers may remember the answer.
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::MovedPermanently | Self::PermanentRedirect)
    }
}

impl TryFrom<u16> for RedirectStatus {
    type Error = RedirectStatusError;

    fn try_from(code: u16) -> Result<Self, Self::Error> {
        Ok(match code {
            301 => Self::MovedPermanently,
            302 => Self::Found,
            303 => Self::SeeOther,
            307 => Self::TemporaryRedirect,
            308 => Self::PermanentRedirect,
            other => return Err(RedirectStatusError(other)),
        })
    }
}

impl From<RedirectStatus> for u16 {
    fn from(status: RedirectStatus) -> Self {
        status.code()
    }
}

/// What a link is at an instant; derived, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Redirects.
    Active,
    /// Switched off by its owner; answers 404.
    Disabled,
    /// Past its expiry; answers 410.
    Expired,
    /// Redirects, but is hidden from lists unless asked for.
    Archived,
    /// Deleted; answers 404 and can be restored within the window.
    Deleted,
}

impl LinkState {
    /// Every state, for parsers and tests.
    pub const ALL: [Self; 5] = [Self::Active, Self::Disabled, Self::Expired, Self::Archived, Self::Deleted];

    /// Returns its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Archived => "archived",
            Self::Deleted => "deleted",
        }
    }
}

/// How long a deleted link can be restored; afterwards it is purged with its clicks.
pub const RESTORE_WINDOW_DAYS: u32 = 30;
/// Longest title, in bytes.
pub const TITLE_LEN_MAX: usize = 200;

/// A short link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its identity, for ever.
    pub id: LinkId,
    /// Who owns it.
    pub workspace_id: WorkspaceId,
    /// Who created it.
    pub user_id: UserId,
    /// The domain it lives on.
    pub domain_id: DomainId,
    /// The host of that domain; `None` for the instance's default domain.
    pub domain: Option<Host>,
    /// Its path part, unique on its domain.
    pub short_code: ShortCode,
    /// Where it leads.
    pub target_url: TargetUrl,
    /// A name for people, empty if none.
    pub title: String,
    /// The status of its redirect.
    pub redirect_status: RedirectStatus,
    /// Whether its owner has it switched on.
    pub is_active: bool,
    /// When it stops redirecting.
    pub expires_at: Option<Timestamp>,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
    /// When it was deleted; purged [`RESTORE_WINDOW_DAYS`] later.
    pub deleted_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Counts its changes from 1; the API's `ETag`.
    pub version: i32,
    /// Orders changes over all links of the instance; caches keep the highest they saw.
    pub revision: i64,
    /// Counted clicks so far.
    pub clicks: i64,
    /// When the newest counted click was accepted.
    pub last_click_at: Option<Timestamp>,
}

impl Link {
    /// Returns what the link is at `now`; deleted beats disabled beats expired beats archived.
    pub fn state(&self, now: Timestamp) -> LinkState {
        if self.deleted_at.is_some() {
            LinkState::Deleted
        } else if !self.is_active {
            LinkState::Disabled
        } else if self.expires_at.is_some_and(|at| at <= now) {
            LinkState::Expired
        } else if self.archived_at.is_some() {
            LinkState::Archived
        } else {
            LinkState::Active
        }
    }

    /// Returns the key the edge finds it under.
    pub fn key(&self) -> LinkKey {
        LinkKey { domain: self.domain.clone(), short_code: self.short_code.clone() }
    }
}

/// What the edge looks links up by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkKey {
    /// The registered host; `None` for the default domain.
    pub domain: Option<Host>,
    /// The path part.
    pub short_code: ShortCode,
}

/// A link about to be stored.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// Its identity.
    pub id: LinkId,
    /// Who will own it.
    pub workspace_id: WorkspaceId,
    /// Who creates it.
    pub user_id: UserId,
    /// The domain it lives on.
    pub domain_id: DomainId,
    /// Its path part.
    pub short_code: ShortCode,
    /// Where it leads.
    pub target_url: TargetUrl,
    /// A name for people.
    pub title: String,
    /// The status of its redirect.
    pub redirect_status: RedirectStatus,
    /// Whether it is switched on.
    pub is_active: bool,
    /// When it stops redirecting.
    pub expires_at: Option<Timestamp>,
}

/// A change of a link; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkPatch {
    /// A new target.
    pub target_url: Option<TargetUrl>,
    /// A new title.
    pub title: Option<String>,
    /// A new redirect status.
    pub redirect_status: Option<RedirectStatus>,
    /// On or off.
    pub is_active: Option<bool>,
    /// A new expiry, or `Some(None)` to clear it.
    pub expires_at: Option<Option<Timestamp>>,
    /// Into the archive or out of it.
    pub is_archived: Option<bool>,
}

impl LinkPatch {
    /// Tells whether nothing would change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a conditional change of a link ended.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkUpdate {
    /// Done; the link as it is now.
    Done(Box<Link>),
    /// No such link in that workspace, or it is deleted (for restore: not deleted).
    Missing,
    /// It has another version than the caller expected.
    VersionMismatch {
        /// The version it has.
        current: i32,
    },
}

/// Order of a list; ties are broken by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkSort {
    /// By creation.
    #[default]
    CreatedAt,
    /// By last change.
    UpdatedAt,
    /// By counted clicks.
    Clicks,
    /// By newest click; never-clicked links count as clicked at the epoch.
    LastClickAt,
    /// By short code, in byte order.
    ShortCode,
}

/// Which links a list wants.
#[derive(Clone, Debug)]
pub struct LinkFilter {
    /// Only this workspace's; every query is scoped.
    pub workspace_id: WorkspaceId,
    /// Only on this domain.
    pub domain_id: Option<DomainId>,
    /// Only in one of these states at `now`; empty means active, disabled and expired.
    pub states: Vec<LinkState>,
    /// Only created by this user.
    pub user_id: Option<UserId>,
    /// Only with this exact code.
    pub short_code: Option<ShortCode>,
    /// Only where code, target or title contains this, without regard to ASCII case; wildcards are taken literally.
    pub search: Option<String>,
    /// Order.
    pub sort: LinkSort,
    /// Whether the order is largest or newest first.
    pub is_descending: bool,
    /// Where to go on.
    pub after: Option<LinkCursor>,
    /// How many.
    pub size: PageSize,
    /// The instant that decides what is expired.
    pub now: Timestamp,
}

/// Longest search text, in bytes.
pub const SEARCH_LEN_MAX: usize = 200;

/// The last item of a page, as far as the order needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCursor {
    /// The order the page was made with; a cursor is refused under another one.
    pub sort: LinkSort,
    /// Whether that order was descending.
    pub is_descending: bool,
    /// The sort value: microseconds, a count, or the short code.
    pub value: CursorValue,
    /// The tiebreak.
    pub id: LinkId,
}

/// The value of the sorted column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CursorValue {
    /// Microseconds or a count.
    Number(i64),
    /// A short code.
    Text(String),
}

impl LinkCursor {
    /// Returns the cursor that stands behind `link` in the given order.
    pub fn after(link: &Link, sort: LinkSort, is_descending: bool) -> Self {
        let value = match sort {
            LinkSort::CreatedAt => CursorValue::Number(link.created_at.as_micros()),
            LinkSort::UpdatedAt => CursorValue::Number(link.updated_at.as_micros()),
            LinkSort::Clicks => CursorValue::Number(link.clicks),
            LinkSort::LastClickAt => {
                CursorValue::Number(link.last_click_at.unwrap_or(Timestamp::EPOCH).as_micros())
            }
            LinkSort::ShortCode => CursorValue::Text(link.short_code.to_string()),
        };
        Self { sort, is_descending, value, id: link.id }
    }
}
