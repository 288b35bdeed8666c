//! Which names get certificates.

use std::collections::BTreeSet;

use super::{CERTIFICATES_MAX, CertificateName};
use crate::host::Host;

/// Returns the names that get certificates: `extra`, and of `hosts` those that are DNS names and that no wildcard of
/// `extra` covers. At most [`CERTIFICATES_MAX`], `extra` first.
pub fn wanted<'a>(
    extra: &[CertificateName],
    hosts: impl IntoIterator<Item = &'a Host>,
) -> Vec<CertificateName> {
    let given: BTreeSet<CertificateName> = extra.iter().cloned().collect();
    let is_covered =
        |host: &Host| CertificateName::wildcard_of(host).is_some_and(|wildcard| given.contains(&wildcard));
    let own: BTreeSet<CertificateName> = hosts
        .into_iter()
        .filter(|host| !is_covered(host))
        .filter_map(CertificateName::of_host)
        .filter(|name| !given.contains(name))
        .collect();
    let most = usize::try_from(CERTIFICATES_MAX).unwrap_or(usize::MAX);
    given.iter().cloned().chain(own).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_covered_hosts_need_none() {
        let extra: Vec<CertificateName> =
            ["*.example.com", "api.vay.ro"].iter().map(|name| name.parse().expect("valid")).collect();
        let hosts: Vec<Host> = [
            "go.example.com",
            "example.com",
            "a.b.example.com",
            "127.0.0.1",
            "localhost",
            "api.vay.ro",
            "vay.ro",
        ]
        .iter()
        .map(|host| host.parse().expect("valid"))
        .collect();
        let wanted = wanted(&extra, &hosts);
        let names: Vec<&str> = wanted.iter().map(CertificateName::as_str).collect();
        assert_eq!(names, ["*.example.com", "api.vay.ro", "a.b.example.com", "example.com", "vay.ro"]);
    }
}
