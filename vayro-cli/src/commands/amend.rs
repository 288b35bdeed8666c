//! New knowledge applied to stored clicks, day after day and batch after batch.
//!
//! How far a run has come is kept by the transaction that stores its changes, so it may end at any point and
//! the same command goes on there.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};
use vayro_backends::Backends;
use vayro_core::amendment::{
    AMENDMENT_BATCH_MAX, Amendment, AmendmentKind, AmendmentScope, BASIS_LEN_MAX, Changes, StoredClick,
};
use vayro_core::click::{ClickClass, clean};
use vayro_core::day::Day;
use vayro_core::ids::{ClickId, RunId, WorkspaceId};
use vayro_core::ports::{RollupRange, StoreError};
use vayro_core::rollup::{Quarters, RollupSpan, Subject};
use vayro_core::timestamp::Timestamp;

use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{ConfigArgs, require_current_schema};
use crate::ui::progress::Progress;
use crate::ui::table::{Table, Value};
use crate::ui::{Ui, text};

/// Clicks of one step. Small, so that writers of clicks never wait long for one.
const BATCH: u16 = 1_000;
/// Days asked for at once that are due to be counted again.
const DUE_BATCH: u16 = 100;
/// Further tries of a step while the database does not answer.
const RETRIES: u32 = 5;
/// Pause before such a try.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

const _: () = assert!(BATCH <= AMENDMENT_BATCH_MAX);

/// Which clicks, and how.
#[derive(Debug, Args)]
pub(super) struct AmendArgs {
    /// First UTC day
    #[arg(long, value_name = "DATE")]
    since: Day,

    /// Last UTC day [default: the last one with clicks]
    #[arg(long, value_name = "DATE")]
    until: Option<Day>,

    /// Only this workspace
    #[arg(long, value_name = "ID")]
    workspace: Option<WorkspaceId>,

    /// Clicks looked at per second; 0 is as fast as possible
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    rate: u32,

    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Begin with the first day although an earlier run did not come to its end
    #[arg(long, conflicts_with = "dry_run")]
    restart: bool,

    #[command(flatten)]
    pub(super) config: ConfigArgs,
}

/// What is known now about clicks.
pub(super) trait Knowledge {
    /// What it is applied as.
    const KIND: AmendmentKind;

    /// Names exactly this knowledge.
    fn basis(&self) -> String;

    /// Judges clicks and counts what it found in `tally`.
    fn judge(&self, clicks: &[StoredClick], tally: &mut Tally) -> Changes;
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    /// Whether nothing was stored.
    is_dry_run: bool,
    /// Whether it went on where an earlier run ended.
    is_continued: bool,
    /// Days with clicks.
    days: usize,
    /// Clicks that were looked at.
    looked_at: u64,
    /// Those among them that changed.
    changed: u64,
    /// Those among them about which too little is stored.
    pub(super) unknown: u64,
    /// Changes by what they are.
    #[serde(flatten)]
    pub(super) kinds: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn table(&self) -> Table {
        let counts = [("looked_at", self.looked_at), ("changed", self.changed)];
        let kinds = self.kinds.iter().map(|(name, count)| (*name, *count));
        let all = counts.into_iter().chain(kinds).chain([("unknown", self.unknown)]);
        Table::properties(all.map(|(name, count)| (name, Value::count(count))))
    }
}

/// A run with everything it needs.
struct Run<'a, K> {
    backends: &'a Backends,
    knowledge: &'a K,
    amendment: Amendment,
    /// Clicks per second.
    rate: Option<u32>,
    progress: Progress,
    started: Instant,
    tally: Tally,
}

/// Applies `knowledge` to stored clicks and says what changed.
pub(super) async fn run<K: Knowledge>(
    ui: &mut Ui,
    context: &Context,
    args: &AmendArgs,
    backends: &Backends,
    knowledge: &K,
) -> Result<(), CommandError> {
    if args.until.is_some_and(|until| until < args.since) {
        return Err(CommandError::usage("`--until` lies before `--since`"));
    }
    require_current_schema(backends).await?;
    let amendment = Amendment {
        kind: K::KIND,
        run_id: RunId::generate(context.now(), &mut StdRng::from_os_rng()),
        basis: clean(knowledge.basis().as_bytes(), BASIS_LEN_MAX),
        scope: AmendmentScope { workspace_id: args.workspace, since: args.since, until: args.until },
    };
    let after = if args.dry_run {
        None
    } else {
        context.if_interrupted("the same command goes on where this one ended".to_owned());
        ask(|| backends.amendments.begin(&amendment, args.restart)).await?
    };
    if after.is_some() {
        ui.note("Going on where an earlier run ended; `--restart` begins anew");
    }
    let last = args.until.unwrap_or(Day::of(Timestamp::EPOCH.plus(Duration::MAX)));
    let days = ask(|| backends.rollups.days(args.workspace, args.since, last)).await?;
    let clicks = count(backends, &days).await?;
    let run = Run {
        backends,
        knowledge,
        amendment,
        rate: (args.rate > 0).then_some(args.rate),
        progress: ui.progress("Looking", Some(clicks)),
        started: Instant::now(),
        tally: Tally { is_dry_run: args.dry_run, is_continued: after.is_some(), ..Tally::default() },
    };
    let tally = run.all(&days, after).await?;
    ui.show(&tally, Tally::table)?;
    let verb = if tally.is_dry_run { "Would change" } else { "Changed" };
    let looked_at = usize::try_from(tally.looked_at).unwrap_or(usize::MAX);
    let changed = text::number(i64::try_from(tally.changed).unwrap_or(i64::MAX));
    let days = text::plural(tally.days, "day");
    ui.note(&format!("{verb} {changed} of {} on {days}", text::plural(looked_at, "click")));
    Ok(())
}

impl<K: Knowledge> Run<'_, K> {
    async fn all(
        mut self,
        days: &[(WorkspaceId, Day)],
        after: Option<ClickId>,
    ) -> Result<Tally, CommandError> {
        let first = after.and_then(|id| id.timestamp()).map(Day::of);
        let mut left: Vec<Day> = days.iter().map(|(_, day)| *day).collect();
        left.sort_unstable();
        left.dedup();
        left.retain(|day| first.is_none_or(|first| *day >= first));
        self.tally.days = left.len();
        // Marks of an earlier run.
        self.recount().await?;
        for day in left {
            self.day(day, after).await?;
            self.recount().await?;
        }
        if !self.tally.is_dry_run {
            ask(|| self.backends.amendments.finish(&self.amendment)).await?;
        }
        Ok(self.tally)
    }

    async fn day(&mut self, day: Day, mut after: Option<ClickId>) -> Result<(), CommandError> {
        let (amendments, workspace_id) = (&self.backends.amendments, self.amendment.scope.workspace_id);
        loop {
            let clicks = ask(|| amendments.clicks(workspace_id, day, after, BATCH)).await?;
            let Some(last) = clicks.last().map(|click| click.id) else { return Ok(()) };
            let changes = self.knowledge.judge(&clicks, &mut self.tally);
            self.tally.changed += if self.tally.is_dry_run {
                changes.len() as u64
            } else {
                ask(|| amendments.amend(&self.amendment, &changes, last)).await?.ok_or_else(|| {
                    CommandError::failed("another run took over").hint("wait for that one, or begin again")
                })?
            };
            self.tally.looked_at += clicks.len() as u64;
            self.progress.advance(clicks.len() as u64);
            after = Some(last);
            if let Some(rate) = self.rate {
                let due = Duration::from_secs(self.tally.looked_at) / rate;
                sleep_until(self.started + due).await;
            }
        }
    }

    /// Counts days again whose clicks were changed. Days that are due for other reasons are, too.
    async fn recount(&self) -> Result<(), CommandError> {
        let rollups = &self.backends.rollups;
        if self.tally.is_dry_run {
            return Ok(());
        }
        loop {
            let due = ask(|| rollups.due(DUE_BATCH)).await?;
            if due.is_empty() {
                return Ok(());
            }
            for (workspace_id, day) in due {
                ask(|| rollups.recount(workspace_id, day, true)).await?;
            }
        }
    }
}

/// Returns how many clicks the days have, by what is kept of them; only for show.
async fn count(backends: &Backends, days: &[(WorkspaceId, Day)]) -> Result<u64, CommandError> {
    let mut spans: BTreeMap<WorkspaceId, (Day, Day)> = BTreeMap::new();
    for (workspace_id, day) in days {
        let (first, last) = spans.entry(*workspace_id).or_insert((*day, *day));
        (*first, *last) = ((*first).min(*day), (*last).max(*day));
    }
    let mut clicks = 0;
    for (workspace_id, (first, last)) in spans {
        let range = RollupRange {
            workspace_id,
            subject: Subject::Workspace(workspace_id),
            span: RollupSpan::Day,
            pieces: vec![(first.start(), last.end())],
        };
        for counts in ask(|| backends.rollups.counts(&range, &[])).await? {
            // What cannot be read is `vayro rollup verify`'s business.
            let quarters = Quarters::read(&counts.quarters).unwrap_or_default();
            clicks += ClickClass::ALL.into_iter().map(|class| quarters.total(class)).sum::<u64>();
        }
    }
    Ok(clicks)
}

/// Asks the database, a few times if it does not answer.
async fn ask<T, F: Future<Output = Result<T, StoreError>>>(
    mut call: impl FnMut() -> F,
) -> Result<T, CommandError> {
    let mut retries = 0..RETRIES;
    loop {
        match call().await {
            Err(StoreError::Unavailable(_)) if retries.next().is_some() => sleep(RETRY_PAUSE).await,
            answer => {
                return answer.map_err(|error| {
                    CommandError::failed("the clicks cannot be changed")
                        .caused_by(error)
                        .hint("the same command goes on where this one ended")
                });
            }
        }
    }
}
