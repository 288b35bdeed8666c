//! The segment log itself, without threads.
//!
//! Records go to the end of the newest segment; a settled prefix is given back in whole segments. What
//! it promises, whatever the disk does:
//!
//! * A record that [`SegmentLog::sync`] confirmed is read back, in order, until it is settled, unless
//!   its own bytes rot; then it is skipped, counted and logged, and its neighbors are not.
//! * Nothing that was never appended is ever read back: every record has a checksum.
//! * A sequence is never used for two records that a reader could tell apart by it.
//! * A segment is removed only after the cursor that settles it is on the disk.
//! * A disk that is full still takes the cursor: some room is held back for it, so that settled segments
//!   can be given back and the log goes on by itself.
//! * A file whose sync failed is never synced again: what it held since the last good sync is kept in
//!   memory and written to a new segment.

mod cursor;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), expect(dead_code, reason = "fuzz targets need a part of it"))]
pub(crate) mod disk;
mod open;
mod read;
mod reserve;
mod segment;
#[cfg(test)]
mod tests;
mod trim;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use vayro_core::timestamp::Timestamp;

pub(crate) use self::open::OpenError;
pub(crate) use self::read::{Position, READ_PAUSE, ReadLimit};
use self::reserve::is_full;
use self::segment::{HEAD_LEN, Segment};
use crate::fs::{AppendFile, Durability, Fs};
use crate::record::{self, PAYLOAD_LEN_MAX, Record};

/// Most bytes that are written and not forced to the disk; they are also kept in memory, to be written
/// again if the disk fails.
const UNSYNCED_LEN_MAX: usize = 4 << 20;

/// Sizes of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSizes {
    /// Bytes after which a new segment begins.
    pub(crate) segment_bytes: u64,
    /// Most bytes on disk.
    pub(crate) bytes_max: u64,
    /// Bytes held back on the disk beside that, for the small files beside the segments.
    pub(crate) reserve_len: usize,
}

/// Why records were not taken; none of them was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error("the spool holds its limit of {0} bytes")]
    Full(u64),
    #[error("a record has {0} bytes, more than {PAYLOAD_LEN_MAX}")]
    TooLong(usize),
    #[error("the spool's disk failed")]
    Disk(#[source] io::Error),
}

/// What went wrong since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Records refused because the log was full.
    pub(crate) refused_full: u64,
    /// Records refused because the disk failed.
    pub(crate) refused_disk: u64,
    /// Records that were accepted and cannot be read any more.
    pub(crate) lost: u64,
    /// Up to here records were read or counted as lost.
    examined_seq: u64,
}

/// The file that records are appended to: the last of [`SegmentLog::segments`].
struct Writer {
    file: Box<dyn AppendFile>,
    /// Encoded records that the disk has not confirmed, oldest first.
    unsynced: Vec<u8>,
    /// Sequence of the first of them.
    unsynced_seq: u64,
    /// Length of the file up to which the disk has confirmed.
    synced_len: u64,
    /// Whether the disk has confirmed that the file exists.
    is_listed: bool,
}

/// What may help after a failed append.
#[derive(Clone, Copy)]
enum Remedy {
    OtherFile,
    Room,
}

/// An append-only log of records in one directory.
pub(crate) struct SegmentLog {
    fs: Box<dyn Fs>,
    dir: PathBuf,
    sizes: LogSizes,
    /// Oldest first. Only the last can be in memory or have a writer.
    segments: VecDeque<Segment>,
    writer: Option<Writer>,
    next_seq: u64,
    next_number: u64,
    /// Records below are settled.
    cursor: u64,
    /// What the disk says about `cursor`.
    durable_cursor: u64,
    counters: Counters,
    /// Whether room is held back for the cursor.
    has_reserve: bool,
    /// Where reading failed last, and how often.
    failed_read: Option<((u64, u64), u32)>,
    /// The oldest record that is not settled, with its time, as last looked up.
    oldest: Option<(u64, Timestamp)>,
}

impl SegmentLog {
    /// Returns the sequence that the next record will get.
    pub(crate) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Returns the sequence of the oldest record that is there, settled or not.
    pub(crate) fn first_seq(&self) -> u64 {
        self.segments.front().map_or(self.next_seq, |front| front.first_seq)
    }

    /// Returns the sequence below which everything is settled.
    pub(crate) const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Returns what went wrong since the log was opened.
    pub(crate) const fn counters(&self) -> Counters {
        self.counters
    }

    /// Makes sure that no record gets a sequence below `seq`, because somebody remembers one.
    pub(crate) fn reserve(&mut self, seq: u64) {
        if self.next_seq < seq {
            // The newest records are gone, and a segment must not hold two meanings of one sequence.
            self.seal();
            self.next_seq = seq;
        }
    }

    /// Appends all of `payloads` or, on an error, none. They survive a crash of the process at once and
    /// a loss of power after the next [`SegmentLog::sync`].
    ///
    /// # Errors
    ///
    /// [`AppendError`] when the log is full or the disk fails also in a new segment.
    pub(crate) fn append<P: AsRef<[u8]>>(
        &mut self,
        payloads: &[P],
        at: Timestamp,
    ) -> Result<(), AppendError> {
        let mut bytes = Vec::new();
        let mut seq = self.next_seq;
        for payload in payloads.iter().map(AsRef::as_ref) {
            if payload.len() > PAYLOAD_LEN_MAX {
                return Err(AppendError::TooLong(payload.len()));
            }
            record::encode(&mut bytes, seq, at, payload);
            seq += 1;
        }
        let result = self.append_encoded(&bytes, seq, at);
        let count = payloads.len() as u64;
        match &result {
            Err(AppendError::Full(_)) => self.counters.refused_full += count,
            Err(AppendError::Disk(_)) => self.counters.refused_disk += count,
            Ok(()) | Err(AppendError::TooLong(_)) => {}
        }
        result
    }

    fn append_encoded(&mut self, bytes: &[u8], end_seq: u64, at: Timestamp) -> Result<(), AppendError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.make_room(bytes.len() as u64)?;
        self.rescue().map_err(AppendError::Disk)?;
        if self.must_roll(bytes.len()) {
            // Its records must be on the disk before those of the next segment are, or else a loss of
            // power could leave a hole. A failure leaves them in memory, and `rescue` says so.
            self.sync().map_err(AppendError::Disk)?;
            self.seal();
        }
        let mut remedies = [Remedy::OtherFile, Remedy::Room].into_iter();
        while let Err(error) = self.try_append(bytes) {
            // What the file now ends with is unknown, so it gets nothing more.
            self.abandon_after_append();
            let is_hopeful = match remedies.next() {
                Some(Remedy::OtherFile) => true,
                // Settled segments are kept for a while, but not in place of new records.
                Some(Remedy::Room) => is_full(&error) && self.trim(None).is_ok_and(|removed| removed > 0),
                None => false,
            };
            if !is_hopeful {
                return Err(AppendError::Disk(error));
            }
            self.rescue().map_err(AppendError::Disk)?;
        }
        if self.cursor == self.next_seq {
            self.oldest = Some((self.cursor, at));
        }
        self.next_seq = end_seq;
        if let Some(segment) = self.segments.back_mut() {
            segment.first_at = segment.first_at.or(Some(at));
            segment.last_at = segment.last_at.max(Some(at));
        }
        let is_much = self.writer.as_ref().is_some_and(|writer| writer.unsynced.len() > UNSYNCED_LEN_MAX);
        if is_much && let Err(error) = self.sync() {
            // The records are accepted all the same: they are in memory and will be written again.
            tracing::error!(error = %error, "cannot force the spool to the disk");
        }
        Ok(())
    }

    /// Tells whether `len` more bytes go to a new segment.
    fn must_roll(&self, len: usize) -> bool {
        self.writer.is_some()
            && self.segments.back().is_some_and(|segment| {
                segment.len > HEAD_LEN && segment.len + len as u64 > self.sizes.segment_bytes
            })
    }

    /// Writes to the newest segment, beginning one if there is none.
    fn try_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.writer.is_none() {
            self.begin_segment(self.next_seq)?;
        }
        let (Some(writer), Some(segment)) = (&mut self.writer, self.segments.back_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        writer.file.append(bytes)?;
        if writer.unsynced.is_empty() {
            writer.unsynced_seq = self.next_seq;
        }
        writer.unsynced.extend_from_slice(bytes);
        segment.len += bytes.len() as u64;
        Ok(())
    }

    fn begin_segment(&mut self, first_seq: u64) -> io::Result<()> {
        let number = self.next_number;
        // A number is used once, also when making the file fails half-way.
        self.next_number += 1;
        let segment =
            Segment { number, first_seq, len: HEAD_LEN, first_at: None, last_at: None, memory: None };
        let path = self.dir.join(segment.name());
        let mut file = self.fs.create(&path)?;
        if let Err(error) = file.append(&segment::head()) {
            drop(file);
            self.remove_quietly(&segment);
            return Err(error);
        }
        self.segments.push_back(segment);
        self.writer = Some(Writer {
            file,
            unsynced: Vec::new(),
            unsynced_seq: first_seq,
            synced_len: HEAD_LEN,
            is_listed: false,
        });
        Ok(())
    }

    /// Tells whether there is something that [`SegmentLog::sync`] or [`SegmentLog::save_cursor`] would
    /// put on the disk.
    pub(crate) fn is_dirty(&self) -> bool {
        self.durable_cursor < self.cursor
            || self.writer.as_ref().is_some_and(|writer| !writer.unsynced.is_empty())
            || self.segments.back().is_some_and(|segment| segment.memory.is_some())
    }

    /// Forces every record appended so far to the disk.
    ///
    /// # Errors
    ///
    /// When the disk refuses, also in a new segment; the records stay in memory and are offered again by
    /// the next call or append.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.rescue()?;
        match self.try_sync() {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(error = %error, "cannot force a spool segment to the disk; trying a new one");
                self.abandon_after_sync();
                self.rescue()
            }
        }
    }

    fn try_sync(&mut self) -> io::Result<()> {
        let (Some(writer), Some(segment)) = (&mut self.writer, self.segments.back()) else { return Ok(()) };
        if writer.unsynced.is_empty() {
            return Ok(());
        }
        writer.file.sync()?;
        if !writer.is_listed {
            self.fs.sync_dir(&self.dir)?;
            writer.is_listed = true;
        }
        writer.unsynced.clear();
        writer.synced_len = segment.len;
        Ok(())
    }

    /// Gives up the newest segment after a failed append. Its earlier records were written well and are
    /// synced once; only if that fails they go to memory.
    fn abandon_after_append(&mut self) {
        if self.writer.is_none() {
            return;
        }
        if self.try_sync().is_err() {
            self.abandon_after_sync();
            return;
        }
        self.seal();
        self.cut_newest();
    }

    /// Gives up the newest segment after a failed sync: what the disk has not confirmed goes to memory.
    fn abandon_after_sync(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let Some(segment) = self.segments.back_mut() else { return };
        let last_at = segment.last_at;
        // A file that the directory may not even list holds nothing that counts.
        segment.len = if writer.is_listed { writer.synced_len } else { HEAD_LEN };
        self.cut_newest();
        if writer.unsynced.is_empty() {
            return;
        }
        let mut memory = segment::head();
        memory.extend_from_slice(&writer.unsynced);
        let number = self.next_number;
        self.next_number += 1;
        self.segments.push_back(Segment {
            number,
            first_seq: writer.unsynced_seq,
            len: memory.len() as u64,
            first_at: None,
            last_at,
            memory: Some(memory),
        });
    }

    /// Writes the segment that is in memory, if there is one, to the disk.
    fn rescue(&mut self) -> io::Result<()> {
        let Some(segment) = self.segments.back() else { return Ok(()) };
        let Some(memory) = &segment.memory else { return Ok(()) };
        let path = self.dir.join(segment.name());
        let write = || {
            let mut file = self.fs.create(&path)?;
            file.append(memory)?;
            file.sync()?;
            self.fs.sync_dir(&self.dir)
        };
        let result = write();
        if let Some(segment) = self.segments.back_mut() {
            if result.is_ok() {
                segment.memory = None;
            } else {
                // The next try takes another file: this one may hold anything.
                drop(self.fs.remove(&path));
                segment.number = self.next_number;
                self.next_number += 1;
            }
        }
        result
    }

    /// Ends the newest segment; the next record begins another one.
    fn seal(&mut self) {
        self.writer = None;
    }

    /// Cuts the newest segment to the length that counts, or removes it if nothing does. Best effort:
    /// readers do not go beyond that length, and after a restart not beyond the next segment's start.
    fn cut_newest(&mut self) {
        let Some(segment) = self.segments.back() else { return };
        if segment.len > HEAD_LEN {
            drop(self.fs.truncate(&self.dir.join(segment.name()), segment.len));
        } else if let Some(segment) = self.segments.pop_back() {
            self.remove_quietly(&segment);
        }
    }

    fn remove_quietly(&self, segment: &Segment) {
        if let Err(error) = self.fs.remove(&self.dir.join(segment.name()))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(spool.segment = %segment.name(), error = %error, "cannot remove a spool segment");
        }
    }

    /// Settles every record below `seq`; they are never read again after the cursor is on the disk.
    pub(crate) fn settle(&mut self, seq: u64) {
        self.cursor = self.cursor.max(seq.min(self.next_seq));
    }

    /// Takes back that the records from `seq` on are settled, as far as they are still there, and puts that
    /// on the disk.
    ///
    /// # Errors
    ///
    /// When the disk refuses; everything is as before then, except perhaps after a restart.
    pub(crate) fn unsettle(&mut self, seq: u64) -> io::Result<()> {
        let seq = seq.max(self.segments.front().map_or(self.next_seq, |front| front.first_seq));
        if seq < self.cursor {
            self.replace_side_file(cursor::NAME, &cursor::encode(seq), Durability::Power)?;
            (self.cursor, self.durable_cursor) = (seq, seq);
        }
        Ok(())
    }

    /// Puts the cursor on the disk.
    ///
    /// # Errors
    ///
    /// When the disk refuses; settled records may come back after a restart.
    pub(crate) fn save_cursor(&mut self) -> io::Result<()> {
        if self.durable_cursor < self.cursor {
            self.replace_side_file(cursor::NAME, &cursor::encode(self.cursor), Durability::Power)?;
            self.durable_cursor = self.cursor;
        }
        Ok(())
    }

    /// Reads the first record at or after `position`.
    ///
    /// # Errors
    ///
    /// As [`SegmentLog::read`].
    pub(crate) fn read_one(&mut self, mut position: Position) -> io::Result<Option<Record>> {
        let limit = ReadLimit { records: 1, bytes: 1 };
        Ok(self.read(&mut position, limit)?.pop())
    }

    /// Returns the file system and the directory, for files that live beside the segments.
    pub(crate) fn side_files(&self) -> (&dyn Fs, &std::path::Path) {
        (&*self.fs, &self.dir)
    }
}
