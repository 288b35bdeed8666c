//! The site a visitor came from.

use url::{Host, Url};

/// Longest host name there is, in bytes; the column's length.
const HOST_LEN_MAX: usize = 253;

/// Returns the host of a referrer in lower case without `www.`; empty if it has none.
///
/// Android apps name themselves as `android-app://com.example.app/`; their package name is the host.
pub(crate) fn host(referrer: &str) -> String {
    if referrer.is_empty() {
        return String::new();
    }
    if let Some(host) = plain_host(referrer) {
        return without_www(host).to_owned();
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
    let host = without_www(&host);
    if host.len() > HOST_LEN_MAX { String::new() } else { host.to_owned() }
}

/// Returns the host if there is nothing about the referrer that needs a parser: nearly always. What is left to
/// the parser: ports, names and passwords, addresses, upper case, other scripts and names in Punycode.
fn plain_host(referrer: &str) -> Option<&str> {
    let rest = referrer.strip_prefix("https://").or_else(|| referrer.strip_prefix("http://"))?;
    let host = rest.split(['/', '?', '#']).next()?;
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
    // An address in any of its spellings has a last label that begins with a digit.
    let has_name =
        host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_lowercase()));
    (has_name && host.len() <= HOST_LEN_MAX && host.bytes().all(is_plain) && !host.contains("xn--"))
        .then_some(host)
}

/// `www.com` is a site of its own; only a prefix before a whole name is noise.
fn without_www(host: &str) -> &str {
    host.strip_prefix("www.").filter(|rest| rest.contains('.')).unwrap_or(host)
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
        fn the_short_way_finds_what_the_parser_finds(referrer in "https?://[a-z0-9.x-]{1,12}(xn--a)?[a-z.]{0,4}[/?#:@]?.{0,9}") {
            if let Some(found) = plain_host(&referrer) {
                let url = Url::parse(&referrer).expect("a plain host is a sound one");
                prop_assert_eq!(Some(found), url.host_str());
            }
        }

        #[test]
        fn hosts_fit_the_column(referrer in "(https?://)?.{0,300}") {
            let host = host(&referrer);
            prop_assert!(host.len() <= HOST_LEN_MAX);
            prop_assert!(!host.chars().any(char::is_control));
        }
    }
}
