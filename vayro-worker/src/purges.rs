//! Removing clicks that somebody asked to have removed, and keeping late ones out.
//!
//! A worker knows every purge that is remembered. What it reads is compared with them before anything is made
//! of it, and again before it is written if purges were added meanwhile. What lies elsewhere is removed by
//! whichever worker comes first; a purge is carried out again when no worker can be writing clicks that it
//! read before, and a last time before it is forgotten.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use vayro_backends::causes;
use vayro_core::click::field;
use vayro_core::day::Day;
use vayro_core::dead_letters::Pages;
use vayro_core::ids::{ClickId, LinkId};
use vayro_core::ports::BoxError;
use vayro_core::purge::{PURGES_MAX, Purge, PurgeState, click_id};
use vayro_core::stream::{DeadLetterFilter, Delivery};
use vayro_core::timestamp::Timestamp;

use crate::ingest::{Abandoned, Pipeline};
use crate::schedule::recount_due;
use crate::stop::Stop;

/// How often purges are looked for. Far less than [`SETTLE_TIME`](vayro_core::purge::SETTLE_TIME), with the
/// longest write on top.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Rows removed in one transaction.
const ROWS_BATCH: u32 = 5_000;
/// Dead letters read at one time.
pub(crate) const LETTERS_PAGE: u16 = 200;

/// The purges a worker knows of.
#[derive(Default)]
pub(crate) struct Purges(RwLock<Arc<KnownPurges>>);

/// The purges that were known at some time.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct KnownPurges {
    by_link: HashMap<LinkId, Vec<Purge>>,
    others: Vec<Purge>,
}

/// A delivery that is not to be stored, and why.
pub(crate) struct Unwanted {
    purge: Purge,
    click: Option<ClickId>,
}

impl KnownPurges {
    fn new(purges: &[Purge]) -> Self {
        let mut known = Self::default();
        for purge in purges {
            // How far it is makes no difference here, and must not look like news.
            let purge = Purge { clicks: 0, done_at: None, state: PurgeState::Waiting, ..*purge };
            match purge.selector.link_id {
                Some(link_id) => known.by_link.entry(link_id).or_default().push(purge),
                None => known.others.push(purge),
            }
        }
        known
    }

    fn find<N: AsRef<str>, V: AsRef<[u8]>>(&self, fields: &[(N, V)]) -> Option<&Purge> {
        if self.by_link.is_empty() && self.others.is_empty() {
            return None;
        }
        let link_id = fields.iter().find(|(name, _)| name.as_ref() == field::LINK_ID);
        let link_id =
            link_id.and_then(|(_, id)| std::str::from_utf8(id.as_ref()).ok()?.parse::<LinkId>().ok());
        let of_link = link_id.and_then(|id| self.by_link.get(&id));
        let purges = of_link.into_iter().flatten().chain(&self.others);
        purges.into_iter().find(|purge| purge.selector.matches(fields))
    }
}

impl Purges {
    /// Returns what is known now.
    pub(crate) fn known(&self) -> Arc<KnownPurges> {
        Arc::clone(&self.0.read())
    }

    /// Tells whether nothing was added since.
    pub(crate) fn is_current(&self, known: &Arc<KnownPurges>) -> bool {
        Arc::ptr_eq(&self.0.read(), known)
    }

    fn learn(&self, purges: &[Purge]) {
        let news = KnownPurges::new(purges);
        let mut known = self.0.write();
        if **known != news {
            *known = Arc::new(news);
        }
    }
}

impl Pipeline {
    /// Takes out of a batch what is not to be stored, and notes it as removed.
    pub(crate) async fn leave_out(
        &self,
        known: &KnownPurges,
        deliveries: Vec<Delivery>,
        stop: &mut Stop,
    ) -> Result<Vec<Delivery>, Abandoned> {
        let mut unwanted = Vec::new();
        let mut wanted = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match known.find(&delivery.fields) {
                None => wanted.push(delivery),
                Some(purge) => unwanted.push(Unwanted { purge: *purge, click: click_id(&delivery.fields) }),
            }
        }
        let mut backoff = self.backoff();
        while let Some(Unwanted { purge, .. }) = unwanted.first() {
            let purge = *purge;
            let of_it = |unwanted: &&Unwanted| unwanted.purge.id == purge.id;
            let clicks: Vec<ClickId> = unwanted.iter().filter(of_it).filter_map(|one| one.click).collect();
            match self.deps.purges.remove_clicks(&purge, &clicks).await {
                Ok(_) => unwanted.retain(|one| one.purge.id != purge.id),
                Err(error) => {
                    self.database.down(&error);
                    self.metrics.database_retries.inc();
                    if !backoff.wait(stop).await {
                        return Err(Abandoned);
                    }
                }
            }
        }
        Ok(wanted)
    }
}

/// Learns of every purge, trying until it works. No click is read before that.
///
/// Returns false if stopping was asked for.
pub(crate) async fn learn(pipeline: &Pipeline, stop: &mut Stop) -> bool {
    let mut backoff = pipeline.backoff();
    loop {
        match pipeline.deps.purges.list(PURGES_MAX).await {
            Ok(purges) => {
                pipeline.purges.learn(&purges);
                return true;
            }
            Err(error) => {
                pipeline.database.down(&error);
                pipeline.metrics.database_retries.inc();
            }
        }
        if !backoff.wait(stop).await {
            return false;
        }
    }
}

/// Looks for purges and carries them out until stopping is asked for.
pub(crate) async fn keep_purging(pipeline: Arc<Pipeline>, mut stop: Stop) {
    while stop.pause(LOOK_EVERY).await {
        let round = tokio::select! {
            round = look(&pipeline) => round,
            () = stop.requested() => return,
        };
        if let Err(error) = round {
            let cause = causes(&*error);
            tracing::warn!(error = cause, "a purge is not done and is tried again: {cause}");
        }
    }
}

async fn look(pipeline: &Pipeline) -> Result<(), BoxError> {
    let purges = pipeline.deps.purges.list(PURGES_MAX).await?;
    pipeline.purges.learn(&purges);
    for purge in &purges {
        let now = (pipeline.deps.clock)();
        if purge.is_due(now) {
            carry_out(pipeline, purge).await?;
            if purge.is_over(now) {
                pipeline.deps.purges.forget(purge.id).await?;
            } else {
                pipeline.deps.purges.advance(purge, now).await?;
            }
        }
    }
    Ok(())
}

/// Removes what a purge names from everywhere it can be reached. From the stream toward the database, as clicks
/// move.
async fn carry_out(pipeline: &Pipeline, purge: &Purge) -> Result<(), BoxError> {
    let deps = &pipeline.deps;
    let mut after: Option<String> = None;
    loop {
        let page = deps.stream.purge(&purge.selector, after.as_deref()).await?;
        deps.purges.remove_clicks(purge, &page.items).await?;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    purge_letters(pipeline, purge).await?;
    for (from, to) in spans(purge) {
        while deps.purges.remove_rows(purge, from, to, ROWS_BATCH).await? == u64::from(ROWS_BATCH) {}
    }
    recount_due(pipeline).await?;
    Ok(())
}

async fn purge_letters(pipeline: &Pipeline, purge: &Purge) -> Result<(), BoxError> {
    let deps = &pipeline.deps;
    let filter = DeadLetterFilter {
        link_id: purge.selector.link_id.map(|id| id.to_string()),
        ..DeadLetterFilter::default()
    };
    let mut pages = Pages::new(&*deps.dead_letters, &filter, LETTERS_PAGE);
    while let Some(letters) = pages.next().await? {
        let meant = letters.iter().filter(|letter| purge.selector.matches(&letter.fields));
        let (mut ids, mut clicks) = (Vec::new(), Vec::new());
        for letter in meant {
            ids.push(letter.id.clone());
            clicks.extend(click_id(&letter.fields));
        }
        if !ids.is_empty() {
            // Noted first: a letter that is noted and still there is found again, and noted once.
            deps.purges.remove_clicks(purge, &clicks).await?;
            deps.dead_letters.purge(&ids).await?;
        }
    }
    Ok(())
}

/// Returns the times to look through, one after the other: days, unless a link says where to look.
fn spans(purge: &Purge) -> Vec<(Timestamp, Timestamp)> {
    let from = purge.selector.from.unwrap_or(Timestamp::EPOCH);
    let to = purge.selector.to.unwrap_or(purge.forget_at);
    if purge.selector.link_id.is_some() {
        return vec![(from, to)];
    }
    let (first, last) = (Day::of(from).number(), Day::of(to).number());
    let days = (first..=last).filter_map(Day::from_number);
    days.map(|day| (day.start().max(from), day.end().min(to))).filter(|(from, to)| from < to).collect()
}
