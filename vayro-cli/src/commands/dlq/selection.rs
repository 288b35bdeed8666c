//! Which dead letters a command is about.

use std::time::Duration;

use clap::Args;
use vayro_core::ids::LinkId;
use vayro_core::stream::DeadReason;

use crate::client::Api;
use crate::client::operations::{DeadLetter, LETTERS_MAX, LetterQuery};
use crate::commands::link::reference::LinkRef;
use crate::context::Context;
use crate::error::CommandError;
use crate::when::When;

/// Most letters one command replays or purges; run it again for more.
pub const SELECTED_MAX: usize = 100_000;

/// Filters of dead letters.
#[derive(Clone, Debug, Args)]
pub struct FilterArgs {
    /// Only for this reason: `undecodable`, `rejected`, `unknown_link`, `out_of_range` or
    /// `crashed`
    #[arg(long, value_parser = parse_reason)]
    reason: Option<DeadReason>,

    /// Only put aside since then: a time, a day, or a span such as 2h
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,

    /// Only of this link: its id, short code or short address
    #[arg(long, value_name = "LINK")]
    link: Option<LinkRef>,
}

/// Which letters to act on.
#[derive(Clone, Debug, Args)]
pub struct SelectionArgs {
    /// Ids of dead letters, as `vayro dlq list` shows them
    #[arg(value_name = "ID", conflicts_with_all = ["reason", "since", "link", "all"])]
    ids: Vec<String>,

    /// All dead letters
    #[arg(long, conflicts_with_all = ["reason", "since", "link"])]
    all: bool,

    #[command(flatten)]
    filter: FilterArgs,
}

fn parse_reason(text: &str) -> Result<DeadReason, String> {
    DeadReason::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or_else(|| {
        let names = DeadReason::ALL.map(DeadReason::as_str).join(", ");
        format!("`{text}` is not a reason; there are {names}")
    })
}

impl FilterArgs {
    fn is_empty(&self) -> bool {
        self.reason.is_none() && self.since.is_none() && self.link.is_none()
    }

    /// Returns the question to the API.
    pub async fn query(&self, api: &Api, context: &Context) -> Result<LetterQuery, CommandError> {
        Ok(LetterQuery {
            reason: self.reason,
            since: self.since.as_ref().map(|when| when.before(context.now())),
            link_id: match &self.link {
                Some(reference) => Some(reference.id(api).await?),
                None => None,
            },
        })
    }
}

impl SelectionArgs {
    /// Returns the ids of the letters, oldest first.
    ///
    /// They are all collected before anything is done to one of them: a letter that fails again after
    /// its replay becomes a new letter, which must not be picked up by the same run.
    pub async fn collect(&self, api: &Api, context: &Context) -> Result<Vec<String>, CommandError> {
        if !self.ids.is_empty() {
            for id in &self.ids {
                find(api, id).await?;
            }
            return Ok(self.ids.clone());
        }
        if self.filter.is_empty() && !self.all {
            return Err(CommandError::usage("no dead letters are selected")
                .hint("name their ids, filter them with `--reason`, `--since` or `--link`, or add `--all`"));
        }
        let query = self.filter.query(api, context).await?;
        Ok(list(api, &query, SELECTED_MAX).await?.0.into_iter().map(|letter| letter.id).collect())
    }
}

/// Returns a letter.
///
/// # Errors
///
/// Not found, in our words.
pub async fn find(api: &Api, id: &str) -> Result<DeadLetter, CommandError> {
    api.find_letter(id).await.map_err(|error| {
        let error = CommandError::from(error);
        if error.kind() == crate::error::ErrorKind::NotFound {
            return CommandError::not_found(format!("there is no dead letter `{id}`"))
                .hint("`vayro dlq list` shows them");
        }
        error
    })
}

/// Lists letters over as many pages as it takes, at most `limit`; says whether there are more.
pub async fn list(
    api: &Api,
    query: &LetterQuery,
    limit: usize,
) -> Result<(Vec<DeadLetter>, bool), CommandError> {
    let mut letters: Vec<DeadLetter> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let wanted = (limit - letters.len()).min(LETTERS_MAX);
        if wanted == 0 {
            return Ok((letters, true));
        }
        let page = api.list_letters(query, cursor.as_deref(), wanted).await?;
        letters.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok((letters, false)),
        }
    }
}

/// Returns how many letters go into one call so that `rate` letters per second can be kept, and how long
/// each call takes at that rate.
pub fn pace(rate: Option<u32>) -> (usize, Duration) {
    let Some(rate) = rate else { return (LETTERS_MAX, Duration::ZERO) };
    let len = usize::try_from(rate / 10).unwrap_or(LETTERS_MAX).clamp(1, LETTERS_MAX);
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
    let span = Duration::from_secs_f64(len as f64 / f64::from(rate.max(1)));
    (len, span)
}

/// Returns the link that a letter is about.
pub fn link_of(letter: &DeadLetter) -> Option<LinkId> {
    let field = letter.fields.iter().find(|field| field.name == vayro_core::click::field::LINK_ID);
    field.and_then(|field| field.value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_by_small_calls() {
        assert_eq!(pace(None), (LETTERS_MAX, Duration::ZERO));
        assert_eq!(pace(Some(1)), (1, Duration::from_secs(1)));
        assert_eq!(pace(Some(100)), (10, Duration::from_millis(100)));
        assert_eq!(pace(Some(100_000)), (LETTERS_MAX, Duration::from_millis(1)));
    }
}
