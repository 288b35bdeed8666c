//! The decision about one request, free of I/O.

use serde::{Deserialize, Serialize};

use crate::ids::{LinkId, WorkspaceId};
use crate::link::{Link, RedirectStatus};
use crate::target::TargetUrl;
use crate::timestamp::Timestamp;

/// What caches keep of a link; its JSON is the value of the Redis key `url:{short_code}`.
///
/// `target`, `active` and `id` are the specification's; the rest was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedLink {
    /// Where the link leads.
    pub target: TargetUrl,
    /// Whether it redirects: switched on and not deleted. Expiry is apart, since time alone changes it.
    pub active: bool,
    /// Which link it is.
    pub id: LinkId,
    /// Who owns it.
    #[serde(rename = "workspace")]
    pub workspace_id: WorkspaceId,
    /// The status of its redirect.
    #[serde(default)]
    pub status: RedirectStatus,
    /// When it stops redirecting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The link's revision; a cache never replaces a higher one by a lower one.
    #[serde(default)]
    pub revision: i64,
}

impl From<&Link> for CachedLink {
    fn from(link: &Link) -> Self {
        Self {
            target: link.target_url.clone(),
            active: link.is_active && link.deleted_at.is_none(),
            id: link.id,
            workspace_id: link.workspace_id,
            status: link.redirect_status,
            expires_at: link.expires_at,
            revision: link.revision,
        }
    }
}

/// What the edge answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution<'a> {
    /// Send the visitor on.
    Redirect {
        /// Whither.
        target: &'a TargetUrl,
        /// How.
        status: RedirectStatus,
    },
    /// 404: unknown, disabled or deleted.
    NotFound,
    /// 410: the link has expired.
    Gone,
}

/// Decides what a visitor of `link` gets at `now`; asked after every cache read.
pub fn resolve(link: Option<&CachedLink>, now: Timestamp) -> Resolution<'_> {
    match link {
        None => Resolution::NotFound,
        Some(link) if !link.active => Resolution::NotFound,
        Some(link) if link.expires_at.is_some_and(|at| at <= now) => Resolution::Gone,
        Some(link) => Resolution::Redirect { target: &link.target, status: link.status },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> CachedLink {
        serde_json::from_str(
            r#"{"target":"https://example.com/","active":true,
                "id":"01890000-0000-7000-8000-000000000001",
                "workspace":"01890000-0000-7000-8000-000000000002"}"#,
        )
        .expect("the specification's three members and the workspace are enough")
    }

    #[test]
    fn active_link_redirects_with_302() {
        let link = link();
        assert_eq!(
            resolve(Some(&link), Timestamp::EPOCH),
            Resolution::Redirect { target: &link.target, status: RedirectStatus::Found }
        );
    }

    #[test]
    fn unknown_and_inactive_links_are_not_found() {
        assert_eq!(resolve(None, Timestamp::EPOCH), Resolution::NotFound);
        let inactive = CachedLink { active: false, ..link() };
        assert_eq!(resolve(Some(&inactive), Timestamp::EPOCH), Resolution::NotFound);
    }

    #[test]
    fn expiry_is_exact_to_the_microsecond() {
        let at = Timestamp::from_micros(5).expect("in range");
        let expiring = CachedLink { expires_at: Some(at), ..link() };
        let before = Timestamp::from_micros(4).expect("in range");
        assert!(matches!(resolve(Some(&expiring), before), Resolution::Redirect { .. }));
        assert_eq!(resolve(Some(&expiring), at), Resolution::Gone);
    }
}
