//! Runs what must hold over the committed corpus of a fuzz target and over seeded mutations of it. Part of the test
//! binaries of several crates, which include it by its path.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// Mutations of each input; the same ones at every run.
const MUTATIONS: u64 = 400;
/// Most changes of one mutation.
const CHANGES_MAX: u64 = 4;

/// Calls `holds` with every input of `fuzz/corpus/<target>` and its mutations.
///
/// # Panics
///
/// If `holds` does, naming the input; or if there is no corpus.
pub(super) fn replay(target: &str, holds: impl Fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut inputs: Vec<(String, Vec<u8>)> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| {
            let path = entry.expect("the folder can be read").path();
            (path.display().to_string(), std::fs::read(&path).expect("an input can be read"))
        })
        .collect();
    assert!(!inputs.is_empty(), "{} is empty", dir.display());
    inputs.sort();
    for (place, (name, input)) in inputs.iter().enumerate() {
        check(name, input, &holds);
        let mut dice = Dice(place as u64);
        for number in 0..MUTATIONS {
            let other = &inputs[dice.below(inputs.len())].1;
            let mutated = mutate(input, other, &mut dice);
            check(&format!("mutation {number} of {name}"), &mutated, &holds);
        }
    }
}

fn check(name: &str, input: &[u8], holds: &impl Fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| holds(input))) {
        eprintln!("{name}: {}", input.escape_ascii());
        resume_unwind(panic);
    }
}

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`, which is not zero.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).expect("below a usize")
    }
}

fn mutate(input: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.roll() % CHANGES_MAX {
        let place = dice.below(bytes.len() + 1);
        let rest = bytes.len() - place;
        match dice.roll() % 6 {
            0 if rest > 0 => bytes[place] ^= 1 << dice.below(8),
            1 if rest > 0 => bytes[place] = dice.roll().to_le_bytes()[0],
            2 => bytes.insert(place, dice.roll().to_le_bytes()[0]),
            3 if rest > 0 => drop(bytes.drain(place..=place + dice.below(rest))),
            4 => {
                let end = place + dice.below(rest + 1);
                let part = bytes[place..end].to_vec();
                bytes.splice(place..place, part).for_each(drop);
            }
            _ => {
                let from = dice.below(other.len() + 1);
                let end = from + dice.below(other.len() - from + 1);
                bytes.splice(place..place, other[from..end].iter().copied()).for_each(drop);
            }
        }
    }
    bytes
}
