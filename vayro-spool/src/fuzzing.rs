//! What must hold of any bytes; called by the fuzz targets, and by the tests with the committed corpus.

use std::path::{Path, PathBuf};

use vayro_core::timestamp::Timestamp;

use crate::fs::Fs as _;
use crate::log::disk::FakeDisk;
use crate::log::{LogSizes, OpenError, Position, ReadLimit, SegmentLog};
use crate::record::{Record, encode};

const SIZES: LogSizes = LogSizes { segment_bytes: 1 << 16, bytes_max: 1 << 24, reserve_len: 100 };

/// Whatever a segment holds, each record that is read stands there whole with its checksum, in order; reading one by
/// one gives the same; and what is appended afterwards is read back.
///
/// # Panics
///
/// If that does not hold.
pub fn segment(bytes: &[u8]) {
    let dir = PathBuf::from("/log");
    let disk = FakeDisk::default();
    disk.create_dir(&dir).expect("the disk works");
    let mut file = disk.create(&dir.join("0000000001-00000000000000000000.seg")).expect("the disk works");
    file.append(bytes).expect("the disk works");
    file.sync().expect("the disk works");
    drop(file);

    let mut log = match open(&disk, &dir) {
        Ok(log) => log,
        Err(OpenError::Foreign { version, .. }) => return assert_ne!(version, 1, "ours is not foreign"),
        Err(error) => panic!("the disk works: {error}"),
    };
    let records = read(&mut log, usize::MAX);
    assert!(records.is_sorted_by(|a, b| a.seq < b.seq), "in order, each once");
    for record in &records {
        let mut whole = Vec::new();
        encode(&mut whole, record.seq, record.at, &record.payload);
        assert!(bytes.windows(whole.len()).any(|part| part == whole), "{record:?} was never written");
    }
    assert_eq!(read(&mut log, 1), records, "one by one");

    let at = Timestamp::from_micros(1).expect("in range");
    if log.append(&[b"new"], at).is_ok() {
        let after = read(&mut log, usize::MAX);
        let (new, before) = after.split_last().expect("one at least");
        assert_eq!((before, &*new.payload, new.at), (&*records, &b"new"[..], at));
    }
}

fn open(disk: &FakeDisk, dir: &Path) -> Result<SegmentLog, OpenError> {
    SegmentLog::open(Box::new(disk.clone()), dir.to_owned(), SIZES)
}

/// Reads all records, `at_once` at a time.
fn read(log: &mut SegmentLog, at_once: usize) -> Vec<Record> {
    let mut position = Position::at(0);
    let mut records = Vec::new();
    loop {
        let limit = ReadLimit { records: at_once, bytes: usize::MAX };
        let mut more = log.read(&mut position, limit).expect("the disk works");
        if more.is_empty() {
            return records;
        }
        records.append(&mut more);
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_hold_over_the_corpus() {
        replay::replay("spool_segment", segment);
    }
}
