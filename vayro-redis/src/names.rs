//! Every key and every number of the Redis schema. The names are a fixed interface: operators look at
//! them with `redis-cli`, and processes of different versions share them.

use vayro_core::link::LinkKey;
use vayro_core::visits::VisitClaim;

/// How long a link stays in the shared cache after it was last used.
pub const LINK_TTL_SECONDS: u64 = 24 * 60 * 60;

/// How long a published revision keeps older states out of the shared cache. A fill is over within
/// seconds, so a reader that saw the older state has long given up by then.
pub const FLOOR_TTL_SECONDS: u64 = 300;

/// The stream of invalidations.
pub const INVALIDATIONS: &str = "vayro:invalidations";

/// Messages the stream of invalidations keeps at least; an edge further behind starts over.
pub const INVALIDATIONS_LEN_MAX: usize = 100_000;

/// The click stream.
pub const CLICKS: &str = "stream:clicks";

/// The consumer group of the workers.
pub const GROUP: &str = "workers";

/// The dead letters.
pub const DEAD_LETTERS: &str = "stream:clicks:dead";

/// Counts settled entries. The braces put it on the node of [`CLICKS`] in Redis Cluster.
pub const SETTLED: &str = "vayro:settled:{stream:clicks}";

/// Never there; see the script that makes the group.
pub(crate) const NOTHING: &str = "vayro:nothing:{stream:clicks}";

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
