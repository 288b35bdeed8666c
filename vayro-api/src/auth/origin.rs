//! Protection of session cookies against other sites.
//!
//! `SameSite=Lax` already keeps cookies out of cross-site POSTs in current browsers. This is the second
//! lock: a change with a cookie must come from a page of our own, and it must say so. Browsers send
//! `Sec-Fetch-Site` and `Origin`, which no script can forge.

use http::{HeaderMap, Method, header};
use vayro_core::host::Host;

use crate::extract::is_json;
use crate::problem::{Code, Problem};
use crate::settings::ApiSettings;

/// Lets a request with a session cookie pass if it changes nothing or comes from one of our own pages.
pub(crate) fn check_same_site(
    method: &Method,
    headers: &HeaderMap,
    settings: &ApiSettings,
) -> Result<(), Problem> {
    if method.is_safe() {
        return Ok(());
    }
    // A form of another site can send these types without asking first; JSON it cannot.
    if headers.contains_key(header::CONTENT_TYPE) && !is_json(headers) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "send the body with `Content-Type: application/json`",
        ));
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text("origin");
    let is_ours = match text("sec-fetch-site") {
        Some("same-origin") => true,
        Some(_) => origin.is_some_and(|origin| is_trusted_origin(origin, settings)),
        None => origin.is_some_and(|origin| {
            is_trusted_origin(origin, settings) || is_host_of(origin, text("host").unwrap_or_default())
        }),
    };
    if is_ours {
        Ok(())
    } else {
        Err(Problem::new(
            Code::CrossSite,
            "a change with a session cookie needs `Origin` or `Sec-Fetch-Site` of this instance; programs use an API key",
        ))
    }
}

fn is_trusted_origin(origin: &str, settings: &ApiSettings) -> bool {
    if origin == settings.api_url.origin().ascii_serialization() {
        return true;
    }
    let Ok(url) = url::Url::parse(origin) else { return false };
    // A page that was not encrypted could have been put there by anybody on the way.
    (url.scheme() == "https" || !settings.is_cookie_secure())
        && url
            .host_str()
            .and_then(|host| host.parse::<Host>().ok())
            .is_some_and(|host| settings.trusted_hosts.contains(&host))
}

/// Tells whether `origin` is the host, with port, that was asked.
fn is_host_of(origin: &str, host: &str) -> bool {
    !host.is_empty()
        && origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(pairs: &[(&'static str, &'static str)]) -> Option<Code> {
        let mut settings = ApiSettings::new(
            "https://vay.test".parse().expect("valid"),
            "https://api.vay.test".parse().expect("valid"),
        );
        settings.trusted_hosts = vec!["app.vay.test".parse().expect("valid")];
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        check_same_site(&Method::POST, &headers, &settings).err().map(|problem| problem.code())
    }

    #[test]
    fn changes_come_from_our_own_pages() {
        assert_eq!(check(&[("sec-fetch-site", "same-origin")]), None);
        assert_eq!(check(&[("origin", "https://api.vay.test")]), None);
        assert_eq!(check(&[("origin", "https://app.vay.test"), ("sec-fetch-site", "same-site")]), None);
        assert_eq!(check(&[("origin", "http://10.0.0.1:8081"), ("host", "10.0.0.1:8081")]), None);
    }

    #[test]
    fn other_sites_and_silent_clients_are_refused() {
        for pairs in [
            &[][..],
            &[("host", "api.vay.test")],
            &[("origin", "null")],
            &[("origin", "https://evil.test"), ("host", "api.vay.test")],
            &[("origin", "http://app.vay.test")],
            &[("origin", "https://api.vay.test.evil.test")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.test"), ("host", "evil.test")],
            &[("sec-fetch-site", "same-site"), ("origin", "https://other.vay.test")],
        ] {
            assert_eq!(check(pairs), Some(Code::CrossSite), "{pairs:?}");
        }
        assert_eq!(
            check(&[("origin", "https://api.vay.test"), ("content-type", "text/plain")]),
            Some(Code::UnsupportedMediaType)
        );
    }
}
