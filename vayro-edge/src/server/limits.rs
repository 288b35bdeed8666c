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

    /// Takes a place for a connection, which counts only in all until [`Permit::count_for`].
    pub(crate) fn admit(&self) -> Result<Permit, Refusal> {
        let counts = &self.counts;
        // Given back by the permit, also if there are too many.
        let before = counts.total.fetch_add(1, Ordering::Relaxed);
        let permit = Permit { counts: Arc::clone(counts), address: None };
        if before >= counts.total_max { Err(Refusal::Total) } else { Ok(permit) }
    }

    /// Returns how many there are.
    pub(crate) fn open(&self) -> usize {
        self.counts.total.load(Ordering::Relaxed)
    }
}

impl Permit {
    /// Counts the connection for `visitor`, and for nobody else any more.
    pub(crate) fn count_for(&mut self, visitor: IpAddr) -> Result<(), Refusal> {
        self.uncount();
        let address = network_of(visitor);
        let mut addresses = self.counts.shard(address).lock();
        let count = addresses.entry(address).or_insert(0);
        if *count >= self.counts.per_address_max {
            return Err(Refusal::Address);
        }
        *count += 1;
        self.address = Some(address);
        Ok(())
    }

    fn uncount(&mut self) {
        let Some(address) = self.address.take() else { return };
        if let Entry::Occupied(mut count) = self.counts.shard(address).lock().entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
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
        self.uncount();
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

    fn admit(limits: &ConnectionLimits, visitor: &str) -> Result<Permit, Refusal> {
        let mut permit = limits.admit()?;
        permit.count_for(ip(visitor))?;
        Ok(permit)
    }

    #[test]
    fn places_are_given_back() {
        let limits = ConnectionLimits::new(2, 10);
        let first = admit(&limits, "192.0.2.1").expect("free");
        let second = admit(&limits, "192.0.2.2").expect("free");
        assert_eq!(admit(&limits, "192.0.2.3").err(), Some(Refusal::Total));
        drop(first);
        drop(admit(&limits, "192.0.2.3").expect("free"));
        drop(second);
        assert_eq!(limits.open(), 0);
        assert!(limits.counts.per_address.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let limits = ConnectionLimits::new(100, 1);
        let mut held = admit(&limits, "2001:db8:0:1::1").expect("free");
        assert_eq!(admit(&limits, "2001:db8:0:1:ffff::9").err(), Some(Refusal::Address));
        assert_eq!(limits.open(), 1);
        assert!(admit(&limits, "2001:db8:0:2::1").is_ok());
        assert!(limits.admit().is_ok(), "counts for nobody");
        held.count_for(ip("2001:db8:0:1::2")).expect("the place was its own");
        held.count_for(ip("192.0.2.1")).expect("free");
        assert!(admit(&limits, "2001:db8:0:1::1").is_ok(), "it counts for somebody else now");
        drop(held);
        assert_eq!(limits.open(), 0);
        assert!(limits.counts.per_address.iter().all(|shard| shard.lock().is_empty()));
    }
}
