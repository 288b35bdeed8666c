//! What is kept of a visitor's address.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vayro_core::visitor::network;

/// What of a visitor's address is stored with a click.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressPolicy {
    /// The network: IPv4 cut to /24, IPv6 to /48.
    #[default]
    Truncate,
    /// Nothing.
    None,
}

/// Returns the text to store, empty if nothing is to be stored. `ip` is canonical.
pub(crate) fn stored(policy: AddressPolicy, ip: IpAddr) -> String {
    match policy {
        AddressPolicy::None => String::new(),
        AddressPolicy::Truncate => {
            let mut text = String::with_capacity(20);
            let written = match network(ip) {
                IpAddr::V4(ip) => write!(text, "{ip}"),
                IpAddr::V6(ip) => write!(text, "{ip}"),
            };
            written.expect("writing to a String cannot fail");
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_cut_to_their_network() {
        let text = |ip: &str| stored(AddressPolicy::Truncate, ip.parse::<IpAddr>().unwrap().to_canonical());
        assert_eq!(text("192.0.2.77"), "192.0.2.0");
        assert_eq!(text("2001:db8:1:2:3:4:5:6"), "2001:db8:1::");
        assert_eq!(text("::ffff:192.0.2.77"), "192.0.2.0");
        assert_eq!(stored(AddressPolicy::None, IpAddr::from([192, 0, 2, 77])), "");
    }
}
