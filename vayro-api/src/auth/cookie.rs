//! The session cookie.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// Name of the cookie.
const NAME: &str = "vayro_session";

/// Returns the `Set-Cookie` value that starts a session.
pub(crate) fn session_cookie(secret: &str, age_max: Duration, is_secure: bool) -> HeaderValue {
    let secure = if is_secure { "; Secure" } else { "" };
    let text =
        format!("{NAME}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}", age_max.as_secs());
    HeaderValue::from_str(&text).expect("letters and digits fit a header")
}

/// Returns the `Set-Cookie` value that ends it in the browser.
pub(crate) fn clear_cookie(is_secure: bool) -> HeaderValue {
    session_cookie("", Duration::ZERO, is_secure)
}

/// Finds the session's secret among the request's cookies.
pub(super) fn find_secret(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == NAME && !value.is_empty())
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let cookie = session_cookie("abc", Duration::from_secs(60), true);
        assert_eq!(cookie, "vayro_session=abc; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure");
        assert_eq!(clear_cookie(false), "vayro_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    }

    #[test]
    fn it_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; xvayro_session=no"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=d; vayro_session=yes; e=f"));
        assert_eq!(find_secret(&headers), Some("yes"));
        assert_eq!(find_secret(&HeaderMap::new()), None);
    }
}
