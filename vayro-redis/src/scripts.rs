//! The Lua scripts: steps that must happen together or not at all.

use std::sync::LazyLock;

use redis::Script;

macro_rules! script {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("lua/", $file))));
    };
}

script!(
    /// Caches what a reader found.
    FILL,
    "fill.lua"
);
script!(
    /// Writes cached links and tells edges.
    PUBLISH,
    "publish.lua"
);
script!(
    /// Writes one cached link.
    CACHE,
    "cache.lua"
);
script!(
    /// Counts a hit of a rate limit.
    HIT,
    "hit.lua"
);
script!(
    /// Judges a visit that meets a mark.
    CLAIM_VISIT,
    "claim_visit.lua"
);
script!(
    /// Makes the group of the workers.
    CREATE_GROUP,
    "create_group.lua"
);
script!(
    /// Settles entries.
    ACK,
    "ack.lua"
);
script!(
    /// Puts an entry aside.
    DEAD_LETTER,
    "dead_letter.lua"
);
script!(
    /// Puts a dead letter back.
    REPLAY,
    "replay.lua"
);
script!(
    /// Removes named entries.
    PURGE,
    "purge.lua"
);
script!(
    /// Removes settled entries.
    TRIM,
    "trim.lua"
);
script!(
    /// Makes entries ones that were never handed out.
    REWIND,
    "rewind.lua"
);
script!(
    /// Changes how many shards are written to.
    SET_SHARDS,
    "set_shards.lua"
);
script!(
    /// Takes up a stream that is there and not known as a shard.
    ADOPT_SHARD,
    "adopt_shard.lua"
);
script!(
    /// Removes the keys of a shard that is empty.
    RETIRE_SHARD,
    "retire_shard.lua"
);
script!(
    /// Forgets a shard whose keys are removed.
    FORGET_SHARD,
    "forget_shard.lua"
);
script!(
    /// Spreads shards over workers.
    LEASE,
    "lease.lua"
);
script!(
    /// Gives up all leases.
    RELEASE,
    "release.lua"
);
script!(
    /// Forgets one consumer.
    LEAVE,
    "leave.lua"
);
script!(
    /// Forgets idle consumers.
    FORGET_IDLE,
    "forget_idle.lua"
);

/// The text of [`CLAIM_VISIT`], for pipelines.
pub(crate) const CLAIM_VISIT_TEXT: &str = include_str!("lua/claim_visit.lua");
