//! What redirects have in common, made ready at start: a link in memory holds no more than its target.

use std::time::Duration;

use pingora::http::ResponseHeader;
use vayro_core::link::RedirectStatus;
use vayro_core::resolve::CachedLink;
use vayro_core::timestamp::Timestamp;
use vayro_core::visit::{redirect_differences, redirect_template};

use crate::answer::{add_places, header_without_places};

/// The redirects of every status.
#[derive(Debug)]
pub(crate) struct RedirectForms {
    permanent_max_age: Duration,
    forms: [Form; RedirectStatus::ALL.len()],
}

/// The redirects of one status.
#[derive(Debug)]
struct Form {
    /// Without values for `Location`, `Date` and `Connection`.
    header: ResponseHeader,
    /// What HTTP/1.1 writes before the target,
    before: Box<[u8]>,
    /// and behind it, without `Date` and `Connection`.
    behind: Box<[u8]>,
}

impl RedirectForms {
    /// Makes every form. Browsers may remember a permanent redirect for `permanent_max_age`.
    pub(crate) fn new(permanent_max_age: Duration) -> Self {
        Self { permanent_max_age, forms: RedirectStatus::ALL.map(|status| form(status, permanent_max_age)) }
    }

    fn of(&self, status: RedirectStatus) -> &Form {
        &self.forms[status as usize]
    }

    /// Returns the answer for a visitor of `link`, without values for `Date` and `Connection`.
    ///
    /// # Panics
    ///
    /// Never: a target is visible ASCII.
    pub(crate) fn header(&self, link: &CachedLink, now: Timestamp) -> Box<ResponseHeader> {
        let mut header = Box::new(self.of(link.status).header.clone());
        for (name, value) in redirect_differences(link, now, self.permanent_max_age) {
            header.insert_header(name, value).expect("names and values are valid");
        }
        header
    }

    /// Appends the same as HTTP/1.1 writes it, but for `Date`, `Connection` and the empty line; false if it is not
    /// the same for every visitor.
    pub(crate) fn write(&self, link: &CachedLink, bytes: &mut Vec<u8>) -> bool {
        if link.status.is_permanent() && link.expires_at.is_some() {
            return false;
        }
        let form = self.of(link.status);
        for part in [&form.before, link.target.as_str().as_bytes(), &form.behind] {
            bytes.extend_from_slice(part);
        }
        true
    }
}

fn form(status: RedirectStatus, permanent_max_age: Duration) -> Form {
    let mut header = header_without_places(&redirect_template(status, permanent_max_age));
    let mut before = format!("HTTP/1.1 {}\r\n", header.status).into_bytes();
    let start = before.len();
    header.header_to_h1_wire(&mut before);
    let colon = memchr::memchr(b':', &before[start..]).expect("a header has a name");
    let behind = before.split_off(start + colon + ": ".len());
    add_places(&mut header);
    Form { header, before: before.into(), behind: behind.into() }
}

#[cfg(test)]
mod tests {
    use http::header::CACHE_CONTROL;

    use super::*;

    fn link(json: &str) -> CachedLink {
        let whole = format!(
            r#"{{"target":"https://example.com/","active":true,{json}
                "id":"01890000-0000-7000-8000-000000000001",
                "workspace":"01890000-0000-7000-8000-000000000002"}}"#
        );
        serde_json::from_str(&whole).expect("valid")
    }

    fn forms() -> RedirectForms {
        RedirectForms::new(Duration::from_secs(90))
    }

    #[test]
    fn both_ways_say_the_same() {
        for status in RedirectStatus::ALL {
            let link = link(&format!(r#""status":{},"#, status.code()));
            let header = forms().header(&link, Timestamp::EPOCH);
            let mut expected = format!("HTTP/1.1 {}\r\n", header.status).into_bytes();
            header.header_to_h1_wire(&mut expected);
            let mut written = Vec::new();
            assert!(forms().write(&link, &mut written));
            let text = |bytes| String::from_utf8(bytes).expect("text");
            assert_eq!(text(written) + "Date: \r\nConnection: \r\n", text(expected));
        }
    }

    #[test]
    fn a_permanent_redirect_has_a_bounded_lifetime() {
        let header = forms().header(&link(r#""status":301,"#), Timestamp::EPOCH);
        assert_eq!(
            (header.headers[CACHE_CONTROL].as_bytes(), header.status.as_u16()),
            (&b"private, max-age=90"[..], 301)
        );
    }

    #[test]
    fn a_permanent_redirect_is_not_remembered_past_its_end() {
        let link = CachedLink { expires_at: Timestamp::from_micros(30_000_000), ..link(r#""status":308,"#) };
        let header = forms().header(&link, Timestamp::EPOCH);
        assert_eq!(header.headers[CACHE_CONTROL], "private, max-age=30");
        assert!(!forms().write(&link, &mut Vec::new()), "another one for each visitor");
    }
}
