//! The few pages edges have of their own.

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Head, X_ROBOTS_TAG};

/// An answer that no link gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// There is no such link, or it is switched off.
    NotFound,
    /// The link has expired.
    Gone,
    /// The visitor's network asked for too many unknown codes.
    TooManyMisses,
    /// Nobody can tell where the link leads.
    Unavailable,
    /// Neither GET nor HEAD.
    MethodNotAllowed,
    /// The host is not ours.
    UnknownHost,
    /// Another server of ours failed.
    BadGateway,
    /// Another server of ours took too long.
    GatewayTimeout,
    /// What is at `/`.
    Root,
    /// `robots.txt`.
    Robots,
    /// There is no `favicon.ico`.
    NoFavicon,
}

/// One form of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageForm {
    /// Its head; `Content-Length` is that of `body`.
    pub head: Head,
    /// Its body.
    pub body: Bytes,
}

impl Page {
    /// Every page, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::NotFound,
        Self::Gone,
        Self::TooManyMisses,
        Self::Unavailable,
        Self::MethodNotAllowed,
        Self::UnknownHost,
        Self::BadGateway,
        Self::GatewayTimeout,
        Self::Root,
        Self::Robots,
        Self::NoFavicon,
    ];

    /// Makes the page, as JSON or else as HTML; some have only one form.
    pub fn form(self, as_json: bool) -> PageForm {
        let (status, code, title, detail, extra): (_, _, _, _, Option<(HeaderName, &str)>) = match self {
            Self::NotFound => {
                (404, "not_found", "Not found", "This link does not exist or is switched off.", None)
            }
            Self::Gone => (410, "gone", "Expired", "This link has expired.", None),
            Self::TooManyMisses => (
                429,
                "too_many_misses",
                "Too many requests",
                "Your network asked for many links that do not exist. Please try again in a minute.",
                Some((RETRY_AFTER, "60")),
            ),
            Self::Unavailable => (
                503,
                "unavailable",
                "Not available",
                "This link cannot be looked up right now. Please try again in a moment.",
                Some((RETRY_AFTER, "5")),
            ),
            Self::MethodNotAllowed => (
                405,
                "method_not_allowed",
                "Method not allowed",
                "Short links answer GET and HEAD.",
                Some((ALLOW, "GET, HEAD")),
            ),
            Self::UnknownHost => (421, "unknown_host", "Unknown host", "This host is not served here.", None),
            Self::BadGateway => {
                (502, "bad_gateway", "Bad gateway", "The server behind this address failed.", None)
            }
            Self::GatewayTimeout => (
                504,
                "gateway_timeout",
                "Gateway timeout",
                "The server behind this address did not answer in time.",
                None,
            ),
            Self::Root => return root(),
            Self::Robots => return robots(),
            Self::NoFavicon => return no_favicon(),
        };
        // A link that is made, switched on or restored a moment later must be seen at once.
        let common = [
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (VARY, HeaderValue::from_static("Accept")),
            (X_ROBOTS_TAG, HeaderValue::from_static("noindex")),
        ];
        let extra = extra.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let headers = common.into_iter().chain(extra);
        if as_json {
            let problem = serde_json::json!({
                "type": "about:blank", "title": title, "status": status, "code": code, "detail": detail,
            });
            form(status, "application/problem+json", problem.to_string(), headers)
        } else {
            form(status, HTML_TYPE, html(title, detail), headers.chain(html_headers()))
        }
    }
}

fn root() -> PageForm {
    let cache = (CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    let body = html("Short links", "This host serves short links. There is nothing else to see here.");
    form(200, HTML_TYPE, body, html_headers().into_iter().chain([cache]))
}

fn robots() -> PageForm {
    // Nothing is forbidden: a crawler that may not fetch a link never sees its `noindex`, and previews in
    // chats would break.
    let cache = (CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    form(200, "text/plain; charset=utf-8", "User-agent: *\nDisallow:\n".to_owned(), [cache])
}

fn no_favicon() -> PageForm {
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
) -> PageForm {
    let own = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CONTENT_LENGTH, HeaderValue::from(body.len())),
    ];
    let headers = own.into_iter().chain(headers).collect();
    PageForm { head: Head { status, headers }, body: body.into() }
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

/// Tells whether a client wants JSON; pages are HTML unless only JSON is acceptable.
pub fn wants_json(headers: &HeaderMap) -> bool {
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
        for (number, page) in Page::ALL.into_iter().enumerate() {
            assert_eq!(page as usize, number);
            for form in [page.form(false), page.form(true)] {
                let header = |name| {
                    let found = form.head.headers.iter().find(|(known, _)| *known == name);
                    found.map(|(_, value)| value.to_str().expect("text"))
                };
                assert_eq!(header(CONTENT_LENGTH), Some(&*form.body.len().to_string()));
                let (retry, allow) = (header(RETRY_AFTER), header(ALLOW));
                assert_eq!(retry.is_some(), matches!(page, Page::Unavailable | Page::TooManyMisses));
                assert_eq!(allow.is_some(), page == Page::MethodNotAllowed);
            }
            let html = page.form(false).body;
            let html = std::str::from_utf8(&html).expect("text");
            assert!(!html.contains("http") && !html.contains("src="), "{html}");
        }
    }
}
