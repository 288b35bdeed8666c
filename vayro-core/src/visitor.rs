//! What of a visitor's address may be kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the network that stands for an address: IPv4 cut to /24, IPv6 to /48, IPv4 in IPv6 as IPv4.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
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
        let text = |ip: &str| network(ip.parse().expect("an address")).to_string();
        assert_eq!(text("192.0.2.77"), "192.0.2.0");
        assert_eq!(text("2001:db8:1:2:3:4:5:6"), "2001:db8:1::");
        assert_eq!(text("::ffff:192.0.2.77"), "192.0.2.0");
    }

    proptest! {
        #[test]
        fn hosts_of_one_network_cannot_be_told_apart(a: u32, b: u128, host: u8, suffix in 0_u128..1 << 80) {
            let v4 = |host: u8| IpAddr::V4(Ipv4Addr::from((a & !0xFF) | u32::from(host)));
            prop_assert_eq!(network(v4(host)), network(v4(0)));
            // Not where IPv4 is written as IPv6.
            let prefix = (b >> 80 << 80) | (1 << 127);
            let v6 = |suffix: u128| IpAddr::V6(Ipv6Addr::from(prefix | suffix));
            prop_assert_eq!(network(v6(suffix)), network(v6(0)));
        }

        #[test]
        fn a_network_stands_for_itself(ip: IpAddr) {
            prop_assert_eq!(network(network(ip)), network(ip));
        }
    }
}
