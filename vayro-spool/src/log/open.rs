//! Opening a log after whatever happened to it.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use super::segment::{HEAD_LEN, Head, Segment, judge_head, parse_name};
use super::{Counters, LogSizes, SegmentLog, cursor};
use crate::fs::{Fs, TEMPORARY_SUFFIX};
use crate::record::{self, HEADER_LEN, PAYLOAD_LEN_MAX};

/// Bytes read at once when looking for the sound end of the newest segment.
const CHUNK_LEN: usize = 1 << 20;
/// Longest file that can be a cursor.
const CURSOR_LEN_MAX: usize = 64;

const _: () = assert!(CHUNK_LEN > HEADER_LEN + PAYLOAD_LEN_MAX);

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("cannot open the log")]
    Disk(#[from] io::Error),
    #[error("segment `{name}` was written by a newer program (layout {version})")]
    Foreign { name: String, version: u32 },
}

impl SegmentLog {
    /// Opens the log in `dir`, which is made if missing. A torn end is cut off. Nothing is appended to
    /// existing segments, so what a crash left in them cannot mix with what comes.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the disk fails or a newer program wrote there.
    pub(crate) fn open(fs: Box<dyn Fs>, dir: PathBuf, sizes: LogSizes) -> Result<Self, OpenError> {
        fs.create_dir(&dir)?;
        let mut found: Vec<(u64, u64)> = Vec::new();
        for name in fs.list(&dir)? {
            if name.ends_with(TEMPORARY_SUFFIX) {
                fs.remove(&dir.join(&name))?;
            } else {
                found.extend(parse_name(&name));
            }
        }
        found.sort_unstable();
        let durable_cursor = read_cursor(&*fs, &dir)?;
        let mut log = Self {
            next_number: found.last().map_or(0, |(number, _)| number + 1),
            next_seq: durable_cursor,
            cursor: durable_cursor,
            durable_cursor,
            sizes,
            segments: VecDeque::new(),
            writer: None,
            counters: Counters::default(),
            has_reserve: false,
            failed_read: None,
            oldest: None,
            fs,
            dir,
        };
        for (number, first_seq) in found {
            let segment = Segment { number, first_seq, len: 0, last_at: None, memory: None };
            log.take_segment(segment)?;
        }
        log.judge_newest()?;
        // Without a cursor everything that is there still counts, but nothing before it.
        let first_seq = log.segments.front().map_or(log.next_seq, |front| front.first_seq);
        log.cursor = log.cursor.max(first_seq);
        log.counters.examined_seq = log.cursor;
        log.hold_reserve();
        Ok(log)
    }

    fn take_segment(&mut self, mut segment: Segment) -> Result<(), OpenError> {
        let path = self.dir.join(segment.name());
        segment.len = self.fs.len(&path)?;
        match judge_head(&self.fs.read_at(&path, 0, usize::try_from(HEAD_LEN).unwrap_or(0))?) {
            Head::Foreign(version) => return Err(OpenError::Foreign { name: segment.name(), version }),
            Head::Damaged if segment.len > HEAD_LEN => {
                tracing::warn!(spool.segment = %segment.name(), "the head of a spool segment is damaged");
            }
            Head::Damaged | Head::Sound => {}
        }
        // A later segment that begins earlier replaces what it overlaps.
        while self.segments.back().is_some_and(|back| back.first_seq >= segment.first_seq) {
            if let Some(stale) = self.segments.pop_back() {
                self.remove_quietly(&stale);
            }
        }
        self.next_seq = self.next_seq.max(segment.first_seq);
        self.segments.push_back(segment);
        Ok(())
    }

    /// Forces to the disk what a process that died may have left in the kernel's hands: the records of
    /// the newest segment, since older ones were forced when they were ended.
    fn confirm_newest(&self) {
        let sync = |segment: &Segment| self.fs.sync_file(&self.dir.join(segment.name()));
        let result = self.segments.back().map_or(Ok(()), sync).and_then(|()| self.fs.sync_dir(&self.dir));
        if let Err(error) = result {
            tracing::error!(error = %error, "cannot force the newest spool segment to the disk");
        }
    }

    /// Finds the end of the newest segment, cuts off what is torn, and continues the sequence.
    fn judge_newest(&mut self) -> io::Result<()> {
        let Some(newest) = self.segments.back() else { return Ok(()) };
        let path = self.dir.join(newest.name());
        let (mut offset, mut sound_len) = (HEAD_LEN, HEAD_LEN);
        let (mut last_seq, mut last_at) = (None, None);
        while offset < newest.len {
            let chunk = self.fs.read_at(&path, offset, CHUNK_LEN)?;
            if chunk.is_empty() {
                break;
            }
            let is_last_chunk = offset + chunk.len() as u64 >= newest.len;
            let mut at = 0;
            while at < chunk.len() {
                if let Some((record, len)) = record::decode(&chunk[at..]) {
                    at += len;
                    sound_len = offset + at as u64;
                    last_seq = last_seq.max(Some(record.seq));
                    last_at = last_at.max(Some(record.at));
                } else if !is_last_chunk && at > 0 && record::is_maybe_cut_off(&chunk[at..]) {
                    break;
                } else {
                    at += record::next_candidate(&chunk[at..]);
                }
            }
            offset += at as u64;
        }
        let torn = newest.len.saturating_sub(sound_len);
        if torn > 0 {
            tracing::warn!(
                spool.segment = %newest.name(),
                spool.bytes = torn,
                "cutting off the torn end of the newest spool segment"
            );
        }
        self.next_seq = self.next_seq.max(last_seq.map_or(0, |seq| seq + 1));
        if let Some(newest) = self.segments.back_mut() {
            newest.len = sound_len;
            newest.last_at = last_at;
        }
        if torn > 0 || last_seq.is_none() {
            self.cut_newest();
        }
        self.confirm_newest();
        Ok(())
    }
}

/// Returns the sequence in the cursor file; zero if there is none or it is damaged, which costs only
/// duplicates.
fn read_cursor(fs: &dyn Fs, dir: &std::path::Path) -> io::Result<u64> {
    match fs.read_at(&dir.join(cursor::NAME), 0, CURSOR_LEN_MAX) {
        Ok(bytes) => Ok(cursor::decode(&bytes).unwrap_or_else(|| {
            tracing::warn!("the spool's cursor is damaged; settled records may be delivered again");
            0
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
