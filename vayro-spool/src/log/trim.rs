//! Giving disk back, and knowing how much is in use.

use std::io;

use vayro_core::failpoint;
use vayro_core::timestamp::Timestamp;

use super::read::{Position, ReadLimit};
use super::{AppendError, SegmentLog};

/// Records read at once when looking for the time of a segment's last one.
const SCAN: ReadLimit = ReadLimit { records: 4096, bytes: 1 << 20 };

impl SegmentLog {
    /// Removes the segments whose records are all settled, and if `before` is given also appended before
    /// it. Returns how many records they held.
    ///
    /// # Errors
    ///
    /// When the cursor cannot be put on the disk first; then nothing is removed.
    pub(crate) fn trim(&mut self, before: Option<Timestamp>) -> io::Result<u64> {
        if !self.is_front_settled(self.cursor) {
            return Ok(0);
        }
        // First the cursor, then the file: the other way round a crash leaves a cursor that points to
        // records which are gone.
        self.save_cursor()?;
        failpoint::hit(failpoint::MID_TRIM);
        let mut removed = 0;
        while self.is_front_settled(self.durable_cursor) {
            if let Some(before) = before
                && self.front_last_at()?.is_some_and(|at| at >= before)
            {
                break;
            }
            let end_seq = self.end_seq(0);
            if self.segments.len() == 1 {
                self.seal();
            }
            let Some(segment) = self.segments.pop_front() else { break };
            removed += end_seq - segment.first_seq;
            self.remove_quietly(&segment);
        }
        if removed > 0 {
            self.hold_reserve();
        }
        Ok(removed)
    }

    /// Removes settled segments, whatever their age, until `len` more bytes fit.
    pub(super) fn make_room(&mut self, len: u64) -> Result<(), AppendError> {
        let is_enough = |log: &Self| log.disk_bytes() + len <= log.sizes.bytes_max;
        if !is_enough(self) {
            self.trim(None).map_err(AppendError::Disk)?;
        }
        if is_enough(self) { Ok(()) } else { Err(AppendError::Full(self.sizes.bytes_max)) }
    }

    /// Returns how many records the segments hold, settled ones included.
    pub(crate) fn len(&self) -> u64 {
        self.segments.front().map_or(0, |front| self.next_seq - front.first_seq)
    }

    /// Returns the bytes of all segments.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Returns about how many bytes the records that are not settled take. Exact at segment borders,
    /// in between by their share of the records; zero only when everything is settled.
    pub(crate) fn backlog_bytes(&self) -> u64 {
        let share = |index: usize| {
            let segment = &self.segments[index];
            let end_seq = self.end_seq(index);
            let all = end_seq.saturating_sub(segment.first_seq).max(1);
            let open = end_seq.saturating_sub(self.cursor.max(segment.first_seq));
            let bytes = u128::from(segment.len) * u128::from(open) / u128::from(all);
            u64::try_from(bytes).unwrap_or(u64::MAX)
        };
        (0..self.segments.len()).map(share).sum()
    }

    /// Returns when the oldest record that is not settled was appended.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub(crate) fn oldest(&mut self, hint: Option<Position>) -> io::Result<Option<Timestamp>> {
        let cursor = self.cursor;
        if cursor == self.next_seq {
            return Ok(None);
        }
        if let Some((seq, at)) = self.oldest
            && seq == cursor
        {
            return Ok(Some(at));
        }
        let position = hint.filter(|hint| hint.seq == cursor).unwrap_or(Position::at(cursor));
        let record = self.read_one(position)?;
        self.oldest = record.map(|record| (cursor, record.at));
        Ok(self.oldest.map(|(_, at)| at))
    }

    /// Returns the same as far as it was looked up before, without reading.
    pub(crate) fn oldest_known(&self) -> Option<Timestamp> {
        self.oldest.filter(|(seq, _)| *seq == self.cursor && self.cursor < self.next_seq).map(|(_, at)| at)
    }

    /// Returns the sequence behind the last record of a segment.
    fn end_seq(&self, index: usize) -> u64 {
        self.segments.get(index + 1).map_or(self.next_seq, |next| next.first_seq)
    }

    fn is_front_settled(&self, cursor: u64) -> bool {
        self.segments.front().is_some_and(|front| front.memory.is_none() || self.segments.len() > 1)
            && self.end_seq(0) <= cursor
    }

    fn front_last_at(&mut self) -> io::Result<Option<Timestamp>> {
        let Some(front) = self.segments.front() else { return Ok(None) };
        if front.last_at.is_some() {
            return Ok(front.last_at);
        }
        let (mut position, end_seq) = (Position::at(front.first_seq), self.end_seq(0));
        let mut last_at = None;
        while position.seq < end_seq {
            let records = self.read(&mut position, SCAN)?;
            if records.is_empty() {
                break;
            }
            last_at = last_at.max(records.iter().filter(|r| r.seq < end_seq).map(|r| r.at).max());
        }
        if let Some(front) = self.segments.front_mut() {
            front.last_at = last_at;
        }
        Ok(last_at)
    }
}
