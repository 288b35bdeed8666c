//! Ports that do as they are told, and a worker on them. Time is tokio's, which tests pause.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vayro_backends::local::LocalVisits;
use vayro_core::account::{NewSession, Session, User};
use vayro_core::analytics::{ClickScope, Dimension};
use vayro_core::change::ChangeContext;
use vayro_core::click::{Click, ClickMethod, ClickRow, Fields};
use vayro_core::day::Day;
use vayro_core::idempotency::{Claim, ClaimOutcome, KeptAnswer};
use vayro_core::ids::{ClickId, DomainId, LinkId, PurgeId, SessionId, UserId, WorkspaceId};
use vayro_core::ledger::{DayCounts, DayTally, EdgeLedger, KnownEdge, Removal};
use vayro_core::link::{Link, LinkCursor, LinkFilter, LinkPatch, LinkUpdate, NewLink};
use vayro_core::page::Page;
use vayro_core::ports::{
    ClickStore, ClickStream, DeadLetterStore, IdempotencyStore, LedgerStore, LinkStore, PurgeStore,
    RecentVisits, RetentionStore, RollupCounts, RollupRange, RollupStore, RollupValues, SessionStore,
    StoreError, StreamError, Visit, WriteError, WriteOutcome,
};
use vayro_core::purge::{ClickSelector, NewPurge, Purge, PurgeState, REMEMBERED};
use vayro_core::retention::{Cut, Detached, RemovedMonth, RetentionReview};
use vayro_core::rollup::RollupCheck;
use vayro_core::short_code::ShortCode;
use vayro_core::stream::{
    BoundedCount, DeadLetter, DeadLetterFilter, DeadReason, Delivery, DeliveryId, NewDeadLetter, StreamStats,
    Unsettled,
};
use vayro_core::timestamp::Timestamp;
use vayro_core::visits::VisitClaim;
use vayro_worker::{Worker, WorkerDeps, WorkerError, WorkerHandle, WorkerSettings};

/// Longest wait of [`until`], in the test's own time.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Instant at which the clock of every test starts.
pub(crate) fn epoch() -> Timestamp {
    "2026-05-15T12:00:00Z".parse().expect("valid")
}

/// What was done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Written(BTreeSet<ClickId>),
    Acknowledged(BTreeSet<ClickId>),
}

impl Event {
    /// How many clicks it is about.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Written(ids) | Self::Acknowledged(ids) => ids.len(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whereabouts {
    Waiting,
    Held(Instant),
    Settled,
}

struct Entry {
    click: Option<ClickId>,
    fields: Fields,
    attempts: u32,
    whereabouts: Whereabouts,
}

/// A click stream in memory.
#[derive(Default)]
pub(crate) struct FakeStream {
    entries: Mutex<Vec<Entry>>,
    pub(crate) dead: Mutex<Vec<NewDeadLetter>>,
    pub(crate) is_down: AtomicBool,
    /// While set, acknowledgements never return.
    pub(crate) is_ack_stuck: AtomicBool,
    pub(crate) reclaims: AtomicUsize,
    pub(crate) leaves: AtomicUsize,
    pub(crate) trims: Mutex<Vec<(Duration, Timestamp)>>,
    events: Arc<Mutex<Vec<Event>>>,
    news: Notify,
}

impl FakeStream {
    pub(crate) fn append(&self, clicks: &[Click]) {
        for click in clicks {
            self.append_raw(Some(click.id), click.to_fields());
        }
    }

    pub(crate) fn append_raw(&self, click: Option<ClickId>, fields: Fields) {
        self.entries.lock().push(Entry { click, fields, attempts: 0, whereabouts: Whereabouts::Waiting });
        self.news.notify_one();
    }

    /// Hands everything that waits to a worker that dies at once.
    pub(crate) fn hand_to_a_dead_worker(&self, attempts: u32) {
        for entry in self.entries.lock().iter_mut().filter(|e| e.whereabouts == Whereabouts::Waiting) {
            entry.whereabouts = Whereabouts::Held(Instant::now());
            entry.attempts = attempts;
        }
    }

    pub(crate) fn count_held(&self) -> usize {
        self.entries.lock().iter().filter(|e| matches!(e.whereabouts, Whereabouts::Held(_))).count()
    }

    pub(crate) fn count_unsettled(&self) -> usize {
        self.entries.lock().iter().filter(|e| e.whereabouts != Whereabouts::Settled).count()
    }

    pub(crate) fn attempts_max(&self) -> u32 {
        self.entries.lock().iter().map(|entry| entry.attempts).max().unwrap_or(0)
    }

    pub(crate) fn dead_reasons(&self) -> Vec<DeadReason> {
        self.dead.lock().iter().map(|letter| letter.reason).collect()
    }

    fn check(&self) -> Result<(), StreamError> {
        if self.is_down.load(Ordering::SeqCst) { Err(StreamError("stream is down".into())) } else { Ok(()) }
    }

    fn hand_out(&self, max: NonZeroUsize, is_due: impl Fn(&Entry) -> bool) -> Vec<Delivery> {
        let mut entries = self.entries.lock();
        let due = entries.iter_mut().enumerate().filter(|(_, entry)| is_due(entry)).take(max.get());
        due.map(|(number, entry)| {
            entry.whereabouts = Whereabouts::Held(Instant::now());
            entry.attempts += 1;
            Delivery {
                id: DeliveryId(number.to_string()),
                attempts: entry.attempts,
                fields: entry.fields.clone(),
            }
        })
        .collect()
    }

    fn settle(&self, id: &DeliveryId) -> Option<ClickId> {
        let number: usize = id.0.parse().expect("an id of ours");
        let mut entries = self.entries.lock();
        entries[number].whereabouts = Whereabouts::Settled;
        entries[number].click
    }
}

#[async_trait]
impl ClickStream for FakeStream {
    async fn next_batch(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>, StreamError> {
        let deadline = Instant::now() + wait;
        loop {
            self.check()?;
            let batch = self.hand_out(max, |entry| entry.whereabouts == Whereabouts::Waiting);
            if !batch.is_empty() || tokio::time::timeout_at(deadline, self.news.notified()).await.is_err() {
                return Ok(batch);
            }
        }
    }

    async fn reclaim(&self, max: NonZeroUsize, min_idle: Duration) -> Result<Vec<Delivery>, StreamError> {
        self.check()?;
        self.reclaims.fetch_add(1, Ordering::SeqCst);
        Ok(self.hand_out(max, |entry| match entry.whereabouts {
            Whereabouts::Held(since) => since.elapsed() >= min_idle,
            _ => false,
        }))
    }

    async fn ack(&self, ids: &[DeliveryId]) -> Result<(), StreamError> {
        if self.is_ack_stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.check()?;
        let clicks = ids.iter().filter_map(|id| self.settle(id)).collect();
        self.events.lock().push(Event::Acknowledged(clicks));
        Ok(())
    }

    async fn dead_letter(&self, letters: &[NewDeadLetter]) -> Result<(), StreamError> {
        self.check()?;
        for letter in letters {
            self.settle(&letter.delivery.id);
            self.dead.lock().push(letter.clone());
        }
        Ok(())
    }

    async fn trim(&self, window: Duration, now: Timestamp) -> Result<u64, StreamError> {
        self.trims.lock().push((window, now));
        Ok(3)
    }

    async fn stats(&self, _now: Timestamp) -> Result<StreamStats, StreamError> {
        unimplemented!("workers do not measure the stream")
    }

    async fn unsettled(&self, _: u64) -> Result<Unsettled, StreamError> {
        unimplemented!("workers do not measure the stream")
    }

    async fn replay(&self, _: Timestamp) -> Result<BoundedCount, StreamError> {
        unimplemented!("workers do not replay the stream")
    }

    async fn purge(
        &self,
        selector: &ClickSelector,
        _after: Option<&str>,
    ) -> Result<Page<ClickId, String>, StreamError> {
        self.check()?;
        let mut items = Vec::new();
        for entry in self.entries.lock().iter_mut().filter(|entry| selector.matches(&entry.fields)) {
            items.extend(entry.click);
            entry.whereabouts = Whereabouts::Settled;
        }
        Ok(Page { items, next: None })
    }

    async fn leave(&self) -> Result<(), StreamError> {
        self.leaves.fetch_add(1, Ordering::SeqCst);
        self.check()
    }
}

/// A table of clicks in memory.
#[derive(Default)]
pub(crate) struct FakeClicks {
    pub(crate) rows: Mutex<BTreeMap<ClickId, ClickRow>>,
    pub(crate) duplicates: AtomicUsize,
    pub(crate) is_down: AtomicBool,
    /// While set, writes take time.
    pub(crate) is_stuck: AtomicBool,
    /// So many writes never return.
    pub(crate) hangs: AtomicUsize,
    /// Every so many calls one fails as unavailable; zero for none.
    pub(crate) flakiness: AtomicUsize,
    pub(crate) calls: AtomicUsize,
    /// Rows that are refused.
    pub(crate) refused: Mutex<BTreeMap<ClickId, DeadReason>>,
    /// Rows over which a worker dies: writing them never returns, and `died` counts.
    pub(crate) deadly: Mutex<BTreeSet<ClickId>>,
    pub(crate) died: AtomicUsize,
    pub(crate) writing_now: AtomicUsize,
    pub(crate) writing_max: AtomicUsize,
    pub(crate) partitions: Mutex<Vec<(Timestamp, Timestamp)>>,
    pub(crate) salts: Mutex<BTreeMap<i64, [u8; 16]>>,
    pub(crate) salts_deleted_before: Mutex<Option<Timestamp>>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl FakeClicks {
    pub(crate) fn ids(&self) -> BTreeSet<ClickId> {
        self.rows.lock().keys().copied().collect()
    }

    fn is_unavailable(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let flakiness = self.flakiness.load(Ordering::SeqCst);
        self.is_down.load(Ordering::SeqCst) || call.is_multiple_of(flakiness)
    }

    async fn write_rows(&self, rows: &[ClickRow]) -> Result<WriteOutcome, WriteError> {
        // Somewhere to be when others want to run.
        tokio::task::yield_now().await;
        while self.is_stuck.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let hangs = |left: usize| left.checked_sub(1);
        if self.hangs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, hangs).is_ok() {
            std::future::pending::<()>().await;
        }
        if rows.iter().any(|row| self.deadly.lock().contains(&row.id)) {
            self.died.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        if self.is_unavailable() {
            return Err(WriteError::Unavailable("database is down".into()));
        }
        let refused = rows.iter().find_map(|row| self.refused.lock().get(&row.id).copied());
        if let Some(reason) = refused {
            return Err(WriteError::Rejected { reason, source: "row is refused".into() });
        }
        let mut outcome = WriteOutcome::default();
        let mut stored = self.rows.lock();
        for row in rows {
            if stored.insert(row.id, row.clone()).is_none() {
                outcome.inserted += 1;
            } else {
                outcome.duplicates += 1;
            }
        }
        self.duplicates.fetch_add(usize::try_from(outcome.duplicates).expect("few"), Ordering::SeqCst);
        self.events.lock().push(Event::Written(rows.iter().map(|row| row.id).collect()));
        Ok(outcome)
    }
}

#[async_trait]
impl ClickStore for FakeClicks {
    async fn write(&self, rows: &[ClickRow]) -> Result<WriteOutcome, WriteError> {
        let now = self.writing_now.fetch_add(1, Ordering::SeqCst) + 1;
        self.writing_max.fetch_max(now, Ordering::SeqCst);
        let written = self.write_rows(rows).await;
        self.writing_now.fetch_sub(1, Ordering::SeqCst);
        written
    }

    async fn ensure_partitions(&self, from: Timestamp, to: Timestamp) -> Result<(), StoreError> {
        if self.is_unavailable() {
            return Err(StoreError::Unavailable("database is down".into()));
        }
        self.partitions.lock().push((from, to));
        Ok(())
    }

    async fn visitor_salt(
        &self,
        day: Timestamp,
        candidate: [u8; 16],
        oldest: Timestamp,
    ) -> Result<Option<[u8; 16]>, StoreError> {
        if self.is_unavailable() {
            return Err(StoreError::Unavailable("database is down".into()));
        }
        let number = |at: Timestamp| at.as_micros().div_euclid(86_400_000_000);
        if number(day) < number(oldest) {
            return Ok(None);
        }
        Ok(Some(*self.salts.lock().entry(number(day)).or_insert(candidate)))
    }

    async fn delete_salts(&self, oldest: Timestamp) -> Result<u64, StoreError> {
        *self.salts_deleted_before.lock() = Some(oldest);
        Ok(0)
    }
}

/// Rollups, of which a worker only recounts days that are due.
#[derive(Default)]
pub(crate) struct FakeRollups {
    pub(crate) due: Mutex<Vec<(WorkspaceId, Day)>>,
    /// Spans of which weeks were to be put together.
    pub(crate) rolled_up: Mutex<Vec<(Timestamp, Timestamp)>>,
    /// Spans whose busy days were to be counted.
    pub(crate) parts: Mutex<Vec<(Timestamp, Timestamp)>>,
}

#[async_trait]
impl RollupStore for FakeRollups {
    async fn counts(
        &self,
        _range: &RollupRange,
        _hourly: &[Timestamp],
    ) -> Result<Vec<RollupCounts>, StoreError> {
        unimplemented!("workers answer no questions")
    }

    async fn values(
        &self,
        _range: &RollupRange,
        _dimension: Dimension,
    ) -> Result<Vec<RollupValues>, StoreError> {
        unimplemented!("workers answer no questions")
    }

    async fn visits(&self, _scope: &ClickScope) -> Result<Vec<Visit>, StoreError> {
        unimplemented!("workers answer no questions")
    }

    async fn recount(
        &self,
        workspace_id: WorkspaceId,
        day: Day,
        is_repair: bool,
    ) -> Result<RollupCheck, StoreError> {
        assert!(is_repair, "what is due is known to be wrong");
        self.due.lock().retain(|due| *due != (workspace_id, day));
        Ok(RollupCheck::default())
    }

    async fn days(
        &self,
        _workspace_id: Option<WorkspaceId>,
        _first: Day,
        _last: Day,
    ) -> Result<Vec<(WorkspaceId, Day)>, StoreError> {
        unimplemented!("workers recount what is due")
    }

    async fn roll_up_weeks(&self, from: Timestamp, to: Timestamp, _max: u16) -> Result<u64, StoreError> {
        self.rolled_up.lock().push((from, to));
        Ok(0)
    }

    async fn roll_up_parts(&self, from: Timestamp, to: Timestamp) -> Result<u64, StoreError> {
        self.parts.lock().push((from, to));
        Ok(0)
    }

    async fn due(&self, max: u16) -> Result<Vec<(WorkspaceId, Day)>, StoreError> {
        Ok(self.due.lock().iter().take(usize::from(max)).copied().collect())
    }
}

/// Purges in memory.
#[derive(Default)]
pub(crate) struct FakePurges {
    pub(crate) purges: Mutex<Vec<Purge>>,
    /// Clicks that were noted as removed.
    pub(crate) noted: Mutex<BTreeSet<ClickId>>,
    /// Spans of time of which rows were removed.
    pub(crate) spans: Mutex<Vec<(Timestamp, Timestamp)>>,
    pub(crate) is_down: AtomicBool,
}

impl FakePurges {
    /// Asks for a purge of a link's clicks before an instant.
    pub(crate) fn ask(&self, selector: ClickSelector, now: Timestamp) -> PurgeId {
        let id = PurgeId::from_parts(now, [self.purges.lock().len().to_le_bytes()[0]; 10]);
        self.purges.lock().push(Purge {
            id,
            selector,
            created_at: now,
            forget_at: now.plus(REMEMBERED),
            state: PurgeState::Waiting,
            done_at: None,
            clicks: 0,
        });
        id
    }

    pub(crate) fn state(&self, id: PurgeId) -> Option<PurgeState> {
        self.purges.lock().iter().find(|purge| purge.id == id).map(|purge| purge.state)
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("database is down".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl PurgeStore for FakePurges {
    async fn insert(&self, _new: &NewPurge, _context: &ChangeContext) -> Result<Purge, StoreError> {
        unimplemented!("workers ask for nothing")
    }

    async fn find(&self, _id: PurgeId) -> Result<Option<Purge>, StoreError> {
        unimplemented!("workers want them all")
    }

    async fn list(&self, max: u32) -> Result<Vec<Purge>, StoreError> {
        self.check()?;
        Ok(self.purges.lock().iter().take(usize::try_from(max).expect("small")).copied().collect())
    }

    async fn remove_rows(
        &self,
        _purge: &Purge,
        from: Timestamp,
        to: Timestamp,
        _max: u32,
    ) -> Result<u64, StoreError> {
        self.check()?;
        self.spans.lock().push((from, to));
        Ok(0)
    }

    async fn remove_clicks(&self, _purge: &Purge, clicks: &[ClickId]) -> Result<u64, StoreError> {
        self.check()?;
        let mut noted = self.noted.lock();
        Ok(clicks.iter().filter(|id| noted.insert(**id)).count() as u64)
    }

    async fn advance(&self, purge: &Purge, at: Timestamp) -> Result<(), StoreError> {
        for known in self.purges.lock().iter_mut().filter(|known| known.id == purge.id) {
            known.state = purge.state.next();
            known.done_at = Some(at);
        }
        Ok(())
    }

    async fn forget(&self, id: PurgeId) -> Result<(), StoreError> {
        self.purges.lock().retain(|purge| purge.id != id);
        Ok(())
    }
}

/// Dead letters in memory, of which a worker only removes some.
#[derive(Default)]
pub(crate) struct FakeLetters(pub(crate) Mutex<Vec<DeadLetter>>);

#[async_trait]
impl DeadLetterStore for FakeLetters {
    async fn list(
        &self,
        filter: &DeadLetterFilter,
        _after: Option<&str>,
        _max: u16,
    ) -> Result<Page<DeadLetter, String>, StreamError> {
        let items = self.0.lock().iter().filter(|letter| filter.matches(letter)).cloned().collect();
        Ok(Page { items, next: None })
    }

    async fn find(&self, _id: &str) -> Result<Option<DeadLetter>, StreamError> {
        unimplemented!("workers look for none in particular")
    }

    async fn replay(&self, _ids: &[String]) -> Result<u64, StreamError> {
        unimplemented!("workers replay nothing")
    }

    async fn purge(&self, ids: &[String]) -> Result<u64, StreamError> {
        self.0.lock().retain(|letter| !ids.contains(&letter.id));
        Ok(ids.len() as u64)
    }
}

/// The account of clicks, where a worker only notes what it removed.
#[derive(Default)]
pub(crate) struct FakeLedger {
    pub(crate) removed: Mutex<Vec<(Day, u64)>>,
}

#[async_trait]
impl LedgerStore for FakeLedger {
    async fn record(&self, _ledgers: &[EdgeLedger]) -> Result<(), StoreError> {
        unimplemented!("workers accept no clicks")
    }

    async fn figures(&self, _first: Day, _last: Day) -> Result<Vec<(Day, String, DayCounts)>, StoreError> {
        unimplemented!("workers do not audit")
    }

    async fn edges(&self) -> Result<Vec<KnownEdge>, StoreError> {
        unimplemented!("workers do not audit")
    }

    async fn tally(
        &self,
        _first: Day,
        _last: Day,
        _late: Timestamp,
    ) -> Result<Vec<(Day, DayTally)>, StoreError> {
        unimplemented!("workers do not audit")
    }

    async fn note_removed(&self, removed: &[(Day, u64)], why: Removal) -> Result<(), StoreError> {
        assert_eq!(why, Removal::LetterPurged);
        self.removed.lock().extend_from_slice(removed);
        Ok(())
    }
}

/// Clicks by age, of which a worker removes what is too old.
#[derive(Default)]
pub(crate) struct FakeRetention {
    /// What was called, in order.
    pub(crate) calls: Mutex<Vec<&'static str>>,
    /// Clicks that are too old.
    pub(crate) clicks: AtomicUsize,
    pub(crate) is_month_busy: AtomicBool,
    pub(crate) cuts: Mutex<Vec<Cut>>,
    pub(crate) rollups_before: Mutex<Option<Day>>,
}

#[async_trait]
impl RetentionStore for FakeRetention {
    async fn review(&self, _cut: &Cut) -> Result<RetentionReview, StoreError> {
        unimplemented!("workers remove and do not look")
    }

    async fn raise_horizons(&self, cut: &Cut) -> Result<(), StoreError> {
        self.calls.lock().push("raise_horizons");
        self.cuts.lock().push(*cut);
        Ok(())
    }

    async fn horizon(&self, _workspace_id: WorkspaceId) -> Result<Option<Day>, StoreError> {
        unimplemented!("workers remove and do not look")
    }

    async fn remove_months(&self, cut: &Cut, _detached: Detached) -> Result<Vec<RemovedMonth>, StoreError> {
        self.calls.lock().push("remove_months");
        if self.is_month_busy.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("somebody reads".into()));
        }
        Ok(cut.month().map(|first| RemovedMonth { first, clicks: 5 }).into_iter().collect())
    }

    async fn remove_clicks(&self, max: u32) -> Result<u64, StoreError> {
        self.calls.lock().push("remove_clicks");
        let max = usize::try_from(max).expect("small");
        let removed = self.clicks.load(Ordering::SeqCst).min(max);
        self.clicks.fetch_sub(removed, Ordering::SeqCst);
        Ok(removed as u64)
    }

    async fn remove_rollups(&self, first: Day, _max: u32) -> Result<u64, StoreError> {
        self.calls.lock().push("remove_rollups");
        Ok(u64::from(self.rollups_before.lock().replace(first).is_none()))
    }
}

/// Links, sessions and idempotency keys, of which a worker only removes old ones.
#[derive(Default)]
pub(crate) struct FakeAccounts {
    pub(crate) purge_deadlines: Mutex<Vec<Timestamp>>,
    /// Links still to be purged.
    pub(crate) purgeable: AtomicUsize,
    pub(crate) sessions_expired_at: Mutex<Vec<Timestamp>>,
    pub(crate) keys_expired_at: Mutex<Vec<Timestamp>>,
    /// Idempotency keys still to be purged.
    pub(crate) expired_keys: AtomicUsize,
}

#[async_trait]
impl LinkStore for FakeAccounts {
    async fn insert(&self, _new: NewLink, _context: &ChangeContext) -> Result<Link, StoreError> {
        unimplemented!("workers make no links")
    }

    async fn find(&self, _workspace: WorkspaceId, _id: LinkId) -> Result<Option<Link>, StoreError> {
        unimplemented!("workers read no links")
    }

    async fn list(&self, _filter: &LinkFilter) -> Result<Page<Link, LinkCursor>, StoreError> {
        unimplemented!("workers read no links")
    }

    async fn is_code_taken(&self, _domain: DomainId, _short_code: &ShortCode) -> Result<bool, StoreError> {
        unimplemented!("workers ask for no codes")
    }

    async fn count_by_code_length(&self) -> Result<Vec<(u16, u64)>, StoreError> {
        unimplemented!("workers ask for no codes")
    }

    async fn update(
        &self,
        _workspace: WorkspaceId,
        _id: LinkId,
        _expected: Option<i32>,
        _patch: &LinkPatch,
        _context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        unimplemented!("workers change no links")
    }

    async fn delete(
        &self,
        _workspace: WorkspaceId,
        _id: LinkId,
        _expected: Option<i32>,
        _context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        unimplemented!("workers delete no links")
    }

    async fn restore(
        &self,
        _workspace: WorkspaceId,
        _id: LinkId,
        _context: &ChangeContext,
    ) -> Result<LinkUpdate, StoreError> {
        unimplemented!("workers restore no links")
    }

    async fn deleted_before(&self, _deadline: Timestamp, max: u16) -> Result<Vec<LinkId>, StoreError> {
        let left = self.purgeable.load(Ordering::SeqCst).min(usize::from(max));
        Ok((0..left).map(|number| LinkId::from_uuid(uuid::Uuid::from_u128(number as u128))).collect())
    }

    async fn purge_deleted(&self, deadline: Timestamp, max: u16) -> Result<u64, StoreError> {
        self.purge_deadlines.lock().push(deadline);
        let left = self.purgeable.load(Ordering::SeqCst);
        let purged = left.min(usize::from(max));
        self.purgeable.store(left - purged, Ordering::SeqCst);
        Ok(purged as u64)
    }
}

#[async_trait]
impl SessionStore for FakeAccounts {
    async fn insert(&self, _new: NewSession) -> Result<(), StoreError> {
        unimplemented!("workers make no sessions")
    }

    async fn find_by_hash(&self, _hash: &[u8; 32]) -> Result<Option<(Session, User)>, StoreError> {
        unimplemented!("workers read no sessions")
    }

    async fn list(&self, _user: UserId, _now: Timestamp) -> Result<Vec<Session>, StoreError> {
        unimplemented!("workers read no sessions")
    }

    async fn touch(&self, _id: SessionId, _at: Timestamp, _expires_at: Timestamp) -> Result<(), StoreError> {
        unimplemented!("workers use no sessions")
    }

    async fn delete(&self, _user: UserId, _id: SessionId) -> Result<bool, StoreError> {
        unimplemented!("workers end no sessions")
    }

    async fn delete_expired(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.sessions_expired_at.lock().push(now);
        Ok(1)
    }
}

#[async_trait]
impl IdempotencyStore for FakeAccounts {
    async fn claim(&self, _claim: &Claim, _keys_max: u32) -> Result<ClaimOutcome, StoreError> {
        unimplemented!("workers claim no keys")
    }

    async fn complete(&self, _claim: &Claim, _answer: &KeptAnswer) -> Result<bool, StoreError> {
        unimplemented!("workers claim no keys")
    }

    async fn release(&self, _claim: &Claim) -> Result<bool, StoreError> {
        unimplemented!("workers claim no keys")
    }

    async fn purge(&self, now: Timestamp, max: u16) -> Result<u64, StoreError> {
        self.keys_expired_at.lock().push(now);
        let left = self.expired_keys.load(Ordering::SeqCst);
        let purged = left.min(usize::from(max));
        self.expired_keys.store(left - purged, Ordering::SeqCst);
        Ok(purged as u64)
    }
}

/// The real memory of recent visits, which may be away.
#[derive(Default)]
pub(crate) struct FakeVisits {
    memory: LocalVisits,
    pub(crate) is_down: AtomicBool,
    pub(crate) calls: AtomicUsize,
}

#[async_trait]
impl RecentVisits for FakeVisits {
    async fn claim(
        &self,
        visits: &[VisitClaim],
        window: Duration,
        now: Timestamp,
    ) -> Result<Vec<bool>, StreamError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.is_down.load(Ordering::SeqCst) {
            return Err(StreamError("memory of visits is down".into()));
        }
        self.memory.claim(visits, window, now).await
    }
}

/// Everything around workers; outlives each of them.
pub(crate) struct Scene {
    pub(crate) stream: Arc<FakeStream>,
    pub(crate) visits: Arc<FakeVisits>,
    pub(crate) clicks: Arc<FakeClicks>,
    pub(crate) rollups: Arc<FakeRollups>,
    pub(crate) retention: Arc<FakeRetention>,
    pub(crate) purges: Arc<FakePurges>,
    pub(crate) letters: Arc<FakeLetters>,
    pub(crate) ledger: Arc<FakeLedger>,
    pub(crate) accounts: Arc<FakeAccounts>,
    pub(crate) settings: WorkerSettings,
    events: Arc<Mutex<Vec<Event>>>,
    started: Instant,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let events = Arc::<Mutex<Vec<Event>>>::default();
        Self {
            stream: Arc::new(FakeStream { events: Arc::clone(&events), ..FakeStream::default() }),
            visits: Arc::default(),
            clicks: Arc::new(FakeClicks { events: Arc::clone(&events), ..FakeClicks::default() }),
            rollups: Arc::default(),
            retention: Arc::default(),
            purges: Arc::default(),
            letters: Arc::default(),
            ledger: Arc::default(),
            accounts: Arc::default(),
            settings: WorkerSettings {
                admin: None,
                enrich_threads: 2,
                // One visitor sends most of the clicks of these tests.
                repeat_window: Duration::ZERO,
                batch_max: NonZeroUsize::new(1000).expect("not zero"),
                ..WorkerSettings::default()
            },
            events,
            started: Instant::now(),
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    /// Makes a worker.
    pub(crate) async fn make(&self) -> Result<Worker, WorkerError> {
        let started = self.started;
        let deps = WorkerDeps {
            certificates: None,
            stream: Arc::clone(&self.stream) as Arc<dyn ClickStream>,
            visits: Arc::clone(&self.visits) as Arc<dyn RecentVisits>,
            clicks: Arc::clone(&self.clicks) as Arc<dyn ClickStore>,
            rollups: Arc::clone(&self.rollups) as Arc<dyn RollupStore>,
            dead_letters: Arc::clone(&self.letters) as Arc<dyn DeadLetterStore>,
            ledger: Arc::clone(&self.ledger) as Arc<dyn LedgerStore>,
            purges: Arc::clone(&self.purges) as Arc<dyn PurgeStore>,
            retention: Arc::clone(&self.retention) as Arc<dyn RetentionStore>,
            links: Arc::clone(&self.accounts) as Arc<dyn LinkStore>,
            sessions: Arc::clone(&self.accounts) as Arc<dyn SessionStore>,
            idempotency: Arc::clone(&self.accounts) as Arc<dyn IdempotencyStore>,
            clock: Arc::new(move || epoch().plus(started.elapsed())),
            rng: Arc::new(Mutex::new(StdRng::seed_from_u64(7))),
        };
        Worker::new(self.settings.clone(), deps).await
    }

    /// Starts a worker.
    pub(crate) async fn start(&self) -> Running {
        let worker = self.make().await.expect("a worker");
        let (stop, shutdown) = watch::channel(false);
        let (handle, admin) = (worker.handle(), worker.admin_address());
        Running { handle, admin, stop, task: tokio::spawn(worker.run(shutdown)) }
    }

    /// Waits until everything in the stream is settled.
    pub(crate) async fn until_settled(&self) {
        until("everything is settled", || self.stream.count_unsettled() == 0).await;
    }
}

/// A worker at work.
pub(crate) struct Running {
    pub(crate) handle: WorkerHandle,
    pub(crate) admin: Option<std::net::SocketAddr>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Asks the worker to stop and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(PATIENCE, self.task).await.expect("it stops").expect("it does not panic");
    }

    /// Asks the worker to stop.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Ends the worker at whatever it is waiting for, as a crash would.
    pub(crate) async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

/// Waits until `is_so`.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "waited in vain: {what}");
}

/// Makes the click number `n`, accepted at [`epoch`].
pub(crate) fn click(n: u32) -> Click {
    click_at(n, epoch())
}

/// Makes the click number `n`.
pub(crate) fn click_at(n: u32, at: Timestamp) -> Click {
    let mut random = [0; 10];
    random[6..].copy_from_slice(&n.to_be_bytes());
    Click {
        id: ClickId::from_parts(at, random),
        link_id: LinkId::from_uuid(uuid::Uuid::from_u128(1)),
        workspace_id: WorkspaceId::from_uuid(uuid::Uuid::from_u128(2)),
        domain: "go.example".into(),
        ip: Some([192, 0, 2, 7].into()),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0".into(),
        referer: "https://www.example.com/page".into(),
        language: "de-CH,de;q=0.9".into(),
        query: "".into(),
        method: ClickMethod::Get,
        is_prefetch: false,
        is_private: false,
    }
}

/// Puts a click aside.
pub(crate) fn letter(id: &str, click: &Click) -> DeadLetter {
    let text = |(name, value): (Cow<'static, str>, Vec<u8>)| {
        (name.into_owned(), String::from_utf8(value).expect("text"))
    };
    DeadLetter {
        id: id.to_owned(),
        stream_id: "1-0".to_owned(),
        reason: DeadReason::Rejected,
        error: "refused".to_owned(),
        attempts: 1,
        dead_at: epoch(),
        fields: click.to_fields().into_iter().map(text).collect(),
    }
}

/// Makes clicks with the numbers from 0.
pub(crate) fn clicks(count: u32) -> Vec<Click> {
    (0..count).map(click).collect()
}

pub(crate) fn ids(clicks: &[Click]) -> BTreeSet<ClickId> {
    clicks.iter().map(|click| click.id).collect()
}
