//! The log on a hostile disk.

mod examples;
mod model;

use std::path::PathBuf;

use vayro_core::timestamp::Timestamp;

use super::disk::FakeDisk;
use super::{LogSizes, OpenError, Position, ReadLimit, SegmentLog};

/// More than any test appends.
const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
/// Small, so that tests cross many segments.
const SIZES: LogSizes = LogSizes { segment_bytes: 200, bytes_max: 4000, reserve_len: 100 };

fn open(disk: &FakeDisk) -> Result<SegmentLog, OpenError> {
    SegmentLog::open(Box::new(disk.clone()), PathBuf::from("/log"), SIZES)
}

/// Reads everything that is not settled.
fn payloads(log: &mut SegmentLog) -> Vec<String> {
    let mut position = Position::at(log.cursor());
    let records = log.read(&mut position, ALL).expect("the disk reads");
    assert_eq!(position.seq, log.next_seq(), "reading reaches the end");
    let seqs: Vec<u64> = records.iter().map(|record| record.seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    records.into_iter().map(|record| String::from_utf8(record.payload).expect("text")).collect()
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).expect("in range")
}
