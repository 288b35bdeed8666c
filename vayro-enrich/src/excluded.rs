//! Addresses whose visits are not to be counted, such as those of the own office.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;

/// Most networks that may be excluded.
pub const EXCLUDED_ADDRESSES_MAX: usize = 10_000;

/// A network such as `192.0.2.0/24`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(IpNet);

/// The text is neither an address nor a network.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is neither an address such as `192.0.2.7` nor a network such as `192.0.2.0/24`")]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let error = || NetworkError(text.chars().take(64).collect());
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self(network.trunc()));
        }
        text.parse::<IpAddr>().map(|ip| Self(ip.to_canonical().into())).map_err(|_| error())
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A set of addresses, made of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExcludedAddresses {
    /// Sorted, none within or beside another one.
    networks: Vec<IpNet>,
}

impl FromIterator<Network> for ExcludedAddresses {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        let networks: Vec<IpNet> = networks.into_iter().map(|Network(network)| network).collect();
        let mut networks = IpNet::aggregate(&networks);
        networks.sort_unstable_by_key(IpNet::network);
        Self { networks }
    }
}

impl ExcludedAddresses {
    /// Tells whether `ip`, which is canonical, is one of them.
    pub fn contains(&self, ip: IpAddr) -> bool {
        // None overlaps another, so that only the last one that begins before it can hold it.
        let after = self.networks.partition_point(|network| network.network() <= ip);
        after.checked_sub(1).is_some_and(|last| self.networks[last].contains(&ip))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::*;

    fn excluded(texts: &[&str]) -> ExcludedAddresses {
        texts.iter().map(|text| text.parse::<Network>().unwrap()).collect()
    }

    #[test]
    fn networks_and_single_addresses_are_read() {
        let excluded = excluded(&["192.0.2.0/24", " 198.51.100.7", "2001:db8::/32", "::ffff:203.0.113.9"]);
        for (ip, is_excluded) in [
            ("192.0.2.255", true),
            ("192.0.3.0", false),
            ("192.0.1.255", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("203.0.113.9", true),
            ("::", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(excluded.contains(ip.parse().unwrap()), is_excluded, "{ip}");
        }
        assert!(!ExcludedAddresses::default().contains("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "everybody", "192.0.2.0/33", "192.0.2", "go.example.com", "192.0.2.1:80"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError(text.to_owned())), "{text}");
        }
        let long = "x".repeat(1000);
        assert!(long.parse::<Network>().is_err_and(|error| error.to_string().len() < 200));
    }

    fn network() -> impl Strategy<Value = IpNet> {
        // Few bits differ, so that networks meet.
        let v4 = (0_u32..64, 24_u8..=32)
            .prop_map(|(bits, len)| Ipv4Net::new_assert(Ipv4Addr::from(0xC000_0200 | bits), len).into());
        let v6 = (0_u128..64, 120_u8..=128)
            .prop_map(|(bits, len)| Ipv6Net::new_assert(Ipv6Addr::from((0x2001 << 112) | bits), len).into());
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn an_address_is_excluded_exactly_if_a_network_holds_it(
            networks in prop::collection::vec(network(), 0..12), bits in 0_u32..300, is_v6: bool,
        ) {
            let ip: IpAddr = if is_v6 {
                Ipv6Addr::from((0x2001 << 112) | u128::from(bits)).into()
            } else {
                Ipv4Addr::from(0xC000_0200 | bits).into()
            };
            let excluded: ExcludedAddresses = networks.iter().map(|network| Network(network.trunc())).collect();
            prop_assert_eq!(excluded.contains(ip), networks.iter().any(|network| network.contains(&ip)));
        }
    }
}
