//! Reading records, past damage.

use std::io;
use std::time::Duration;

use super::segment::{HEAD_LEN, Segment};
use super::{Counters, SegmentLog};
use crate::record::{self, HEADER_LEN, PAYLOAD_LEN_MAX, Record};

/// Bytes read at once; more than the longest record, so that a whole one always fits.
const CHUNK_LEN: usize = 256 * 1024;
/// Reads that may fail at one place before the rest of that segment is given up.
const READ_TRIES_MAX: u32 = 8;
/// Pause that a reader makes after a failed read.
pub(crate) const READ_PAUSE: Duration = Duration::from_millis(250);

const _: () = assert!(CHUNK_LEN > HEADER_LEN + PAYLOAD_LEN_MAX);

/// Where to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// The record wanted, or the next one after it that is there.
    pub(crate) seq: u64,
    /// Segment number and offset where to look, if known; otherwise the segment is searched.
    place: Option<(u64, u64)>,
}

impl Position {
    /// The record `seq`, wherever it is.
    pub(crate) const fn at(seq: u64) -> Self {
        Self { seq, place: None }
    }
}

/// Most records and bytes of one read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLimit {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

impl SegmentLog {
    /// Reads records in order from `position` and moves it behind them. Damaged records are skipped.
    /// Empty at the end of the log.
    ///
    /// # Errors
    ///
    /// When the disk fails. Try again after [`READ_PAUSE`]: after some tries at the same place the
    /// rest of that segment counts as lost.
    pub(crate) fn read(&mut self, position: &mut Position, limit: ReadLimit) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while position.seq < self.next_seq && records.len() < limit.records && bytes < limit.bytes {
            let Some((index, offset)) = self.locate(*position) else { break };
            let segment = &self.segments[index];
            let number = segment.number;
            // From the first record of the next segment on, this one is stale.
            let end_seq = self.segments.get(index + 1).map_or(self.next_seq, |next| next.first_seq);
            if offset >= segment.len || position.seq >= end_seq {
                self.go_to_next_segment(index, position);
                continue;
            }
            let chunk = match self.read_chunk(segment, offset) {
                Ok(chunk) => chunk,
                Err(error) => {
                    self.note_failed_read(index, offset, position, &error)?;
                    continue;
                }
            };
            let is_last_chunk = offset + chunk.len() as u64 >= segment.len;
            let mut at = 0;
            while at < chunk.len() && records.len() < limit.records && bytes < limit.bytes {
                if let Some((record, len)) = record::decode(&chunk[at..]) {
                    at += len;
                    if record.seq >= end_seq {
                        at = chunk.len();
                    } else if record.seq >= position.seq {
                        self.counters.note_gap(position.seq, record.seq);
                        position.seq = record.seq + 1;
                        bytes += len;
                        records.push(record);
                    }
                } else if !is_last_chunk && record::is_maybe_cut_off(&chunk[at..]) && at > 0 {
                    // Read again from here, now with the whole record in the chunk.
                    break;
                } else {
                    at += record::next_candidate(&chunk[at..]);
                }
            }
            position.place = Some((number, offset + at as u64));
        }
        Ok(records)
    }

    /// Finds segment and offset for `position`; `None` if the log holds nothing from there on.
    fn locate(&self, position: Position) -> Option<(usize, u64)> {
        if let Some((number, offset)) = position.place
            && let Some(index) = self.segments.iter().position(|segment| segment.number == number)
        {
            return Some((index, offset));
        }
        let after = self.segments.partition_point(|segment| segment.first_seq <= position.seq);
        let index = after.saturating_sub(1);
        (index < self.segments.len()).then_some((index, HEAD_LEN))
    }

    fn go_to_next_segment(&mut self, index: usize, position: &mut Position) {
        let (seq, place) = match self.segments.get(index + 1) {
            Some(next) => (next.first_seq, (next.number, HEAD_LEN)),
            // The end of the newest segment: records that should be here are gone.
            None => (self.next_seq, (self.segments[index].number, self.segments[index].len)),
        };
        if position.seq < seq {
            self.counters.note_gap(position.seq, seq);
            position.seq = seq;
        }
        position.place = Some(place);
    }

    fn read_chunk(&self, segment: &Segment, offset: u64) -> io::Result<Vec<u8>> {
        let left = usize::try_from(segment.len - offset).unwrap_or(usize::MAX);
        let len = left.min(CHUNK_LEN);
        if let Some(memory) = &segment.memory {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(memory.len());
            return Ok(memory[from..(from + len).min(memory.len())].to_vec());
        }
        let chunk = self.fs.read_at(&self.dir.join(segment.name()), offset, len)?;
        if chunk.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(chunk)
    }

    fn note_failed_read(
        &mut self,
        index: usize,
        offset: u64,
        position: &mut Position,
        error: &io::Error,
    ) -> io::Result<()> {
        let place = (self.segments[index].number, offset);
        let tries = match self.failed_read {
            Some((failed, tries)) if failed == place => tries + 1,
            _ => 1,
        };
        self.failed_read = Some((place, tries));
        if tries < READ_TRIES_MAX {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        tracing::error!(
            spool.segment = %self.segments[index].name(),
            spool.offset = offset,
            error = %error,
            "cannot read a spool segment; the rest of it is given up"
        );
        self.failed_read = None;
        self.go_to_next_segment(index, position);
        Ok(())
    }
}

impl Counters {
    /// Counts the records from `from` to before `to` as lost, each once.
    fn note_gap(&mut self, from: u64, to: u64) {
        let from = from.max(self.examined_seq);
        if from < to {
            let lost = to - from;
            self.lost += lost;
            tracing::error!(spool.lost = lost, spool.seq = from, "spool records are damaged or gone");
        }
        self.examined_seq = self.examined_seq.max(to);
    }
}
