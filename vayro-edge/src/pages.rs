//! The few pages the edge has of its own, made ready at start.

use bytes::Bytes;
use http::HeaderMap;
use pingora::http::ResponseHeader;
use vayro_core::visit::{Page, wants_json};

use crate::answer::header_of;

/// One form of a page: header and body.
#[derive(Debug)]
pub(crate) struct Form {
    /// Without values for `Date` and `Connection`.
    pub(crate) header: ResponseHeader,
    pub(crate) body: Bytes,
}

/// Every page in both of its forms.
#[derive(Debug)]
pub(crate) struct Pages {
    html: [Form; Page::ALL.len()],
    json: [Form; Page::ALL.len()],
}

impl Pages {
    /// Makes every page.
    pub(crate) fn new() -> Self {
        Self { html: Page::ALL.map(|page| form(page, false)), json: Page::ALL.map(|page| form(page, true)) }
    }

    /// Returns the form of a page that the client asked for.
    pub(crate) fn form(&self, page: Page, headers: &HeaderMap) -> &Form {
        let forms = if wants_json(headers) { &self.json } else { &self.html };
        &forms[page as usize]
    }
}

fn form(page: Page, as_json: bool) -> Form {
    let form = page.form(as_json);
    Form { header: header_of(&form.head), body: form.body }
}
