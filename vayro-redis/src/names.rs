//! Every key and every number of the Redis schema. The names are a fixed interface: operators look at
//! them with `redis-cli`, and processes of different versions share them.

use vayro_core::link::LinkKey;
use vayro_core::visits::VisitClaim;

use crate::shard::Shard;

/// How long a link stays in the shared cache after it was last used.
pub const LINK_TTL_SECONDS: u64 = 24 * 60 * 60;

/// How long a published revision keeps older states out of the shared cache. A fill is over within
/// seconds, so a reader that saw the older state has long given up by then.
pub const FLOOR_TTL_SECONDS: u64 = 300;

/// The stream of invalidations.
pub const INVALIDATIONS: &str = "vayro:invalidations";

/// Messages the stream of invalidations keeps at least; an edge further behind starts over.
pub const INVALIDATIONS_LEN_MAX: usize = 100_000;

/// The click stream, where there is one shard.
pub const CLICKS: &str = "stream:clicks";

/// Most shards of the click stream. Far more than pays off, and few enough to be looked at one by one.
pub const SHARDS_MAX: u16 = 64;

/// The hash of the shards that are read: the name of each stream with `active`, written to as well, or
/// `retiring`, read until it is empty. Where it is missing, [`CLICKS`] is the only one.
pub const SHARDS: &str = "vayro:shards";

/// The hash of the workers that read shards, each with the millisecond until which it counts as alive.
pub const WORKERS: &str = "vayro:workers:{vayro:leases}";

/// The hash of the shards with the worker that reads each. The braces of [`WORKERS`] put both on one node.
pub const LEASES: &str = "vayro:leases";

/// The consumer group of the workers.
pub const GROUP: &str = "workers";

/// The dead letters of [`CLICKS`].
pub const DEAD_LETTERS: &str = "stream:clicks:dead";

/// The keys of one shard of the click stream. All lie on one slot of Redis Cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardKeys {
    /// Which shard.
    pub shard: Shard,
    /// Its entries: `stream:clicks`, or `stream:clicks:{7}`.
    pub stream: String,
    /// Its dead letters.
    pub dead_letters: String,
    /// Counts settled entries.
    pub settled: String,
    /// Never there; see the script that makes the group.
    pub(crate) nothing: String,
}

impl ShardKeys {
    /// Returns the keys of this shard. The dead letters of the only shard have another name in a cluster, where
    /// `stream:clicks:dead` would lie on another node than `stream:clicks`.
    pub(crate) fn new(shard: Shard, is_cluster: bool) -> Self {
        let stream = shard.stream();
        match shard {
            Shard::Whole => Self {
                shard,
                dead_letters: if is_cluster { format!("{{{CLICKS}}}:dead") } else { DEAD_LETTERS.to_owned() },
                settled: format!("vayro:settled:{{{CLICKS}}}"),
                nothing: format!("vayro:nothing:{{{CLICKS}}}"),
                stream,
            },
            Shard::Part(_) => Self {
                shard,
                dead_letters: format!("{stream}:dead"),
                settled: format!("vayro:settled:{stream}"),
                nothing: format!("vayro:nothing:{stream}"),
                stream,
            },
        }
    }
}

/// The hash of the newest report of each edge.
pub const EDGES: &str = "vayro:edges";

/// How long the report of a silent edge is kept.
pub const EDGE_TTL_SECONDS: u64 = 24 * 60 * 60;

/// Returns the key a link is cached under: `url:{short_code}` on the default domain and
/// `url:{domain}/{short_code}` on others.
pub fn link(key: &LinkKey) -> String {
    match &key.domain {
        None => format!("url:{}", key.short_code.as_str()),
        Some(domain) => format!("url:{}/{}", domain.as_str(), key.short_code.as_str()),
    }
}

/// Returns the key of the revision below which nothing may be cached under `link_key`. Its braces are
/// a hash tag: both keys lie on the same node of Redis Cluster.
pub fn floor(link_key: &str) -> String {
    format!("vayro:floor:{{{link_key}}}")
}

/// Returns the key of a rate limit's window.
pub fn limit(key: &str) -> String {
    format!("vayro:limit:{key}")
}

/// Returns the key of the marks of a visitor on a link.
pub fn visit(visit: &VisitClaim) -> String {
    format!("vayro:visit:{}:{:016x}", visit.link_id, visit.visitor_id.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::slot_of;

    #[test]
    fn the_keys_of_a_shard_share_its_slot() {
        let whole = ShardKeys::new(Shard::Whole, false);
        assert_eq!((whole.stream.as_str(), whole.dead_letters.as_str()), (CLICKS, DEAD_LETTERS));
        assert_eq!(whole.settled, "vayro:settled:{stream:clicks}");
        let part = ShardKeys::new(Shard::Part(7), true);
        assert_eq!(part.stream, "stream:clicks:{7}");
        assert_eq!(part.dead_letters, "stream:clicks:{7}:dead");
        for keys in [ShardKeys::new(Shard::Whole, true), part] {
            let slot = slot_of(keys.stream.as_bytes());
            for key in [keys.dead_letters, keys.settled, keys.nothing] {
                assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
            }
        }
        assert_eq!(slot_of(LEASES.as_bytes()), slot_of(WORKERS.as_bytes()));
    }

    #[test]
    fn keys_are_the_specifications() {
        let mut key = LinkKey { domain: None, short_code: "abc".parse().expect("a code") };
        assert_eq!(link(&key), "url:abc");
        assert_eq!(floor(&link(&key)), "vayro:floor:{url:abc}");
        key.domain = Some("go.example.com".parse().expect("a host"));
        assert_eq!(link(&key), "url:go.example.com/abc");
        assert_eq!(limit("login:ann"), "vayro:limit:login:ann");
    }
}
