//! What a host is to an instance.

use std::collections::HashMap;

use serde::Deserialize;

use crate::host::Host;

/// What happens to requests for a host that nobody registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownHost {
    /// They are for the default domain.
    Default,
    /// They are refused.
    Reject,
}

/// What answers the requests of each host.
#[derive(Debug)]
pub struct HostTable<R> {
    hosts: HashMap<Box<str>, R, foldhash::fast::RandomState>,
    fallback: R,
}

impl<R> HostTable<R> {
    /// Makes a table; `fallback` answers hosts that are not in it. The instance's own names win over a domain that
    /// somebody registered under the same name, and those of other servers over both.
    pub fn new(
        domains: impl IntoIterator<Item = (Host, R)>,
        default_domain: impl IntoIterator<Item = (Host, R)>,
        upstreams: impl IntoIterator<Item = (Host, R)>,
        fallback: R,
    ) -> Self {
        let all = domains.into_iter().chain(default_domain).chain(upstreams);
        Self { hosts: all.map(|(host, route)| (host.as_str().into(), route)).collect(), fallback }
    }

    /// Returns what answers `host`, which is as [`normal_host`] leaves it; `None` if the request has none.
    pub fn find(&self, host: Option<&str>) -> &R {
        host.and_then(|host| self.hosts.get(host)).unwrap_or(&self.fallback)
    }

    /// Tells whether `host` is in the table.
    pub fn knows(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
    }

    /// Returns what answers the hosts of the table.
    pub fn routes(&self) -> impl Iterator<Item = &R> {
        self.hosts.values()
    }
}

/// Room for [`normal_host`]: longest host that can be one of ours, with its closing dot.
pub const HOST_BUFFER_LEN: usize = Host::LEN_MAX + 1;

/// Brings the host of a request into the form of the table, in `buffer`: lower case, without port and
/// closing dot. `None` if it cannot be one of ours.
pub fn normal_host<'a>(authority: &[u8], buffer: &'a mut [u8; HOST_BUFFER_LEN]) -> Option<&'a str> {
    let end = if authority.first() == Some(&b'[') {
        authority.iter().position(|b| *b == b']')? + 1
    } else {
        authority.iter().position(|b| *b == b':').unwrap_or(authority.len())
    };
    let host = &authority[..end];
    let host = host.strip_suffix(b".").unwrap_or(host);
    let room = buffer.get_mut(..host.len()).filter(|room| !room.is_empty())?;
    room.copy_from_slice(host);
    room.make_ascii_lowercase();
    std::str::from_utf8(room).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_in_one_form() {
        for (given, normal) in [
            ("Go.Example.COM", Some("go.example.com")),
            ("go.example.com:8080", Some("go.example.com")),
            ("go.example.com.", Some("go.example.com")),
            ("go.example.com.:80", Some("go.example.com")),
            ("[::1]:8080", Some("[::1]")),
            ("[::1", None),
            ("", None),
            (":80", None),
        ] {
            let mut buffer = [0; HOST_BUFFER_LEN];
            assert_eq!(normal_host(given.as_bytes(), &mut buffer), normal, "{given}");
        }
        let long = "a".repeat(400);
        assert_eq!(normal_host(long.as_bytes(), &mut [0; HOST_BUFFER_LEN]), None);
    }

    #[test]
    fn the_instances_own_names_win() {
        let host = |text: &str| text.parse::<Host>().expect("valid");
        let table = HostTable::new(
            [(host("a.example"), 1), (host("vay.ro"), 1), (host("api.vay.ro"), 1)],
            [(host("vay.ro"), 2), (host("api.vay.ro"), 2)],
            [(host("api.vay.ro"), 3)],
            0,
        );
        let hosts = [Some("a.example"), Some("vay.ro"), Some("api.vay.ro"), Some("b.example"), None];
        assert_eq!(hosts.map(|host| *table.find(host)), [1, 2, 3, 0, 0]);
        assert!(table.knows("vay.ro") && !table.knows("b.example"));
        assert_eq!(table.routes().count(), 3);
    }
}
