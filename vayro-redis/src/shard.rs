//! Which stream a click goes into.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use vayro_core::ids::LinkId;

use crate::entry::{EntryId, EntryIdError};
use crate::names;

/// One of the streams that clicks are spread over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shard {
    /// The only one.
    Whole,
    /// One of several, counted from zero.
    Part(u16),
}

impl Shard {
    /// Returns the shard of a link's clicks among `count`.
    ///
    /// It is FNV-1a, 64 bits, of the 16 bytes of the link's id, modulo `count`. Nothing breaks if two
    /// processes disagree: every shard is read, and clicks are told by their own ids.
    pub fn of(link_id: LinkId, count: NonZeroU16) -> Self {
        if count == NonZeroU16::MIN {
            return Self::Whole;
        }
        let hash = link_id.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self::Part(u16::try_from(hash % u64::from(count.get())).unwrap_or_default())
    }

    /// Returns the shards that there are if there are `count`.
    pub fn all(count: NonZeroU16) -> Vec<Self> {
        if count == NonZeroU16::MIN {
            return vec![Self::Whole];
        }
        (0..count.get()).map(Self::Part).collect()
    }

    /// Returns every shard there may ever be.
    pub(crate) fn possible() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Whole).chain((0..names::SHARDS_MAX).map(Self::Part))
    }

    /// Returns the name of its stream. The braces spread shards over the nodes of a cluster.
    pub fn stream(self) -> String {
        match self {
            Self::Whole => names::CLICKS.to_owned(),
            Self::Part(part) => format!("{}:{{{part}}}", names::CLICKS),
        }
    }

    /// Reads the name of a stream.
    pub(crate) fn from_stream(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(names::CLICKS)?;
        if rest.is_empty() {
            return Some(Self::Whole);
        }
        let part = rest.strip_prefix(":{")?.strip_suffix('}')?.parse().ok()?;
        (part < names::SHARDS_MAX).then_some(Self::Part(part))
    }
}

/// An entry and the shard it is in: `1526919030474-55` in the only one, `7:1526919030474-55` in one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: Shard,
    pub(crate) id: EntryId,
}

impl FromStr for Place {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None => Ok(Self { shard: Shard::Whole, id: text.parse()? }),
            Some((part, id)) => {
                let part = part.parse().ok().filter(|&part: &u16| part < names::SHARDS_MAX);
                Ok(Self { shard: part.map(Shard::Part).ok_or(EntryIdError)?, id: id.parse()? })
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&place(self.shard, &self.id.to_string()))
    }
}

/// Writes the place of an entry.
pub(crate) fn place(shard: Shard, id: &str) -> String {
    match shard {
        Shard::Whole => id.to_owned(),
        Shard::Part(part) => format!("{part}:{id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str) -> LinkId {
        LinkId::from_uuid(text.parse().expect("a UUID"))
    }

    fn count(count: u16) -> NonZeroU16 {
        NonZeroU16::new(count).expect("not zero")
    }

    #[test]
    fn links_stay_with_their_shards() {
        // Computed apart from this code; a change here moves the clicks of every link.
        for (id, three, eight, most) in [
            ("00000000-0000-0000-0000-000000000000", 0, 5, 37),
            ("0198c0de-7a11-7000-8000-0123456789ab", 0, 3, 27),
            ("ffffffff-ffff-ffff-ffff-ffffffffffff", 0, 5, 21),
        ] {
            assert_eq!(Shard::of(link(id), count(1)), Shard::Whole);
            assert_eq!(Shard::of(link(id), count(3)), Shard::Part(three));
            assert_eq!(Shard::of(link(id), count(8)), Shard::Part(eight));
            assert_eq!(Shard::of(link(id), count(64)), Shard::Part(most));
        }
    }

    #[test]
    fn links_are_spread_evenly() {
        let mut clicks = [0_u32; 8];
        for n in 0..8000_u128 {
            // Ids of one second differ in their random half only.
            let id = LinkId::from_uuid(uuid::Uuid::from_u128((0x0198_c0de_7a11_7000 << 64) | (n * 7919)));
            let Shard::Part(part) = Shard::of(id, count(8)) else { panic!("one of several") };
            clicks[usize::from(part)] += 1;
        }
        assert!(clicks.iter().all(|clicks| (800..1200).contains(clicks)), "{clicks:?}");
    }

    #[test]
    fn names_are_read_back() {
        for shard in Shard::possible() {
            assert_eq!(Shard::from_stream(&shard.stream()), Some(shard));
        }
        for name in
            ["stream", "stream:clicks:dead", "stream:clicks:{64}", "stream:clicks:{x}", "stream:clicks:7"]
        {
            assert_eq!(Shard::from_stream(name), None, "{name}");
        }
    }

    #[test]
    fn places_are_read_back() {
        for text in ["1526919030474-55", "0:1-0", "63:1526919030474-55"] {
            assert_eq!(text.parse::<Place>().expect("a place").to_string(), text);
        }
        for text in ["", "64:1-0", "x:1-0", "1:", ":1-0", "1:2:3-4"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
