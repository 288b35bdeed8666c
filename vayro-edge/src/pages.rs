//! The few pages the edge has of its own, made ready at start.

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, DATE,
    RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::ResponseHeader;

use crate::redirect::X_ROBOTS_TAG;

/// A page in both of its forms.
#[derive(Debug)]
pub(crate) struct Page {
    html: Form,
    json: Form,
}

/// One form of a page: header and body.
#[derive(Debug)]
pub(crate) struct Form {
    /// Without values for `Date` and `Connection`.
    pub(crate) header: ResponseHeader,
    pub(crate) body: Bytes,
}

/// Every page.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) not_found: Page,
    pub(crate) gone: Page,
    pub(crate) too_many_misses: Page,
    pub(crate) unavailable: Page,
    pub(crate) method_not_allowed: Page,
    pub(crate) unknown_host: Page,
    pub(crate) bad_gateway: Page,
    pub(crate) gateway_timeout: Page,
    pub(crate) root: Form,
    pub(crate) robots: Form,
    pub(crate) no_favicon: Form,
}

impl Page {
    /// Returns the form that the client asked for; HTML unless only JSON is acceptable.
    pub(crate) fn form(&self, headers: &HeaderMap) -> &Form {
        if wants_json(headers) { &self.json } else { &self.html }
    }
}

impl Pages {
    /// Makes every page.
    pub(crate) fn new() -> Self {
        let retry = [(RETRY_AFTER, HeaderValue::from_static("5"))];
        Self {
            not_found: page(
                404,
                "not_found",
                "Not found",
                "This link does not exist or is switched off.",
                &[],
            ),
            gone: page(410, "gone", "Expired", "This link has expired.", &[]),
            too_many_misses: page(
                429,
                "too_many_misses",
                "Too many requests",
                "Your network asked for many links that do not exist. Please try again in a minute.",
                &[(RETRY_AFTER, HeaderValue::from_static("60"))],
            ),
            unavailable: page(
                503,
                "unavailable",
                "Not available",
                "This link cannot be looked up right now. Please try again in a moment.",
                &retry,
            ),
            method_not_allowed: page(
                405,
                "method_not_allowed",
                "Method not allowed",
                "Short links answer GET and HEAD.",
                &[(ALLOW, HeaderValue::from_static("GET, HEAD"))],
            ),
            unknown_host: page(421, "unknown_host", "Unknown host", "This host is not served here.", &[]),
            bad_gateway: page(
                502,
                "bad_gateway",
                "Bad gateway",
                "The server behind this address failed.",
                &[],
            ),
            gateway_timeout: page(
                504,
                "gateway_timeout",
                "Gateway timeout",
                "The server behind this address did not answer in time.",
                &[],
            ),
            root: root(),
            robots: robots(),
            no_favicon: no_favicon(),
        }
    }
}

fn page<const N: usize>(
    status: u16,
    code: &str,
    title: &str,
    detail: &str,
    extra: &[(HeaderName, HeaderValue); N],
) -> Page {
    let problem = serde_json::json!({
        "type": "about:blank", "title": title, "status": status, "code": code, "detail": detail,
    });
    // A link that is made, switched on or restored a moment later must be seen at once.
    let common = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (VARY, HeaderValue::from_static("Accept")),
        (X_ROBOTS_TAG, HeaderValue::from_static("noindex")),
    ];
    let headers = || common.iter().chain(extra).cloned();
    Page {
        html: form(status, HTML_TYPE, html(title, detail), headers().chain(html_headers())),
        json: form(status, "application/problem+json", problem.to_string(), headers()),
    }
}

fn root() -> Form {
    let cache = (CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    let body = html("Short links", "This host serves short links. There is nothing else to see here.");
    form(200, HTML_TYPE, body, html_headers().into_iter().chain([cache]))
}

fn robots() -> Form {
    // Nothing is forbidden: a crawler that may not fetch a link never sees its `noindex`, and previews in
    // chats would break.
    let cache = (CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    form(200, "text/plain; charset=utf-8", "User-agent: *\nDisallow:\n".to_owned(), [cache])
}

fn no_favicon() -> Form {
    let cache = (CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    form(404, "text/plain; charset=utf-8", String::new(), [cache])
}

const HTML_TYPE: &str = "text/html; charset=utf-8";

fn html_headers() -> [(HeaderName, HeaderValue); 2] {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                  frame-ancestors 'none'";
    [
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]
}

fn form(
    status: u16,
    content_type: &'static str,
    body: String,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Form {
    let mut header = ResponseHeader::build_no_case(status, Some(12)).expect("statuses here are valid");
    let own = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CONTENT_LENGTH, HeaderValue::from(body.len())),
        (DATE, HeaderValue::from_static("")),
        (CONNECTION, HeaderValue::from_static("")),
    ];
    for (name, value) in own.into_iter().chain(headers) {
        header.insert_header(name, value).expect("names and values are valid");
    }
    Form { header, body: body.into() }
}

fn html(title: &str, detail: &str) -> String {
    format!(
        "<!doctype html>\n\
         <html lang=\"en\">\n\
         <meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n\
         <style>\n\
         body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: Canvas; \
         color: CanvasText; font: 1.125rem/1.6 system-ui, sans-serif; }}\n\
         main {{ padding: 2rem; max-width: 30rem; text-align: center; }}\n\
         h1 {{ margin: 0 0 .5rem; font-size: 1.75rem; font-weight: 600; }}\n\
         p {{ margin: 0; opacity: .75; }}\n\
         </style>\n\
         <main><h1>{title}</h1><p>{detail}</p></main>\n\
         </html>\n"
    )
}

fn wants_json(headers: &HeaderMap) -> bool {
    let mut has_json = false;
    for value in headers.get_all(ACCEPT) {
        let Ok(value) = value.to_str() else { return false };
        for range in value.split(',') {
            let range = range.split(';').next().unwrap_or_default().trim();
            match range.to_ascii_lowercase().as_str() {
                "text/html" | "application/xhtml+xml" => return false,
                "application/json" | "application/problem+json" => has_json = true,
                _ => {}
            }
        }
    }
    has_json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &str) -> bool {
        wants_json(&HeaderMap::from_iter([(ACCEPT, value.parse().expect("valid"))]))
    }

    #[test]
    fn json_is_for_those_who_ask() {
        assert!(accepts("application/json"));
        assert!(accepts("Application/Problem+JSON; q=0.9, */*"));
        assert!(!accepts("*/*"));
        assert!(!accepts("text/html,application/json"));
        assert!(!wants_json(&HeaderMap::new()));
    }

    #[test]
    fn every_page_is_self_contained_and_has_its_length() {
        let pages = Pages::new();
        let all = [&pages.not_found, &pages.gone, &pages.unavailable, &pages.method_not_allowed];
        for page in all.into_iter().chain([&pages.too_many_misses]) {
            for form in [&page.html, &page.json] {
                assert_eq!(form.header.headers[CONTENT_LENGTH], form.body.len().to_string());
            }
            let html = std::str::from_utf8(&page.html.body).expect("text");
            assert!(!html.contains("http") && !html.contains("src="), "{html}");
        }
        assert_eq!(pages.unavailable.json.header.headers[RETRY_AFTER], "5");
        assert_eq!(pages.method_not_allowed.html.header.headers[ALLOW], "GET, HEAD");
    }
}
