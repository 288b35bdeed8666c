//! The five oracles.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::visits::Answer;
use super::world::World;

/// How long the product's own account may take to be exact, once nobody visits any more.
const EXACT_AFTER: Duration = Duration::from_secs(15);
/// Most tokens named in one complaint.
const NAMED_MAX: usize = 10;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Oracles that failed, and how.
    pub failures: Vec<String>,
    /// What is worth knowing.
    pub findings: Vec<String>,
}

impl Verdict {
    /// Tells whether every oracle held.
    pub fn holds(&self) -> bool {
        self.failures.is_empty()
    }

    /// Takes the result of an oracle.
    pub fn check(&mut self, oracle: &str, result: Result<(), String>) {
        if let Err(error) = result {
            self.failures.push(format!("{oracle}: {error}"));
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "       {finding}"))?;
        self.failures.iter().try_for_each(|failure| writeln!(f, "FAILED {failure}"))?;
        f.write_str(if self.holds() { "PASSED all oracles" } else { "verdict: failed" })
    }
}

/// Compares what visitors were answered with what is there.
pub(super) async fn compare(verdict: &mut Verdict, world: &World, visits: &BTreeMap<String, Answer>) {
    let rows = world.rows();
    let tokens = match rows.tokens().await {
        Ok(tokens) => tokens,
        Err(error) => {
            verdict.failures.push(format!("conservation: the rows cannot be read: {error}"));
            return;
        }
    };
    let count = |wanted: fn(&Answer) -> bool| visits.values().filter(|answer| wanted(answer)).count();
    verdict.findings.push(format!(
        "{} visits redirected, {} refused, {} without an answer; {} rows",
        count(|answer| matches!(answer, Answer::Redirected(_))),
        count(|answer| *answer == Answer::Refused),
        count(|answer| *answer == Answer::Failed),
        tokens.values().sum::<i64>(),
    ));
    let explained = conservation(verdict, world, visits, &tokens);
    no_duplicates(verdict, visits, &tokens);
    match (rows.repeated_ids().await, rows.wrong_sums().await) {
        (Ok(0), Ok(wrong)) if wrong.is_empty() => {}
        (ids, sums) => {
            verdict.failures.push(format!("rollup = raw: repeated ids {ids:?}, sums that differ {sums:?}"));
        }
    }
    rollups(verdict, world);
    audit(verdict, world, explained).await;
}

/// The product's own recount of every day agrees with what charts are drawn from.
fn rollups(verdict: &mut Verdict, world: &World) {
    let data_dir = world.system.data_dir().display().to_string();
    let output = world.system.vayro(&["rollup", "verify", "--data-dir", &data_dir]);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        verdict.failures.push(format!("rollup = raw: {said}"));
    }
}

/// Every answered visit is stored, or its loss is within a bound. Returns how many losses were explained.
fn conservation(
    verdict: &mut Verdict,
    world: &World,
    visits: &BTreeMap<String, Answer>,
    tokens: &BTreeMap<String, i64>,
) -> u64 {
    let mut unexplained = Vec::new();
    // How many, and how long before its cause the first of them was answered.
    let mut explained: BTreeMap<&str, (u64, Duration)> = BTreeMap::new();
    for (token, answer) in visits {
        let Answer::Redirected(at) = answer else { continue };
        if tokens.contains_key(token) {
            continue;
        }
        let is_flushed = world.servers.as_ref().is_some_and(|servers| servers.flushed.contains(token));
        let window = world.windows.iter().find(|window| (window.from..=window.until).contains(at));
        let (why, age) = match (is_flushed, window) {
            (true, _) => ("Redis was flushed", Duration::ZERO),
            (false, Some(window)) => (window.why, window.at.saturating_duration_since(*at)),
            (false, None) => {
                unexplained.push(token.as_str());
                continue;
            }
        };
        let (count, oldest) = explained.entry(why).or_default();
        *count += 1;
        *oldest = age.max(*oldest);
    }
    for (why, (count, oldest)) in &explained {
        verdict.findings.push(format!(
            "{count} clicks lost within the bound: {why}, the first {} ms before",
            oldest.as_millis()
        ));
    }
    if !unexplained.is_empty() {
        let named = &unexplained[..unexplained.len().min(NAMED_MAX)];
        verdict
            .failures
            .push(format!("conservation: {} clicks are lost, such as {named:?}", unexplained.len()));
    }
    explained.values().map(|(count, _)| count).sum()
}

/// No visit is there twice, and none that was not made or was refused.
fn no_duplicates(verdict: &mut Verdict, visits: &BTreeMap<String, Answer>, tokens: &BTreeMap<String, i64>) {
    let twice: Vec<&String> =
        tokens.iter().filter(|(_, count)| **count > 1).map(|(token, _)| token).collect();
    if !twice.is_empty() {
        let named = &twice[..twice.len().min(NAMED_MAX)];
        verdict
            .failures
            .push(format!("no duplicates: {} visits are there twice, such as {named:?}", twice.len()));
    }
    let strangers = tokens.keys().filter(|token| {
        token.starts_with("visit-") && matches!(visits.get(*token), None | Some(Answer::Refused))
    });
    let strangers: Vec<&String> = strangers.take(NAMED_MAX).collect();
    if !strangers.is_empty() {
        verdict.failures.push(format!("no duplicates: clicks that nobody made, such as {strangers:?}"));
    }
}

/// Adds a figure of the account up over all days.
fn sum(books: &Value, pointer: &str) -> i64 {
    let days = books["days"].as_array().into_iter().flatten();
    days.filter_map(|day| day.pointer(pointer)?.as_i64()).sum()
}

/// The product's own account says the same: it is balanced, or what it misses is what was lost with Redis.
async fn audit(verdict: &mut Verdict, world: &World, explained: u64) {
    let started = Instant::now();
    let (status, books) = loop {
        let output = world.system.vayro(&["audit", "clicks", "--json", "--wait", "0s"]);
        let Ok(books) = serde_json::from_slice::<Value>(&output.stdout) else {
            let said = String::from_utf8_lossy(&output.stderr);
            verdict.failures.push(format!("audit: {said}"));
            return;
        };
        // Nobody visits any more, so within seconds the edge has told everything and nothing is on its way.
        let is_exact = sum(&books, "/untold") == 0 && sum(&books, "/in_flight") == 0;
        if (is_exact && sum(&books, "/unaccounted") == 0) || started.elapsed() > EXACT_AFTER {
            break (output.status.code(), books);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    if sum(&books, "/untold") != 0 || sum(&books, "/in_flight") != 0 {
        verdict.failures.push(format!("audit: it is not exact after {EXACT_AFTER:?}: {books}"));
    }
    let sum = |pointer| sum(&books, pointer);
    let unaccounted = sum("/unaccounted");
    verdict.findings.push(format!(
        "audit: {} accepted, {} stored, {} dead, {} dropped, {} unsure, {unaccounted} unaccounted for, exit status {:?}",
        sum("/accepted"),
        sum("/stored"),
        sum("/dead_letters"),
        sum("/dropped/ring_full") + sum("/dropped/shutdown") + sum("/dropped/disk"),
        sum("/unsure"),
        status
    ));
    // Visits without an answer may have been in the stream too.
    let flushed = world.servers.as_ref().map_or(0, |servers| servers.flushed.len() as u64);
    let bound = i64::try_from(flushed + explained).unwrap_or(i64::MAX);
    let expected = if unaccounted == 0 { 0 } else { 5 };
    if !(0..=bound).contains(&unaccounted) || status != Some(expected) {
        verdict.failures.push(format!("audit: {unaccounted} clicks are not accounted for: {books}"));
    }
}
