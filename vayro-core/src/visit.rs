//! What one visit is answered with and what it counts for, free of I/O. Edges serve with this, and explanations of
//! what they would do ask the same.
//!
//! [`HostTable`] says what a host is, [`wanted`] what the request is about, [`verdict`] what a link is answered with
//! once it was looked up; [`redirect()`] and [`Page`] are the answers, [`mint_click`] is what remains of the visit.

mod asked;
mod hosts;
mod page;
mod redirect;
mod visitor;

use http::{HeaderName, HeaderValue};

use crate::resolve::{CachedLink, Resolution, resolve};
use crate::timestamp::Timestamp;

pub use asked::{Code, Wanted, wanted};
pub use hosts::{HOST_BUFFER_LEN, HostTable, UnknownHost, normal_host};
pub use page::{Page, PageForm, wants_json};
pub use redirect::{lead_to, redirect, redirect_differences, redirect_template, root_redirect};
pub use visitor::{
    ClickAddress, ClickPolicy, PrivacySignal, Visit, VisitHeaders, X_FORWARDED_FOR, is_private, is_within,
    mint_click, visitor_address,
};

/// `X-Robots-Tag`; search engines should list the target, not the short link.
pub const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// The head of an answer, without `Date` and what the connection adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The headers, each name once.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Head {
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        match self.headers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, place)) => *place = value,
            None => self.headers.push((name, value)),
        }
    }
}

/// What an edge has in its memory about a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// A link that is served without asking anybody.
    Fresh(CachedLink),
    /// A link that is served while one look-up refreshes it.
    Aging(CachedLink),
    /// A link that is served only if nobody can be asked.
    Stale(CachedLink),
    /// That there was no such link a moment ago.
    Absent,
    /// Nothing.
    Nothing,
}

/// What a visitor of a code that was looked up gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The link's target.
    Redirect(&'a CachedLink),
    /// A page.
    Page(Page),
}

/// Decides what a visitor of `link` gets at `now`.
pub fn verdict(link: Option<&CachedLink>, now: Timestamp) -> Verdict<'_> {
    match (resolve(link, now), link) {
        (Resolution::Redirect { .. }, Some(link)) => Verdict::Redirect(link),
        (Resolution::Gone, _) => Verdict::Page(Page::Gone),
        (Resolution::NotFound | Resolution::Redirect { .. }, _) => Verdict::Page(Page::NotFound),
    }
}
