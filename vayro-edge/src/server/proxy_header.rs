//! The PROXY header, which a balancer puts in front of a connection to say whose it is.
//!
//! Sections are those of the protocol's specification, <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.
//! What the reader is not certain of is no header: whoever gets a wrong one past it chooses an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Begins a header of version 1, section 2.1.
const V1_START: &[u8] = b"PROXY ";
/// Longest header of version 1 with its line end, section 2.1.
const V1_LEN_MAX: usize = 107;
/// Begins a header of version 2, section 2.2.
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Length of what every header of version 2 has: its start, command, protocol and the length of the rest.
const V2_FIXED_LEN: usize = 16;
/// Longest rest of a header of version 2. The addresses are 216 bytes at most; what a balancer says about TLS behind
/// them, a client's certificate included, fits as well.
const V2_REST_MAX: usize = 4096;
/// The connection is the balancer's own.
const V2_LOCAL: u8 = 0x20;
/// The connection is somebody's.
const V2_PROXY: u8 = 0x21;
/// Both addresses of a Unix socket.
const UNIX_ADDRESSES_LEN: usize = 216;
/// Type of the checksum of a header, section 2.2.3.
const CRC32C: u8 = 0x03;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyHeader {
    /// Its length in bytes.
    pub(crate) len: usize,
    /// Who is connected with the balancer; `None` if that is the balancer itself, or it does not know.
    pub(crate) visitor: Option<SocketAddr>,
}

/// Why bytes do not begin with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// They begin with something else.
    Missing,
    /// They begin like a header that is none.
    Malformed,
    /// The header is too long.
    TooLong,
}

/// Reads the header at the beginning of `bytes`; `None` if more of it must come.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, HeaderError> {
    if may_begin_with(bytes, V2_START) {
        parse_v2(bytes)
    } else if may_begin_with(bytes, V1_START) {
        parse_v1(bytes)
    } else {
        Err(HeaderError::Missing)
    }
}

/// Tells whether `bytes` begin with `start` or are its beginning.
fn may_begin_with(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

fn parse_v1(bytes: &[u8]) -> Result<Option<ProxyHeader>, HeaderError> {
    let searched = &bytes[..bytes.len().min(V1_LEN_MAX)];
    let Some(line_end) = memchr::memchr(b'\n', searched) else {
        return if searched.len() < V1_LEN_MAX { Ok(None) } else { Err(HeaderError::TooLong) };
    };
    let line = searched[..line_end].strip_suffix(b"\r").ok_or(HeaderError::Malformed)?;
    let said = line.strip_prefix(V1_START).ok_or(HeaderError::Malformed)?;
    let visitor = match said.strip_prefix(b"UNKNOWN") {
        // Whatever stands behind it is to be ignored.
        Some([] | [b' ', ..]) => None,
        Some(_) => return Err(HeaderError::Malformed),
        None => Some(parse_v1_addresses(said)?),
    };
    Ok(Some(ProxyHeader { len: line_end + 1, visitor }))
}

/// Reads protocol, addresses and ports, of which only the visitor's are of interest.
fn parse_v1_addresses(said: &[u8]) -> Result<SocketAddr, HeaderError> {
    let said = std::str::from_utf8(said).map_err(|_| HeaderError::Malformed)?;
    let mut words = said.split(' ');
    let mut word = || words.next().ok_or(HeaderError::Malformed);
    let (protocol, visitor, ours) = (word()?, word()?, word()?);
    let (visitor_port, our_port) = (parse_port(word()?)?, word()?);
    parse_port(our_port)?;
    if words.next().is_some() {
        return Err(HeaderError::Malformed);
    }
    let visitor = match protocol {
        "TCP4" => parse_ips::<Ipv4Addr>(visitor, ours)?,
        "TCP6" => parse_ips::<Ipv6Addr>(visitor, ours)?,
        _ => return Err(HeaderError::Malformed),
    };
    Ok(SocketAddr::new(visitor.to_canonical(), visitor_port))
}

/// Reads both addresses and returns the visitor's.
fn parse_ips<A: FromStr + Into<IpAddr>>(visitor: &str, ours: &str) -> Result<IpAddr, HeaderError> {
    match (visitor.parse::<A>(), ours.parse::<A>()) {
        (Ok(visitor), Ok(_)) => Ok(visitor.into()),
        _ => Err(HeaderError::Malformed),
    }
}

/// Reads a decimal number without sign and leading zeros, which the standard library would take.
fn parse_port(word: &str) -> Result<u16, HeaderError> {
    let is_plain = word == "0" || word.starts_with(|first: char| ('1'..='9').contains(&first));
    word.parse().ok().filter(|_| is_plain).ok_or(HeaderError::Malformed)
}

fn parse_v2(bytes: &[u8]) -> Result<Option<ProxyHeader>, HeaderError> {
    let Some(fixed) = bytes.first_chunk::<V2_FIXED_LEN>() else { return Ok(None) };
    let [.., command, protocol, len_high, len_low] = *fixed;
    let rest_len = usize::from(u16::from_be_bytes([len_high, len_low]));
    if !matches!(command, V2_LOCAL | V2_PROXY) {
        return Err(HeaderError::Malformed);
    }
    if rest_len > V2_REST_MAX {
        return Err(HeaderError::TooLong);
    }
    let len = V2_FIXED_LEN + rest_len;
    let Some(header) = bytes.get(..len) else { return Ok(None) };
    // Of a connection of the balancer's own everything else is to be ignored.
    let visitor = if command == V2_LOCAL { None } else { parse_v2_rest(protocol, header)? };
    Ok(Some(ProxyHeader { len, visitor }))
}

/// Reads addresses and TLVs of a whole header.
fn parse_v2_rest(protocol: u8, header: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    let mut rest = &header[V2_FIXED_LEN..];
    let visitor = match protocol {
        // Unspecified: the balancer does not know, and what follows has no form.
        0x00 => return Ok(None),
        // TCP over IPv4 and IPv6.
        0x11 => Some(take_addresses::<4>(&mut rest)?),
        0x21 => Some(take_addresses::<16>(&mut rest)?),
        // A Unix socket of the balancer, behind which there is no address of a visitor.
        0x31 => {
            take::<UNIX_ADDRESSES_LEN>(&mut rest)?;
            None
        }
        _ => return Err(HeaderError::Malformed),
    };
    check_tlvs(header, rest)?;
    Ok(visitor)
}

/// Takes both addresses and ports and returns the visitor's.
fn take_addresses<const LEN: usize>(rest: &mut &[u8]) -> Result<SocketAddr, HeaderError>
where
    IpAddr: From<[u8; LEN]>,
{
    let visitor = IpAddr::from(take::<LEN>(rest)?);
    take::<LEN>(rest)?;
    let port = u16::from_be_bytes(take(rest)?);
    take::<2>(rest)?;
    Ok(SocketAddr::new(visitor.to_canonical(), port))
}

/// Takes the first bytes of `rest`.
fn take<const LEN: usize>(rest: &mut &[u8]) -> Result<[u8; LEN], HeaderError> {
    let (first, behind) = rest.split_first_chunk().ok_or(HeaderError::Malformed)?;
    *rest = behind;
    Ok(*first)
}

/// Checks that `tlvs`, which end `header`, are whole, and the checksum if there is one.
fn check_tlvs(header: &[u8], mut tlvs: &[u8]) -> Result<(), HeaderError> {
    let mut checksum = None;
    while !tlvs.is_empty() {
        let [kind] = take(&mut tlvs)?;
        let len = usize::from(u16::from_be_bytes(take(&mut tlvs)?));
        let at = header.len() - tlvs.len();
        let (value, behind) = tlvs.split_at_checked(len).ok_or(HeaderError::Malformed)?;
        if kind == CRC32C {
            let value = <[u8; 4]>::try_from(value).map_err(|_| HeaderError::Malformed)?;
            if checksum.replace((at, u32::from_be_bytes(value))).is_some() {
                return Err(HeaderError::Malformed);
            }
        }
        tlvs = behind;
    }
    match checksum {
        Some((at, expected)) if checksum_of(header, at) != expected => Err(HeaderError::Malformed),
        _ => Ok(()),
    }
}

/// Returns the checksum of a header that has it at `at`, where it counts as zeros.
fn checksum_of(header: &[u8], at: usize) -> u32 {
    let (before, behind) = (&header[..at], &header[at + 4..]);
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]), behind)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V1_LONGEST: &str = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                              ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[expect(clippy::unnecessary_wraps, reason = "what a reading is compared with")]
    fn whole(len: usize, visitor: Option<&str>) -> Result<Option<ProxyHeader>, HeaderError> {
        Ok(Some(ProxyHeader { len, visitor: visitor.map(address) }))
    }

    fn v2(command: u8, protocol: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).expect("short");
        [V2_START, &[command, protocol], &len.to_be_bytes(), rest].concat()
    }

    fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(value.len()).expect("short");
        [&[kind], &len.to_be_bytes()[..], value].concat()
    }

    /// Addresses and ports of a visitor at 192.0.2.7:4711.
    const TCP4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb];

    #[test]
    fn version_1_names_the_visitor() {
        for (text, visitor) in [
            ("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n", Some("192.0.2.7:4711")),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Some("255.255.255.255:65535")),
            ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", Some("0.0.0.0:0")),
            ("PROXY TCP6 2001:db8::7 2001:DB8::1 4711 443\r\n", Some("[2001:db8::7]:4711")),
            // One address has one form, whatever the balancer's socket was.
            ("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 4711 443\r\n", Some("192.0.2.7:4711")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN \u{fc} what ever\r\n", None),
            (V1_LONGEST, None),
        ] {
            assert_eq!(parse(text.as_bytes()), whole(text.len(), visitor), "{text:?}");
            assert_eq!(parse(format!("{text}GET /").as_bytes()), whole(text.len(), visitor), "{text:?}");
        }
        assert_eq!(V1_LONGEST.len(), V1_LEN_MAX);
    }

    #[test]
    fn whatever_version_1_does_not_say_is_malformed() {
        for text in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443 \r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443 1\r\n",
            "PROXY TCP4  192.0.2.7 10.0.0.1 4711 443\r\n",
            "PROXY  TCP4 192.0.2.7 10.0.0.1 4711 443\r\n",
            "PROXY tcp4 192.0.2.7 10.0.0.1 4711 443\r\n",
            "PROXY TCP4\t192.0.2.7 10.0.0.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\r\n",
            "PROXY TCP4 192.0.2.7\r10.0.0.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 04711 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 +4711 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711 00\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1  443\r\n",
            "PROXY TCP4 192.0.2.07 10.0.0.1 4711 443\r\n",
            "PROXY TCP4 192.0.2 10.0.0.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.7 here 4711 443\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 4711 443\r\n",
            "PROXY TCP6 192.0.2.7 10.0.0.1 4711 443\r\n",
            "PROXY TCP6 fe80::1%eth0 fe80::2 4711 443\r\n",
            "PROXY UDP4 192.0.2.7 10.0.0.1 4711 443\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY UNKNOWN\n",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(HeaderError::Malformed), "{text:?}");
        }
        let long = V1_LONGEST.replace("65535\r\n", "65535 \r\n");
        assert_eq!(parse(long.as_bytes()), Err(HeaderError::TooLong));
        assert_eq!(parse(&long.as_bytes()[..V1_LEN_MAX]), Err(HeaderError::TooLong), "before all of it came");
    }

    #[test]
    fn anything_else_is_seen_at_its_first_odd_byte() {
        for text in [
            "G",
            "GET / HTTP/1.1\r\n",
            "proxy ",
            "PROXX",
            "PRI",
            "\r\n\r\nG",
            "\r\n\r\n\0\r\nQUIT\r",
            "\x16\x03\x01",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(HeaderError::Missing), "{text:?}");
        }
        assert_eq!(parse(b""), Ok(None));
    }

    #[test]
    fn version_2_names_the_visitor() {
        let v6: Vec<u8> = ["2001:db8::7", "2001:db8::1"]
            .iter()
            .flat_map(|text| text.parse::<Ipv6Addr>().expect("an address").octets())
            .chain([0x12, 0x67, 0x01, 0xbb])
            .collect();
        let mut mapped = v6.clone();
        mapped[..16].copy_from_slice(&Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets());
        for (bytes, visitor) in [
            (v2(V2_PROXY, 0x11, &TCP4), Some("192.0.2.7:4711")),
            (
                v2(V2_PROXY, 0x11, &[&TCP4[..], &tlv(0x04, &[0; 100]), &tlv(0xea, b"")].concat()),
                Some("192.0.2.7:4711"),
            ),
            (v2(V2_PROXY, 0x21, &v6), Some("[2001:db8::7]:4711")),
            (v2(V2_PROXY, 0x21, &mapped), Some("192.0.2.7:4711")),
            (v2(V2_PROXY, 0x31, &[b'/'; UNIX_ADDRESSES_LEN]), None),
            (v2(V2_PROXY, 0x00, b"without form"), None),
            (v2(V2_LOCAL, 0x00, b""), None),
            (v2(V2_LOCAL, 0x11, &TCP4), None),
            (v2(V2_LOCAL, 0xff, b"without form"), None),
            (v2(V2_LOCAL, 0x00, &[0; V2_REST_MAX]), None),
        ] {
            assert_eq!(parse(&bytes), whole(bytes.len(), visitor), "{bytes:?}");
            assert_eq!(
                parse(&[&bytes[..], b"\x16\x03\x01"].concat()),
                whole(bytes.len(), visitor),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn whatever_version_2_does_not_say_is_malformed() {
        for bytes in [
            v2(0x11, 0x11, &TCP4),
            v2(0x22, 0x11, &TCP4),
            v2(V2_PROXY, 0x10, &TCP4),
            v2(V2_PROXY, 0x12, &TCP4),
            v2(V2_PROXY, 0x41, &TCP4),
            v2(V2_PROXY, 0x11, &TCP4[..11]),
            v2(V2_PROXY, 0x11, b""),
            v2(V2_PROXY, 0x21, &TCP4),
            v2(V2_PROXY, 0x31, &[0; UNIX_ADDRESSES_LEN - 1]),
            v2(V2_PROXY, 0x11, &[&TCP4[..], &[0x04]].concat()),
            v2(V2_PROXY, 0x11, &[&TCP4[..], &[0x04, 0, 2, 0]].concat()),
        ] {
            assert_eq!(parse(&bytes), Err(HeaderError::Malformed), "{bytes:?}");
        }
        let long = v2(V2_LOCAL, 0x00, &[0; V2_REST_MAX + 1]);
        assert_eq!(parse(&long[..V2_FIXED_LEN]), Err(HeaderError::TooLong), "before all of it came");
    }

    #[test]
    fn a_checksum_must_be_right() {
        let sum = tlv(CRC32C, &[0; 4]);
        let mut header = v2(V2_PROXY, 0x11, &[&TCP4[..], &sum, &tlv(0x04, b"x")].concat());
        let at = V2_FIXED_LEN + TCP4.len() + 3;
        let right = checksum_of(&header, at).to_be_bytes();
        header[at..at + 4].copy_from_slice(&right);
        assert_eq!(parse(&header), whole(header.len(), Some("192.0.2.7:4711")));
        for place in [V2_FIXED_LEN, at, header.len() - 1] {
            let mut damaged = header.clone();
            damaged[place] ^= 1;
            assert_eq!(parse(&damaged), Err(HeaderError::Malformed), "at {place}");
        }
        for tlvs in [[&sum[..], &sum].concat(), tlv(CRC32C, &[0; 3]), tlv(CRC32C, &[0; 5])] {
            let header = v2(V2_PROXY, 0x11, &[&TCP4[..], &tlvs].concat());
            assert_eq!(parse(&header), Err(HeaderError::Malformed), "{tlvs:?}");
        }
    }

    proptest! {
        #[test]
        fn any_address_is_read_back(
            ips in any::<(IpAddr, IpAddr)>().prop_map(|(visitor, ours)| match (visitor, ours) {
                (IpAddr::V4(_), IpAddr::V6(_)) => (visitor, IpAddr::from([10, 0, 0, 1])),
                (IpAddr::V6(_), IpAddr::V4(_)) => (visitor, IpAddr::from(Ipv6Addr::LOCALHOST)),
                same => same,
            }),
            ports in any::<(u16, u16)>(),
            tlvs in prop::collection::vec((4_u8.., prop::collection::vec(any::<u8>(), 0..40)), 0..5),
            behind in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let (visitor, ours) = ips;
            let (family, protocol) = if visitor.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
            let text = format!("PROXY {family} {visitor} {ours} {} {}\r\n", ports.0, ports.1).into_bytes();
            let mut rest = Vec::new();
            for ip in [visitor, ours] {
                match ip {
                    IpAddr::V4(ip) => rest.extend(ip.octets()),
                    IpAddr::V6(ip) => rest.extend(ip.octets()),
                }
            }
            rest.extend([ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat());
            rest.extend(tlvs.iter().flat_map(|(kind, value)| tlv(*kind, value)));
            for header in [text, v2(V2_PROXY, protocol, &rest)] {
                let visitor = Some(SocketAddr::new(visitor.to_canonical(), ports.0));
                let all = [&header[..], &behind].concat();
                prop_assert_eq!(parse(&all), Ok(Some(ProxyHeader { len: header.len(), visitor })));
                for cut in 0..header.len() {
                    prop_assert_eq!(parse(&header[..cut]), Ok(None), "cut at {}", cut);
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), rest in prop::collection::vec(any::<u8>(), 0..300), protocol in prop::sample::select(vec![0x00, 0x11, 0x21, 0x31])) {
            crate::fuzzing::proxy_header(&bytes);
            crate::fuzzing::proxy_header(&v2(V2_PROXY, protocol, &rest));
        }
    }
}
