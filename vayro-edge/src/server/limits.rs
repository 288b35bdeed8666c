//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Locks that addresses are spread over.
const SHARDS: usize = 16;

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There are too many.
    Total,
    /// There are too many from this address.
    Address,
}

/// Counts connections.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimits {
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    total: AtomicUsize,
    total_max: usize,
    per_address: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
    per_address_max: u32,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    counts: Arc<Counts>,
    address: Option<IpAddr>,
}

impl ConnectionLimits {
    /// Makes empty counts.
    pub(crate) fn new(total_max: usize, per_address_max: u32) -> Self {
        let counts = Counts {
            total: AtomicUsize::new(0),
            total_max,
            per_address: std::array::from_fn(|_| Mutex::new(HashMap::new())),
            per_address_max,
        };
        Self { counts: Arc::new(counts) }
    }

    /// Takes a place for a connection from `peer`. Our own proxies bring the visitors of many and count
    /// only in all.
    pub(crate) fn admit(&self, peer: IpAddr, is_trusted: bool) -> Result<Permit, Refusal> {
        let counts = &self.counts;
        // Given back by the permit, also if the address turns out to have too many.
        let before = counts.total.fetch_add(1, Ordering::Relaxed);
        let mut permit = Permit { counts: Arc::clone(counts), address: None };
        if before >= counts.total_max {
            return Err(Refusal::Total);
        }
        if !is_trusted {
            let address = network_of(peer);
            let mut addresses = counts.shard(address).lock();
            let count = addresses.entry(address).or_insert(0);
            if *count >= counts.per_address_max {
                return Err(Refusal::Address);
            }
            *count += 1;
            permit.address = Some(address);
        }
        Ok(permit)
    }

    /// Returns how many there are.
    pub(crate) fn open(&self) -> usize {
        self.counts.total.load(Ordering::Relaxed)
    }
}

impl Counts {
    fn shard(&self, address: IpAddr) -> &Mutex<HashMap<IpAddr, u32>> {
        let byte = match address {
            IpAddr::V4(address) => address.octets()[3],
            // The last byte of a /64.
            IpAddr::V6(address) => address.octets()[7],
        };
        &self.per_address[usize::from(byte) % SHARDS]
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.total.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        if let Entry::Occupied(mut count) = self.counts.shard(address).lock().entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// One customer usually owns a whole /64 of IPv6.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("valid")
    }

    #[test]
    fn places_are_given_back() {
        let limits = ConnectionLimits::new(2, 10);
        let first = limits.admit(ip("192.0.2.1"), false).expect("free");
        let second = limits.admit(ip("192.0.2.2"), false).expect("free");
        assert_eq!(limits.admit(ip("192.0.2.3"), false).err(), Some(Refusal::Total));
        drop(first);
        drop(limits.admit(ip("192.0.2.3"), false).expect("free"));
        drop(second);
        assert_eq!(limits.open(), 0);
        assert!(limits.counts.per_address.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let limits = ConnectionLimits::new(100, 1);
        let _held = limits.admit(ip("2001:db8:0:1::1"), false).expect("free");
        assert_eq!(limits.admit(ip("2001:db8:0:1:ffff::9"), false).err(), Some(Refusal::Address));
        assert_eq!(limits.open(), 1);
        assert!(limits.admit(ip("2001:db8:0:2::1"), false).is_ok());
        assert!(limits.admit(ip("2001:db8:0:1::1"), true).is_ok());
    }
}
