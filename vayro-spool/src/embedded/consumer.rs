//! The one consumer: what it was handed, what it settled.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use vayro_core::ids::ClickId;
use vayro_core::purge::{ClickSelector, click_id};
use vayro_core::stream::{Delivery, DeliveryId, Unsettled};
use vayro_core::timestamp::Timestamp;

use super::progress::{self, Progress, Run};
use crate::fs::Durability;
use crate::log::{Position, ReadLimit, SegmentLog};
use crate::payload;
use crate::record::Record;

/// Most entries held at one time; nothing new is handed out beyond. If no two of them follow each other, the
/// progress file has 4 MB.
const HELD_MAX: usize = 200_000;
/// Settling more than one of so many held entries goes through all of them once instead of searching each.
const ACK_EACH: usize = 16;
/// Most bytes handed out at once.
const BATCH_BYTES_MAX: usize = 64 << 20;
/// Entries read at a time while they are counted.
const UNSETTLED_PAGE: usize = 500;
/// Pages that one call of a purge reads before other work of the log's thread gets its turn.
const PURGE_PAGES_MAX: usize = 10;
/// Longest progress file that is read.
const PROGRESS_LEN_MAX: usize = 16 << 20;

/// An entry that was handed out and is not settled.
#[derive(Clone, Copy, Debug)]
struct Held {
    attempts: u32,
    /// When it was handed out last; `None` if that was before a restart.
    since: Option<Instant>,
    /// Where it lies; just the sequence after a restart.
    position: Position,
}

/// State of the consumer; lives on the log's thread.
pub(super) struct Consumer {
    next: Position,
    held: BTreeMap<u64, Held>,
    settled: u64,
    last_asked: Option<Instant>,
}

/// What the consumer says about itself.
pub(super) struct ConsumerState {
    pub(super) handed_out: u64,
    pub(super) settled: u64,
    pub(super) held: u64,
    /// Since when the longest-held entry is out; `None` if none is, or if that was before a restart.
    pub(super) oldest_held: Option<Duration>,
    /// How long ago it asked for work; `None` if it left or never came.
    pub(super) idle: Option<Duration>,
}

impl Consumer {
    /// Takes up the work where the last process left it.
    pub(super) fn open(log: &mut SegmentLog) -> io::Result<Self> {
        let (fs, dir) = log.side_files();
        let saved = match fs.read_at(&dir.join(progress::NAME), 0, PROGRESS_LEN_MAX) {
            Ok(bytes) => Progress::decode(&bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Some(Progress::default()),
            Err(error) => return Err(error),
        };
        let saved = saved.unwrap_or_else(|| {
            tracing::warn!("the click stream's progress is damaged; some clicks may be delivered again");
            Progress::default()
        });
        // Sequences that were handed out must not come again for other clicks.
        log.reserve(saved.handed_out);
        let cursor = log.cursor();
        let held: BTreeMap<u64, Held> = saved
            .held
            .iter()
            .flat_map(entries)
            .filter(|(seq, _)| *seq >= cursor)
            .take(HELD_MAX)
            .map(|(seq, attempts)| (seq, Held { attempts, since: None, position: Position::at(seq) }))
            .collect();
        let consumer = Self {
            next: Position::at(saved.handed_out.max(cursor)),
            held,
            settled: saved.settled.max(cursor),
            last_asked: None,
        };
        log.settle(consumer.settled_prefix());
        Ok(consumer)
    }

    /// Hands out at most `max` new entries.
    pub(super) fn next_batch(
        &mut self,
        log: &mut SegmentLog,
        max: usize,
        now: Instant,
    ) -> io::Result<Vec<Delivery>> {
        self.last_asked = Some(now);
        let records = max.min(HELD_MAX.saturating_sub(self.held.len()));
        let mut next = self.next;
        let batch = log.read(&mut next, ReadLimit { records, bytes: BATCH_BYTES_MAX })?;
        if next.seq == self.next.seq {
            return Ok(Vec::new());
        }
        // Attempts are counted before the entry is out: the entry may end the process.
        let before = std::mem::replace(&mut self.next, next);
        for record in &batch {
            let held = Held { attempts: 1, since: Some(now), position: Position::at(record.seq) };
            self.held.insert(record.seq, held);
        }
        if let Err(error) = self.save(log) {
            self.next = before;
            self.held.retain(|seq, _| *seq < before.seq);
            return Err(error);
        }
        log.settle(self.settled_prefix());
        Ok(batch.iter().map(|record| delivery(record, 1)).collect())
    }

    /// Hands out again at most `max` entries that are out since `min_idle` or longer.
    pub(super) fn reclaim(
        &mut self,
        log: &mut SegmentLog,
        max: usize,
        min_idle: Duration,
        now: Instant,
    ) -> io::Result<Vec<Delivery>> {
        self.last_asked = Some(now);
        let is_idle = |held: &Held| held.since.is_none_or(|since| now.duration_since(since) >= min_idle);
        let chosen: Vec<u64> =
            self.held.iter().filter(|(_, held)| is_idle(held)).map(|(seq, _)| *seq).take(max).collect();
        let mut batch = Vec::with_capacity(chosen.len());
        let mut position = Position::default();
        for seq in chosen {
            let Some(held) = self.held.get(&seq).copied() else { continue };
            // Entries that follow each other are read in one go through the segment.
            if position.seq != seq {
                position = held.position;
            }
            let found = log.read(&mut position, ReadLimit { records: 1, bytes: 1 })?.pop();
            match found.filter(|record| record.seq == seq) {
                Some(record) => batch.push((record, held.attempts.saturating_add(1))),
                None => {
                    // Its bytes rotted while it was out; the log has counted it as lost.
                    self.held.remove(&seq);
                }
            }
        }
        for (record, attempts) in &batch {
            if let Some(held) = self.held.get_mut(&record.seq) {
                held.attempts = *attempts;
                held.since = Some(now);
            }
        }
        if !batch.is_empty() {
            self.save(log)?;
        }
        log.settle(self.settled_prefix());
        Ok(batch.iter().map(|(record, attempts)| delivery(record, *attempts)).collect())
    }

    /// Settles entries; unknown ones are ignored.
    pub(super) fn ack<'a>(
        &mut self,
        log: &mut SegmentLog,
        ids: impl IntoIterator<Item = &'a DeliveryId>,
    ) -> io::Result<()> {
        let before = self.held.len();
        let mut seqs: Vec<u64> = ids.into_iter().filter_map(|id| id.0.parse().ok()).collect();
        if seqs.len() > before / ACK_EACH {
            seqs.sort_unstable();
            let mut seqs = seqs.into_iter().peekable();
            self.held.retain(|held, _| {
                while seqs.next_if(|seq| seq < held).is_some() {}
                seqs.peek() != Some(held)
            });
        } else {
            for seq in seqs {
                self.held.remove(&seq);
            }
        }
        let count = before - self.held.len();
        if count == 0 {
            return Ok(());
        }
        self.settled += count as u64;
        log.settle(self.settled_prefix());
        // Settled already in memory and soon by the cursor; failing to note it costs duplicates only.
        self.save(log)
    }

    /// Makes the entries from `seq` on ones that were never handed out and returns how many had been.
    pub(super) fn rewind(&mut self, log: &mut SegmentLog, seq: u64) -> io::Result<u64> {
        let seq = seq.max(log.next_seq().saturating_sub(log.len()));
        if seq >= self.next.seq {
            return Ok(0);
        }
        // With the cursor first: after a crash in between, the place that was reached is still known.
        log.unsettle(seq)?;
        let count = self.next.seq - seq;
        self.next = Position::at(seq);
        self.held.retain(|held, _| *held < seq);
        self.save(log)?;
        Ok(count)
    }

    /// Tells whether an entry is out.
    pub(super) fn holds(&self, id: &DeliveryId) -> bool {
        id.0.parse::<u64>().is_ok_and(|seq| self.held.contains_key(&seq))
    }

    /// Forgets that the consumer ever asked, if it holds nothing.
    pub(super) fn leave(&mut self) {
        if self.held.is_empty() {
            self.last_asked = None;
        }
    }

    pub(super) fn state(&self, now: Instant) -> ConsumerState {
        ConsumerState {
            handed_out: self.next.seq,
            settled: self.settled,
            held: self.held.len() as u64,
            oldest_held: self
                .held
                .values()
                .filter_map(|held| held.since)
                .min()
                .map(|since| now.duration_since(since)),
            idle: self.last_asked.map(|at| now.duration_since(at)),
        }
    }

    /// Counts entries that are out or were never handed out.
    pub(super) fn unsettled(&self, log: &mut SegmentLog, max: u64) -> io::Result<Unsettled> {
        let mut unsettled = Unsettled::default();
        let mut position = Position::at(self.settled_prefix());
        loop {
            let before = position.seq;
            let records = UNSETTLED_PAGE.min(usize::try_from(max).unwrap_or(usize::MAX)).max(1);
            let limit = ReadLimit { records, bytes: BATCH_BYTES_MAX };
            for record in log.read(&mut position, limit)? {
                if record.seq >= self.next.seq || self.held.contains_key(&record.seq) {
                    unsettled.count(&payload::to_fields(&record.payload));
                }
            }
            if position.seq == before {
                return Ok(unsettled);
            }
            if unsettled.total() >= max {
                unsettled.is_capped = log.next_seq() > position.seq;
                return Ok(unsettled);
            }
        }
    }

    /// Returns the clicks of entries that `selector` names from the one numbered `from` on, whatever became of
    /// them, and where to go on. At the end of the log, settled entries are removed.
    pub(super) fn purge(
        &self,
        log: &mut SegmentLog,
        selector: &ClickSelector,
        from: u64,
    ) -> io::Result<(Vec<ClickId>, Option<u64>)> {
        let mut clicks = Vec::new();
        let mut position = Position::at(from.max(log.first_seq()));
        for _ in 0..PURGE_PAGES_MAX {
            let before = position.seq;
            let limit = ReadLimit { records: UNSETTLED_PAGE, bytes: BATCH_BYTES_MAX };
            for record in log.read(&mut position, limit)? {
                let fields = payload::to_fields(&record.payload);
                if selector.matches(&fields) {
                    clicks.extend(click_id(&fields));
                }
            }
            if position.seq == before {
                log.settle(self.settled_prefix());
                log.forget_settled()?;
                return Ok((clicks, None));
            }
        }
        Ok((clicks, Some(position.seq)))
    }

    /// Returns when the oldest entry that was never handed out was appended.
    pub(super) fn oldest_waiting(&self, log: &mut SegmentLog) -> io::Result<Option<Timestamp>> {
        Ok(log.read_one(self.next)?.map(|record| record.at))
    }

    /// Everything below is settled.
    fn settled_prefix(&self) -> u64 {
        self.held.first_key_value().map_or(self.next.seq, |(seq, _)| *seq)
    }

    fn save(&self, log: &mut SegmentLog) -> io::Result<()> {
        let progress = Progress {
            handed_out: self.next.seq,
            settled: self.settled,
            held: progress::runs(self.held.iter().map(|(seq, held)| (*seq, held.attempts))),
        };
        log.replace_side_file(progress::NAME, &progress.encode(), Durability::Process)
    }
}

/// Returns the entries of a run with their attempts.
fn entries(run: &Run) -> impl Iterator<Item = (u64, u32)> {
    let attempts = run.attempts;
    (run.first..run.first.saturating_add(run.len)).map(move |seq| (seq, attempts))
}

fn delivery(record: &Record, attempts: u32) -> Delivery {
    Delivery { id: DeliveryId(record.seq.to_string()), attempts, fields: payload::to_fields(&record.payload) }
}
