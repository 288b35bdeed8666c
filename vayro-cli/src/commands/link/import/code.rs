//! Codes for rows that have none, the same ones in every run.

use sha2::{Digest as _, Sha256};
use vayro_core::short_code::{ALPHABET, ShortCode};

use crate::client::links::NewLink;

/// Length of the first code tried; each further try is one longer.
const LEN_MIN: usize = 7;
/// Most codes tried for one row.
pub(super) const TRIES_MAX: usize = ShortCode::GENERATED_LEN_MAX - LEN_MIN + 1;

const _: () = assert!(TRIES_MAX > 1 && ShortCode::GENERATED_LEN_MAX <= 32);

/// Makes the code of a row from what is in it.
///
/// The server could choose one, but then a row of an import that broke off might be made twice by the
/// next run. `nth` tells equal rows of a file apart, `attempt` counts the codes already taken.
pub(super) fn choose(link: &NewLink, nth: u32, attempt: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(link).unwrap_or_default());
    hash.update(nth.to_be_bytes());
    hash.update(attempt.to_be_bytes());
    let digest = hash.finalize();
    let len = (LEN_MIN + attempt).min(ShortCode::GENERATED_LEN_MAX);
    digest.iter().take(len).map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str) -> NewLink {
        NewLink { target_url: target.to_owned(), ..NewLink::default() }
    }

    #[test]
    fn the_same_row_gets_the_same_code_and_others_get_others() {
        let code = choose(&link("https://a.example/"), 0, 0);
        assert_eq!(code, choose(&link("https://a.example/"), 0, 0));
        assert_eq!(code.len(), LEN_MIN);
        assert!(code.parse::<ShortCode>().is_ok());
        assert_ne!(code, choose(&link("https://b.example/"), 0, 0));
        assert_ne!(code, choose(&link("https://a.example/"), 1, 0), "the second of two equal rows");
        assert_eq!(choose(&link("https://a.example/"), 0, 3).len(), LEN_MIN + 3);
    }
}
