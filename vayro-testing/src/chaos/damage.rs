//! Changes bytes of clicks that wait on a disk, and says which visits that may cost.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::schedule::Damage;

/// First bytes of a record, see `vayro-spool/src/record.rs`.
const MAGIC: [u8; 4] = [0xC1, b'v', b'y', 0x1C];
/// In front of a visit's token inside a record.
const TOKEN: &[u8] = b"utm_content=visit-";
/// Bytes in front of the first record of a segment.
const HEAD_LEN: usize = 16;
/// Most bytes torn off.
const TORN_MAX: usize = 4000;

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Visits whose records were hit; each may be missing, and no other.
    pub(super) tokens: BTreeSet<String>,
    /// In words.
    pub(super) what: String,
}

/// Damages the segments in `dir`, if there are any, as `number` says.
///
/// # Panics
///
/// When the files cannot be read or written.
pub(super) fn damage(dir: &Path, damage: Damage, number: u32) -> Done {
    let mut rng = StdRng::seed_from_u64(number.into());
    let mut segments: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    segments.sort();
    let chosen = match damage {
        // Older ones were forced to the disk when they were ended.
        Damage::Tear => segments.last(),
        Damage::Flip => segments.choose(&mut rng),
    };
    let Some(path) = chosen else { return Done { what: "nothing waited there".into(), ..Done::default() } };
    let mut bytes = std::fs::read(path).expect("a segment can be read");
    let (records, whole) = (records(&bytes), bytes.clone());
    let mut tokens = BTreeSet::new();
    let what = match damage {
        Damage::Tear => {
            let torn = rng.random_range(1..TORN_MAX).min(bytes.len().saturating_sub(HEAD_LEN));
            let len = bytes.len() - torn;
            tokens.extend(
                records.iter().filter(|record| record.end > len).filter_map(|r| token(&whole[r.clone()])),
            );
            bytes.truncate(len);
            format!("{torn} bytes torn off")
        }
        Damage::Flip => {
            let count = rng.random_range(1..6);
            for _ in 0..count {
                let bit = rng.random_range(0..bytes.len() * 8);
                tokens.extend(
                    records
                        .iter()
                        .find(|record| record.contains(&(bit / 8)))
                        .and_then(|record| token(&whole[record.clone()])),
                );
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            format!("{count} bits flipped")
        }
    };
    std::fs::write(path, &bytes).expect("a segment can be written");
    let what = format!("{what}, {} of {} records in {} files", tokens.len(), records.len(), segments.len());
    Done { tokens, what }
}

/// Where records lie: each reaches to the next one.
fn records(bytes: &[u8]) -> Vec<Range<usize>> {
    let starts: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&MAGIC)).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

fn token(record: &[u8]) -> Option<String> {
    let start = record.windows(TOKEN.len()).position(|window| window == TOKEN)?;
    let digits = record[start + TOKEN.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(format!("visit-{}", digits.map(|digit| char::from(*digit)).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> Vec<u8> {
        let mut bytes = vec![0; HEAD_LEN];
        for n in 0..50 {
            bytes.extend(MAGIC);
            bytes.extend(format!("{{\"query\":\"utm_content=visit-{n}\"}}").bytes());
        }
        bytes
    }

    #[test]
    fn exactly_the_records_that_were_hit_are_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("0000000001-00000000000000000000.seg");
        for number in 0..200 {
            for kind in [Damage::Tear, Damage::Flip] {
                std::fs::write(&path, segment()).expect("written");
                let done = damage(dir.path(), kind, number);
                let after = std::fs::read(&path).expect("read");
                for (n, record) in records(&segment()).into_iter().enumerate() {
                    let is_whole = after.get(record.clone()) == Some(&segment()[record]);
                    let is_named = done.tokens.contains(&format!("visit-{n}"));
                    // A bit may be flipped back.
                    assert!(is_whole || is_named, "{kind:?} {number}: record {n}");
                    assert!(kind == Damage::Flip || is_whole != is_named, "{number}: record {n}");
                }
                assert!(!done.tokens.is_empty() || kind == Damage::Flip);
            }
        }
    }
}
