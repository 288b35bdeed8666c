//! The site a visitor came from.

use url::{Host, Url};

/// Longest host name there is, in bytes; the column's length.
const HOST_LEN_MAX: usize = 253;

/// Returns the host of a referrer in lower case without `www.`; empty if it has none.
///
/// Android apps name themselves as `android-app://com.example.app/`; their package name is the host.
pub(super) fn host(referrer: &str) -> String {
    if referrer.is_empty() {
        return String::new();
    }
    let Ok(url) = Url::parse(referrer) else { return String::new() };
    if !matches!(url.scheme(), "http" | "https" | "android-app") {
        return String::new();
    }
    let host = match url.host() {
        Some(Host::Domain(host)) => host.trim_end_matches('.').to_ascii_lowercase(),
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        None => return String::new(),
    };
    // `www.com` is a site of its own; only a prefix before a whole name is noise.
    let host = host.strip_prefix("www.").filter(|rest| rest.contains('.')).unwrap_or(&host);
    if host.len() > HOST_LEN_MAX { String::new() } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_found() {
        for (referrer, expected) in [
            ("https://t.co/abc", "t.co"),
            ("https://WWW.Example.COM:8443/path?q=1", "example.com"),
            ("http://example.com./", "example.com"),
            ("android-app://com.google.android.gm/", "com.google.android.gm"),
            ("https://www.com/", "www.com"),
            ("https://bücher.example/", "xn--bcher-kva.example"),
            ("https://user:secret@example.com/", "example.com"),
            ("http://192.0.2.7/", "192.0.2.7"),
            ("http://[2001:db8::1]/", "2001:db8::1"),
            ("about:blank", ""),
            ("javascript:alert(1)", ""),
            ("example.com", ""),
            ("", ""),
        ] {
            assert_eq!(host(referrer), expected, "{referrer}");
        }
    }

    proptest! {
        #[test]
        fn hosts_fit_the_column(referrer in "(https?://)?.{0,300}") {
            let host = host(&referrer);
            prop_assert!(host.len() <= HOST_LEN_MAX);
            prop_assert!(!host.chars().any(char::is_control));
        }
    }
}
