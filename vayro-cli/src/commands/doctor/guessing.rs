//! How easily codes are guessed.

use std::time::Duration;

use vayro_core::ports::LinkStore;
use vayro_core::short_code::ShortCode;

use super::{Finding, Verdict};
use crate::ui::text;

const CHECK: &str = "guessing";
/// A network that finds a link within this time is worth a warning.
const SOON: Duration = Duration::from_hours(24);

/// Says how many guesses hit a link, and how long that takes a network that may miss `misses_per_minute` times.
pub(super) async fn chance(links: &dyn LinkStore, misses_per_minute: u32) -> Finding {
    match links.count_by_code_length().await {
        Ok(counts) => of(&counts, misses_per_minute),
        Err(error) => Finding::new(CHECK, Verdict::Note, format!("links cannot be counted: {error}")),
    }
}

/// Links by the length of their codes, the shortest first.
fn of(counts: &[(u16, u64)], misses_per_minute: u32) -> Finding {
    let is_short = |len: u16| usize::from(len) < ShortCode::GENERATED_LEN_MIN;
    let short: u64 = counts.iter().filter(|(len, _)| is_short(*len)).map(|(_, links)| links).sum();
    let guesses = |(len, links): &(u16, u64)| ShortCode::possibilities(*len) / u128::from(*links);
    let generated = counts.iter().filter(|(len, links)| !is_short(*len) && *links > 0);
    let easiest = generated.min_by_key(|counted| guesses(counted));
    let mut verdict = Verdict::Ok;
    let mut said = Vec::new();
    if let Some(easiest @ (len, links)) = easiest {
        let guesses = u64::try_from(guesses(easiest)).unwrap_or(u64::MAX);
        let (links, one_in) = (links_of(*links), text::count(guesses));
        said.push(format!("{links} of {len} characters: one guess in {one_in} hits"));
        if misses_per_minute == 0 {
            verdict = Verdict::Warning;
            said.push("nothing limits guesses; set `edge.misses_per_minute`".to_owned());
        } else {
            let needed = Duration::from_secs(guesses.saturating_mul(60) / u64::from(misses_per_minute));
            if needed < SOON {
                verdict = Verdict::Warning;
            }
            said.push(format!("a network finds one every {}", text::duration(needed)));
        }
    }
    if short > 0 {
        let (links, len) = (links_of(short), ShortCode::GENERATED_LEN_MIN);
        said.push(format!("{links} of fewer than {len} characters, easy to guess"));
    }
    if said.is_empty() {
        said.push("there are no links yet".to_owned());
    }
    Finding::new(CHECK, verdict, said.join("; "))
}

fn links_of(count: u64) -> String {
    text::plural(usize::try_from(count).unwrap_or(usize::MAX), "link")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_that_is_easiest_to_hit_is_named() {
        // 55 to the sixth is 27,680,640,625.
        let finding = of(&[(3, 7), (6, 1_000_000), (9, 1_000_000)], 300);
        assert_eq!(finding.verdict, Verdict::Warning);
        assert_eq!(
            finding.detail,
            "1,000,000 links of 6 characters: one guess in 27,680 hits; a network finds one every 1 h 32 min; 7 links \
             of fewer than 6 characters, easy to guess"
        );
    }

    #[test]
    fn few_links_are_safe_while_guesses_are_limited() {
        assert_eq!(of(&[(6, 100)], 300).verdict, Verdict::Ok);
        let unlimited = of(&[(6, 100)], 0);
        assert_eq!(unlimited.verdict, Verdict::Warning);
        assert!(unlimited.detail.ends_with("set `edge.misses_per_minute`"), "{}", unlimited.detail);
    }

    #[test]
    fn one_link_is_one_link() {
        assert_eq!(of(&[(5, 1)], 300).detail, "1 link of fewer than 6 characters, easy to guess");
        assert!(
            of(&[(6, 1)], 300).detail.starts_with("1 link of 6 characters: one guess in 27,680,640,625 hits")
        );
    }

    #[test]
    fn without_links_there_is_nothing_to_guess() {
        assert_eq!(of(&[], 300).detail, "there are no links yet");
    }
}
