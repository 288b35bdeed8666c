//! Which node of a cluster owns which slot.
//!
//! The map is asked of any node, corrected by what nodes answer, and asked again after a failure. Until a
//! failover is over the old owner stays in it, and its clicks wait where they are.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{ConnectionInfo, RedisError, RedisResult, Value};
use tokio::task::JoinSet;

use crate::address::Endpoint;
use crate::dial::Tls;
use crate::entry::{self, ShapeError};
use crate::slot::away;

/// Slots of a cluster.
const SLOTS: u16 = 16384;
/// Longest time for one node's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// The map is not asked for more often than this.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Nodes asked at the same time; the first answer is taken.
const ASKED_MAX: usize = 3;
/// Corrections kept until the map is asked for again.
const CORRECTIONS_MAX: usize = 256;

/// The map of one cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    seeds: Vec<Endpoint>,
    /// How a node is reached, except for its place.
    pub(crate) like: ConnectionInfo,
    tls: Tls,
    map: Mutex<Map>,
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Map {
    owners: Vec<(RangeInclusive<u16>, Endpoint)>,
    /// What nodes answered since the map was asked for.
    corrections: Vec<(u16, Endpoint)>,
    is_stale: bool,
    asked_at: Option<Instant>,
    /// Counts questions, so that each begins with another node.
    turn: usize,
}

impl Cluster {
    /// Returns a map that nobody was asked for yet.
    pub(crate) fn new(seeds: Vec<Endpoint>, like: ConnectionInfo, tls: Tls) -> Self {
        Self { seeds, like, tls, map: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// Returns the owner of the key's slot as far as known, and whether the map should be asked for anew.
    pub(crate) fn owner(&self, key: &str) -> (Option<Endpoint>, bool) {
        let map = self.map.lock();
        let is_due = map.is_stale && map.asked_at.is_none_or(|at| at.elapsed() >= ASK_EVERY);
        (map.owner(slot_of(key.as_bytes())), is_due)
    }

    /// Returns every node that owns slots.
    pub(crate) fn masters(&self) -> Vec<Endpoint> {
        let map = self.map.lock();
        let mut masters: Vec<_> = map.owners.iter().map(|(_, owner)| owner.clone()).collect();
        masters.sort();
        masters.dedup();
        masters
    }

    /// Notes that a node answered with another owner of the slot.
    pub(crate) fn correct(&self, slot: u16, owner: Endpoint) {
        let mut map = self.map.lock();
        map.corrections.retain(|(corrected, _)| *corrected != slot);
        if map.corrections.len() < CORRECTIONS_MAX {
            map.corrections.push((slot, owner));
        }
        map.is_stale = true;
    }

    /// Notes that something went wrong that another map may mend.
    pub(crate) fn doubt(&self) {
        self.map.lock().is_stale = true;
    }

    /// Asks nodes for the map. Callers at the same time share one question. Must run on the runtime of the
    /// connections.
    pub(crate) async fn ask(self: &Arc<Self>) -> RedisResult<()> {
        let began = Instant::now();
        let _turn = self.asking.lock().await;
        if self.map.lock().asked_at.is_some_and(|at| at > began) {
            return Ok(());
        }
        let candidates = self.candidates();
        let mut failure = away("no node of the cluster is known");
        for some in candidates.chunks(ASKED_MAX) {
            match self.first_answer(some).await {
                Ok(owners) => {
                    let mut map = self.map.lock();
                    map.owners = owners;
                    map.corrections.clear();
                    map.is_stale = false;
                    map.asked_at = Some(Instant::now());
                    return Ok(());
                }
                Err(error) => failure = error,
            }
        }
        self.map.lock().asked_at = Some(Instant::now());
        Err(failure)
    }

    /// Returns the nodes to ask, beginning with another one each time.
    fn candidates(&self) -> Vec<Endpoint> {
        let mut candidates = self.masters();
        candidates.extend(self.seeds.iter().cloned());
        candidates.sort();
        candidates.dedup();
        let mut map = self.map.lock();
        map.turn = map.turn.wrapping_add(1);
        let start = map.turn % candidates.len().max(1);
        candidates.rotate_left(start);
        candidates
    }

    async fn first_answer(&self, nodes: &[Endpoint]) -> RedisResult<Vec<(RangeInclusive<u16>, Endpoint)>> {
        let mut asked = JoinSet::new();
        for node in nodes {
            let (tls, node, info) = (self.tls.clone(), node.clone(), node.reached_like(&self.like));
            asked.spawn(tokio::time::timeout(ANSWER_TIMEOUT, async move {
                let mut connection = tls.client(info)?.get_multiplexed_async_connection().await?;
                // Deprecated since 7.0 and understood by every version, unlike its successor.
                let reply = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
                let owners = parse(reply, &node.host).map_err(std::io::Error::other)?;
                if owners.is_empty() {
                    return Err(away("the cluster has no slots yet"));
                }
                Ok::<_, RedisError>(owners)
            }));
        }
        let mut failure = away("no node of the cluster answered");
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(Ok(owners))) => return Ok(owners),
                Ok(Ok(Err(error))) => failure = error,
                Ok(Err(elapsed)) => failure = std::io::Error::from(elapsed).into(),
                Err(error) => failure = std::io::Error::other(error).into(),
            }
        }
        Err(failure)
    }
}

impl Map {
    fn owner(&self, slot: u16) -> Option<Endpoint> {
        let corrected = self.corrections.iter().find(|(corrected, _)| *corrected == slot);
        if let Some((_, owner)) = corrected {
            return Some(owner.clone());
        }
        self.owners.iter().find(|(slots, _)| slots.contains(&slot)).map(|(_, owner)| owner.clone())
    }
}

/// Reads the answer to `CLUSTER SLOTS`: first slot, last slot, master, replicas.
fn parse(reply: Value, asked: &str) -> Result<Vec<(RangeInclusive<u16>, Endpoint)>, ShapeError> {
    let slot = |value: Option<Value>| match value {
        Some(Value::Int(slot)) => u16::try_from(slot).map_err(|_| ShapeError),
        _ => Err(ShapeError),
    };
    entry::list(reply)?
        .into_iter()
        .map(|range| {
            let mut parts = entry::list(range)?.into_iter();
            let (first, last) = (slot(parts.next())?, slot(parts.next())?);
            let mut master = entry::list(parts.next().ok_or(ShapeError)?)?.into_iter();
            let host = match master.next().ok_or(ShapeError)? {
                // It does not know its own address, or keeps it from us.
                Value::Nil => asked.to_owned(),
                host => match entry::text(host)? {
                    host if host.is_empty() => asked.to_owned(),
                    host => host,
                },
            };
            Ok((first..=last, Endpoint { host, port: slot(master.next())? }))
        })
        .collect()
}

/// Returns the slot of a key: that of what stands between its first braces, or of the whole key.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let length = rest.iter().position(|&byte| byte == b'}')?;
        (length > 0).then(|| &rest[..length])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16 of the XMODEM kind, as the cluster uses it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(
            crc ^ u16::from(byte) << 8,
            |crc: u16, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_servers() {
        // By `CLUSTER KEYSLOT` of 7.0.15.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"123456789"), 12739);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"{foo}.bar"), 12182);
        assert_eq!(slot_of(b"{}foo"), slot_of(b"{}foo"));
        assert_ne!(slot_of(b"{}foo"), slot_of(b"{}bar"), "empty braces count for nothing");
        assert_eq!(slot_of(b"vayro:floor:{url:abc}"), slot_of(b"url:abc"));
    }

    #[test]
    fn the_map_is_read_with_hosts_that_go_without_saying() {
        let node = |host: &str, port| {
            let host = if host.is_empty() { Value::Nil } else { Value::BulkString(host.into()) };
            Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec())])
        };
        let range = |first, last, node| Value::Array(vec![Value::Int(first), Value::Int(last), node]);
        let reply =
            Value::Array(vec![range(0, 100, node("10.0.0.1", 7001)), range(101, 16383, node("", 7002))]);
        let map = Map { owners: parse(reply, "asked").expect("a map"), ..Map::default() };
        let owner = |slot| map.owner(slot).map(|owner| owner.to_string());
        assert_eq!(owner(100).as_deref(), Some("10.0.0.1:7001"));
        assert_eq!(owner(101).as_deref(), Some("asked:7002"));
        assert!(parse(Value::Array(vec![Value::Int(1)]), "asked").is_err());
    }
}
