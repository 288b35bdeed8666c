//! Redirects as they are sent.

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, LOCATION};
use http::{HeaderName, HeaderValue};

use super::{Head, X_ROBOTS_TAG};
use crate::link::RedirectStatus;
use crate::resolve::CachedLink;
use crate::target::TargetUrl;
use crate::timestamp::Timestamp;

/// Returns what all redirects of a status have in common; `Location`, the first header, has no value yet. Browsers may
/// remember a permanent redirect for `permanent_max_age`: without a limit they would do so for ever, and no edit and no
/// click would be seen again.
pub fn redirect_template(status: RedirectStatus, permanent_max_age: Duration) -> Head {
    let cache_control = if status.is_permanent() {
        permanent(permanent_max_age)
    } else {
        HeaderValue::from_static("private, max-age=0")
    };
    // No Referrer-Policy: the page that carries the link decides what its visitors' referrer tells.
    Head {
        status: status.code(),
        headers: vec![
            (LOCATION, HeaderValue::from_static("")),
            (CACHE_CONTROL, cache_control),
            (CONTENT_LENGTH, HeaderValue::from_static("0")),
            (X_ROBOTS_TAG, HeaderValue::from_static("noindex")),
        ],
    }
}

/// Returns the headers in which the answer for a visitor of `link` at `now` differs from the template of its status.
pub fn redirect_differences(
    link: &CachedLink,
    now: Timestamp,
    permanent_max_age: Duration,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    // No browser may remember the answer past the end of the link.
    let expires_at = link.expires_at.filter(|_| link.status.is_permanent());
    let cache_control = expires_at.map(|at| (CACHE_CONTROL, permanent(at.since(now).min(permanent_max_age))));
    std::iter::once((LOCATION, location(&link.target))).chain(cache_control)
}

/// Returns the answer for a visitor of `link` at `now`.
pub fn redirect(link: &CachedLink, now: Timestamp, permanent_max_age: Duration) -> Head {
    let mut head = redirect_template(link.status, permanent_max_age);
    for (name, value) in redirect_differences(link, now, permanent_max_age) {
        head.set(name, value);
    }
    head
}

/// Returns an answer that sends the visitor of `/` to the place that the operator chose.
pub fn root_redirect(target: &TargetUrl) -> Head {
    lead_to(302, location(target), "private, max-age=0")
}

/// Returns an answer that sends the visitor to `location`, which is ours and not counted.
pub fn lead_to(status: u16, location: HeaderValue, cache_control: &'static str) -> Head {
    Head {
        status,
        headers: vec![
            (LOCATION, location),
            (CACHE_CONTROL, HeaderValue::from_static(cache_control)),
            (CONTENT_LENGTH, HeaderValue::from_static("0")),
        ],
    }
}

fn location(target: &TargetUrl) -> HeaderValue {
    HeaderValue::from_str(target.as_str()).expect("targets are visible ASCII")
}

fn permanent(max_age: Duration) -> HeaderValue {
    HeaderValue::try_from(format!("private, max-age={}", max_age.as_secs())).expect("digits and letters")
}
