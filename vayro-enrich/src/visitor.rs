//! The visitor's pseudonym: lets one day's visits of one person be told apart, and nothing else.

use std::hash::Hasher as _;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;
use vayro_core::ids::WorkspaceId;

/// Secret of one UTC day.
pub type Salt = [u8; 16];

/// Returns the keyed hash of workspace, address and user agent under the salt of the click's own day.
///
/// The workspace is part of it, so the visitors of two customers cannot be joined. Of an IPv6 address
/// only the /64 counts, since a device changes the rest at will. `ip` is canonical.
pub(crate) fn pseudonym(salt: &Salt, workspace: WorkspaceId, ip: IpAddr, user_agent: &str) -> i64 {
    let mut hasher = SipHasher24::new_with_key(salt);
    // Parts of fixed length first, the only variable one last: no two inputs run together.
    hasher.write(workspace.as_uuid().as_bytes());
    match ip {
        IpAddr::V4(ip) => {
            hasher.write(&[4]);
            hasher.write(&ip.octets());
        }
        IpAddr::V6(ip) => {
            hasher.write(&[6]);
            hasher.write(&ip.octets()[..8]);
        }
    }
    hasher.write(user_agent.as_bytes());
    hasher.finish().cast_signed()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const SALT: Salt = [7; 16];

    fn id(salt: &Salt, workspace: u128, ip: &str, user_agent: &str) -> i64 {
        pseudonym(salt, WorkspaceId::from_uuid(Uuid::from_u128(workspace)), ip.parse().unwrap(), user_agent)
    }

    #[test]
    fn pseudonym_is_stable_and_depends_on_every_part() {
        let base = id(&SALT, 1, "192.0.2.1", "agent");
        assert_eq!(base, id(&SALT, 1, "192.0.2.1", "agent"));
        for other in [
            id(&[8; 16], 1, "192.0.2.1", "agent"),
            id(&SALT, 2, "192.0.2.1", "agent"),
            id(&SALT, 1, "192.0.2.2", "agent"),
            id(&SALT, 1, "192.0.2.1", "agent2"),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn only_the_64_of_an_ipv6_address_counts() {
        assert_eq!(id(&SALT, 1, "2001:db8:0:1::1", "a"), id(&SALT, 1, "2001:db8:0:1:ffff::2", "a"));
        assert_ne!(id(&SALT, 1, "2001:db8:0:1::1", "a"), id(&SALT, 1, "2001:db8:0:2::1", "a"));
    }

    // Rows of two releases must agree on who is one visitor; a change of the hash would split a day.
    #[test]
    fn pseudonym_does_not_change_between_releases() {
        let mut reference = SipHasher24::new_with_key(&SALT);
        let mut bytes = Uuid::from_u128(1).as_bytes().to_vec();
        bytes.extend_from_slice(&[4, 192, 0, 2, 1]);
        bytes.extend_from_slice(b"agent");
        reference.write(&bytes);
        assert_eq!(id(&SALT, 1, "192.0.2.1", "agent"), reference.finish().cast_signed());
    }
}
