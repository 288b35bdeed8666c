//! The five oracles.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::visits::Answer;
use super::world::{Window, World};

/// How long the product's own account may take to be exact, once nobody visits any more.
const EXACT_AFTER: Duration = Duration::from_secs(15);
/// Most tokens named in one complaint.
const NAMED_MAX: usize = 10;
/// A loss this long before something that loses clicks may have been caused by it, too early to be allowed.
const CAUSE_AGE_MAX: Duration = Duration::from_secs(30);

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oracle {
    /// Every accepted click is stored, or it is known why not; the product's own account says the same.
    Conservation,
    /// No click is there twice, and none that nobody made.
    NoDuplicates,
    /// Every sum says what the rows say.
    RollupsEqualRows,
    /// What is lost is no more than the documentation says.
    BoundedLoss,
    /// Afterwards everything works: what waited is stored, new clicks are, nothing ended by itself.
    Liveness,
}

impl Oracle {
    /// Every oracle.
    pub const ALL: [Self; 5] =
        [Self::Conservation, Self::NoDuplicates, Self::RollupsEqualRows, Self::BoundedLoss, Self::Liveness];

    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conservation => "conservation",
            Self::NoDuplicates => "no duplicates",
            Self::RollupsEqualRows => "rollup = raw",
            Self::BoundedLoss => "bounded loss",
            Self::Liveness => "liveness",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Oracles that failed, and how.
    pub failures: Vec<(Oracle, String)>,
    /// What is worth knowing.
    pub findings: Vec<String>,
    /// Failpoints that were armed to kill and not reached in time.
    pub unreached: Vec<&'static str>,
}

impl Verdict {
    /// Tells whether every oracle held.
    pub fn holds(&self) -> bool {
        self.failures.is_empty()
    }

    /// Takes the result of an oracle.
    pub fn check(&mut self, oracle: Oracle, result: Result<(), String>) {
        if let Err(error) = result {
            self.fail(oracle, error);
        }
    }

    fn fail(&mut self, oracle: Oracle, error: impl Into<String>) {
        self.failures.push((oracle, error.into()));
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "       {finding}"))?;
        for oracle in Oracle::ALL {
            let mut failures = self.failures.iter().filter(|(failed, _)| *failed == oracle).peekable();
            if failures.peek().is_none() {
                writeln!(f, "PASSED {}", oracle.as_str())?;
            }
            failures.try_for_each(|(_, error)| writeln!(f, "FAILED {}: {error}", oracle.as_str()))?;
        }
        f.write_str(if self.holds() { "verdict: passed all oracles" } else { "verdict: failed" })
    }
}

/// Compares what visitors were answered with what is there.
pub(super) async fn compare(verdict: &mut Verdict, world: &World, visits: &BTreeMap<String, Answer>) {
    let rows = world.rows();
    let tokens = match rows.tokens().await {
        Ok(tokens) => tokens,
        Err(error) => {
            verdict.fail(Oracle::Conservation, format!("the rows cannot be read: {error}"));
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
    verdict.findings.extend_from_slice(&world.notes);
    let explained = conservation(verdict, world, visits, &tokens);
    no_duplicates(verdict, visits, &tokens);
    match rows.repeated_ids().await {
        Ok(0) => {}
        ids => verdict.fail(Oracle::NoDuplicates, format!("ids of other rows: {ids:?}")),
    }
    match rows.wrong_sums().await {
        Ok(wrong) if wrong.is_empty() => {}
        sums => verdict.fail(Oracle::RollupsEqualRows, format!("sums that differ: {sums:?}")),
    }
    rollups(verdict, world);
    audit(verdict, world, explained).await;
}

/// The product's own recount of every day agrees with what charts are drawn from: every link and
/// workspace, every bucket, every dimension.
fn rollups(verdict: &mut Verdict, world: &World) {
    let data_dir = world.system.data_dir().display().to_string();
    let output = world.system.vayro(&["rollup", "verify", "--data-dir", &data_dir]);
    if !output.status.success() {
        verdict.fail(Oracle::RollupsEqualRows, String::from_utf8_lossy(&output.stderr));
    }
}

/// What became of a visit that was answered and is not stored.
enum Loss<'a> {
    Known(&'static str),
    Within(&'a Window),
    /// It happened too long before what may have caused it.
    Beyond(&'a Window),
    Unexplained,
}

fn cause<'a>(world: &'a World, token: &str, at: Instant) -> Loss<'a> {
    if world.servers.as_ref().is_some_and(|servers| servers.flushed.contains(token)) {
        return Loss::Known("Redis was flushed or failed over");
    }
    if world.damaged.contains(token) {
        return Loss::Known("its bytes on the disk were damaged");
    }
    let mut windows = world.windows.iter();
    if let Some(window) = windows.find(|window| (window.from..=window.until).contains(&at)) {
        return Loss::Within(window);
    }
    let later = world.windows.iter().filter(|window| window.at >= at).min_by_key(|window| window.at);
    match later {
        Some(window) if window.at.duration_since(at) < CAUSE_AGE_MAX => Loss::Beyond(window),
        _ => Loss::Unexplained,
    }
}

/// Every answered visit is stored, or its loss is within a bound. Returns how many losses were explained.
fn conservation(
    verdict: &mut Verdict,
    world: &World,
    visits: &BTreeMap<String, Answer>,
    tokens: &BTreeMap<String, i64>,
) -> u64 {
    let (mut unexplained, mut beyond) = (Vec::new(), Vec::new());
    // How many, and how long before its cause the first of them was answered.
    let mut explained: BTreeMap<&str, (u64, Duration)> = BTreeMap::new();
    for (token, answer) in visits {
        let Answer::Redirected(at) = answer else { continue };
        if tokens.contains_key(token) {
            continue;
        }
        let (why, age) = match cause(world, token, *at) {
            Loss::Known(why) => (why, Duration::ZERO),
            Loss::Within(window) => (window.why, window.at.saturating_duration_since(*at)),
            Loss::Beyond(window) => {
                let age = window.at.saturating_duration_since(*at).as_millis();
                beyond.push(format!("{token} ({age} ms before: {})", window.why));
                continue;
            }
            Loss::Unexplained => {
                unexplained.push(token.clone());
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
    for (oracle, lost) in [(Oracle::Conservation, unexplained), (Oracle::BoundedLoss, beyond)] {
        if !lost.is_empty() {
            let named = &lost[..lost.len().min(NAMED_MAX)];
            verdict.fail(oracle, format!("{} clicks are lost, such as {named:?}", lost.len()));
        }
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
            .fail(Oracle::NoDuplicates, format!("{} visits are there twice, such as {named:?}", twice.len()));
    }
    let strangers = tokens.keys().filter(|token| {
        token.starts_with("visit-") && matches!(visits.get(*token), None | Some(Answer::Refused))
    });
    let strangers: Vec<&String> = strangers.take(NAMED_MAX).collect();
    if !strangers.is_empty() {
        verdict.fail(Oracle::NoDuplicates, format!("clicks that nobody made, such as {strangers:?}"));
    }
}

/// Dead letters are for what is at fault itself: an outage never makes one.
pub(super) fn dead_letters(verdict: &mut Verdict, reasons: &BTreeMap<String, usize>) {
    if !reasons.is_empty() {
        verdict.findings.push(format!("dead letters, all put back but the undecodable: {reasons:?}"));
    }
    for reason in ["rejected", "unknown_link"] {
        if let Some(count) = reasons.get(reason) {
            verdict.fail(Oracle::Conservation, format!("an outage made {count} dead letters `{reason}`"));
        }
    }
}

/// Adds a figure of the account up over all days.
fn sum(books: &Value, pointer: &str) -> i64 {
    let days = books["days"].as_array().into_iter().flatten();
    days.filter_map(|day| day.pointer(pointer)?.as_i64()).sum()
}

/// The product's own account says the same: it is balanced, or what it misses is what was lost with Redis
/// or by damage.
async fn audit(verdict: &mut Verdict, world: &World, explained: u64) {
    let started = Instant::now();
    let (status, books) = loop {
        let output = world.system.vayro(&["audit", "clicks", "--json", "--wait", "0s"]);
        let Ok(books) = serde_json::from_slice::<Value>(&output.stdout) else {
            let said = String::from_utf8_lossy(&output.stderr);
            verdict.fail(Oracle::Conservation, format!("audit: {said}"));
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
        let error = format!("audit: it is not exact after {EXACT_AFTER:?}: {books}");
        verdict.fail(Oracle::Conservation, error);
    }
    let sum = |pointer| sum(&books, pointer);
    let unaccounted = sum("/unaccounted");
    let (full, shutdown, disk) = (sum("/dropped/ring_full"), sum("/dropped/shutdown"), sum("/dropped/disk"));
    verdict.findings.push(format!(
        "audit: {} accepted, {} stored, {} dead, {} dropped, {} unsure, {unaccounted} unaccounted for, exit status {:?}",
        sum("/accepted"),
        sum("/stored"),
        sum("/dead_letters"),
        full + shutdown + disk,
        sum("/unsure"),
        status
    ));
    // Visits without an answer may have been in the stream or on the disk too.
    let damaged = i64::try_from(world.damaged.len()).unwrap_or(i64::MAX);
    let flushed = world.servers.as_ref().map_or(0, |servers| servers.flushed.len() as u64);
    let bound = i64::try_from(flushed + explained).unwrap_or(i64::MAX).saturating_add(damaged);
    let expected = if unaccounted == 0 { 0 } else { 5 };
    // A damaged click counts as dropped, and may have been stored before.
    if !(-damaged..=bound).contains(&unaccounted) || status != Some(expected) {
        let error = format!("audit: {unaccounted} clicks are not accounted for: {books}");
        verdict.fail(Oracle::Conservation, error);
    }
    // No limit was reached, and no edge was stopped while nothing took its clicks.
    if full + shutdown > 0 || disk > damaged {
        let error = format!("{full} clicks dropped from rings, {shutdown} at shutdown, {disk} by the disk");
        verdict.fail(Oracle::BoundedLoss, error);
    }
}
