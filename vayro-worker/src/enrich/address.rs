//! What is kept of a visitor's address.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

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
pub(super) fn stored(policy: AddressPolicy, ip: IpAddr) -> String {
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

fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_cut_to_their_network() {
        let text = |ip: &str| stored(AddressPolicy::Truncate, ip.parse::<IpAddr>().unwrap().to_canonical());
        assert_eq!(text("192.0.2.77"), "192.0.2.0");
        assert_eq!(text("2001:db8:1:2:3:4:5:6"), "2001:db8:1::");
        assert_eq!(text("::ffff:192.0.2.77"), "192.0.2.0");
        assert_eq!(stored(AddressPolicy::None, IpAddr::from([192, 0, 2, 77])), "");
    }

    proptest! {
        #[test]
        fn hosts_of_one_network_cannot_be_told_apart(a: u32, b: u128, host: u8, suffix in 0_u128..1 << 80) {
            let v4 = |host: u8| IpAddr::V4(Ipv4Addr::from((a & !0xFF) | u32::from(host)));
            prop_assert_eq!(stored(AddressPolicy::Truncate, v4(host)), stored(AddressPolicy::Truncate, v4(0)));
            let v6 = |suffix: u128| IpAddr::V6(Ipv6Addr::from((b >> 80 << 80) | suffix));
            prop_assert_eq!(stored(AddressPolicy::Truncate, v6(suffix)), stored(AddressPolicy::Truncate, v6(0)));
        }
    }
}
