//! One situation each.

use super::{ALL, SIZES, at, open, payloads};
use crate::log::disk::{Errno, FakeDisk, Fault};
use crate::log::{AppendError, OpenError, Position, SegmentLog, segment};
use crate::record::PAYLOAD_LEN_MAX;

fn segments(disk: &FakeDisk) -> usize {
    disk.files().iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "seg")).count()
}

#[test]
fn records_come_back_in_order_over_segments_and_restarts() {
    let disk = FakeDisk::default();
    let expected: Vec<String> = (0..30).map(|n| format!("record {n}")).collect();
    let mut log = open(&disk).expect("opens");
    log.append(&expected[..17], at(1)).expect("taken");
    assert_eq!(payloads(&mut log), expected[..17]);
    let mut log = open(&disk).expect("opens");
    for record in &expected[17..] {
        log.append(&[record], at(2)).expect("taken");
    }
    assert_eq!(payloads(&mut log), expected);
    assert!(segments(&disk) > 3);
}

#[test]
fn settled_segments_are_removed_only_after_the_cursor_is_saved() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    for n in 0..20 {
        log.append(&[format!("record {n}")], at(n)).expect("taken");
    }
    let before = segments(&disk);
    log.settle(19);
    disk.fail_with(Fault::SyncDir, 1, Errno::Io);
    assert!(log.trim(None).is_err());
    assert_eq!(segments(&disk), before, "without a durable cursor nothing is removed");
    assert!(log.trim(None).expect("works again") > 10);
    assert!(segments(&disk) < before);
    disk.lose_power(|_| 0);
    assert_eq!(payloads(&mut open(&disk).expect("opens")), Vec::<String>::new(), "the last was not synced");
}

#[test]
fn young_segments_stay_until_they_are_old_or_room_is_needed() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    for n in 0..10 {
        log.append(&[format!("record {n}")], at(n)).expect("taken");
    }
    log.settle(10);
    assert_eq!(log.trim(Some(at(0))).expect("trims"), 0);
    assert_eq!(log.backlog_bytes(), 0);
    assert!(log.trim(Some(at(5))).expect("trims") > 0);
    assert!(log.disk_bytes() > 0);
    for n in 0..200 {
        log.append(&[format!("record {n}")], at(10)).expect("settled segments make room");
        log.settle(log.next_seq());
    }
    assert_eq!(log.counters().refused_full, 0);
    log.trim(Some(at(11))).expect("trims");
    assert_eq!((log.disk_bytes(), segments(&disk)), (0, 0), "also the newest segment");
    log.append(&["again"], at(12)).expect("taken");
    assert_eq!(payloads(&mut log), ["again"]);
}

#[test]
fn a_full_log_refuses_counts_and_recovers() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    let mut taken = 0;
    while log.append(&[[b'x'; 50]], at(1)).is_ok() {
        taken += 1;
    }
    assert!(taken > 20);
    assert!(matches!(log.append(&["x", "y"], at(1)), Err(AppendError::Full(4000))));
    assert!(log.disk_bytes() <= SIZES.bytes_max);
    assert_eq!(log.counters().refused_full, 3);
    log.settle(taken - 1);
    log.append(&["fits"], at(1)).expect("taken");
    assert_eq!(payloads(&mut log).last().map(String::as_str), Some("fits"));
}

#[test]
fn a_record_that_is_too_long_is_refused() {
    let mut log = open(&FakeDisk::default()).expect("opens");
    let oversized = vec![0; PAYLOAD_LEN_MAX + 1];
    assert!(matches!(log.append(&[&b"short"[..], &oversized], at(1)), Err(AppendError::TooLong(_))));
    assert_eq!(log.next_seq(), 0, "nor is what came with it taken");
}

#[test]
fn a_failed_write_goes_on_in_a_new_segment() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    log.append(&["a"], at(1)).expect("taken");
    disk.fail(Fault::Append, 1);
    disk.fail(Fault::Truncate, 1);
    log.append(&["b", "c"], at(1)).expect("the second segment takes them");
    assert_eq!(payloads(&mut log), ["a", "b", "c"]);
    assert_eq!(payloads(&mut open(&disk).expect("opens")), ["a", "b", "c"], "the torn copy is not read");
}

#[test]
fn a_disk_that_takes_nothing_refuses_and_counts_and_works_again() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    log.append(&["a"], at(1)).expect("taken");
    disk.fail(Fault::Append, 100);
    assert!(matches!(log.append(&["b", "c"], at(1)), Err(AppendError::Disk(_))));
    assert_eq!(log.counters().refused_disk, 2);
    assert_eq!(payloads(&mut log), ["a"]);
    disk.repair();
    log.append(&["d"], at(1)).expect("taken");
    assert_eq!(payloads(&mut log), ["a", "d"]);
    assert_eq!(payloads(&mut open(&disk).expect("opens")), ["a", "d"]);
}

#[test]
fn a_full_disk_gets_room_from_what_is_settled() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    // Something else takes all the room.
    disk.leave_room(1000);
    let mut taken = 0;
    while log.append(&[format!("record {taken}")], at(taken)).is_ok() {
        taken += 1;
    }
    assert!(taken > 10);
    log.settle(log.next_seq() - 1);
    // Also the place of the cursor needs room, and there is none.
    assert!(log.trim(None).expect("room is made") > 0);
    log.append(&["again"], at(taken)).expect("taken");
    assert_eq!(payloads(&mut log).last().map(String::as_str), Some("again"));
    drop(log);
    disk.lose_power(|_| 0);
    let read = payloads(&mut open(&disk).expect("opens"));
    assert!(!read.contains(&"record 0".to_owned()), "the cursor was saved before: {read:?}");
}

#[test]
fn a_full_disk_takes_new_records_in_place_of_settled_ones_that_are_kept_for_a_while() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    disk.leave_room(1000);
    for n in 0..200 {
        log.append(&[format!("record {n}")], at(1)).expect("taken");
        log.settle(log.next_seq());
        // All are young.
        log.trim(Some(at(0))).expect("nothing to do");
    }
    assert_eq!(log.counters().refused_disk, 0);
}

#[test]
fn records_whose_sync_failed_are_written_again_elsewhere() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    log.append(&["a"], at(1)).expect("taken");
    log.sync().expect("synced");
    log.append(&["b", "c"], at(1)).expect("taken");
    disk.fail(Fault::Sync, 1);
    log.sync().expect("a new segment takes them");
    disk.lose_power(|_| 0);
    assert_eq!(payloads(&mut open(&disk).expect("opens")), ["a", "b", "c"]);
}

#[test]
fn records_stay_readable_and_are_not_forgotten_while_the_disk_is_broken() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    log.append(&["a", "b"], at(1)).expect("taken");
    disk.fail(Fault::Sync, 1);
    disk.fail(Fault::Create, 3);
    assert!(log.sync().is_err());
    assert!(log.is_dirty());
    assert!(log.sync().is_err());
    assert_eq!(payloads(&mut log), ["a", "b"], "out of memory");
    assert!(matches!(log.append(&["c"], at(1)), Err(AppendError::Disk(_))), "and no more is accepted");
    log.sync().expect("the disk works again");
    disk.lose_power(|_| 0);
    assert_eq!(payloads(&mut open(&disk).expect("opens")), ["a", "b"]);
}

#[test]
fn damage_costs_only_the_records_it_hits() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    log.append(&["aaaa", "bbbb", "cccc", "dddd"], at(1)).expect("taken");
    let (path, bytes) = disk.files().into_iter().next().expect("a segment");
    let hit = bytes.windows(4).position(|window| window == b"bbbb").expect("is there");
    disk.flip(&path, hit * 8);
    assert_eq!(payloads(&mut log), ["aaaa", "cccc", "dddd"]);
    assert_eq!(log.counters().lost, 1);
    assert_eq!(payloads(&mut log).len(), 3);
    assert_eq!(log.counters().lost, 1, "a loss is counted once");
    assert_eq!(payloads(&mut open(&disk).expect("opens")), ["aaaa", "cccc", "dddd"]);
}

#[test]
fn a_damaged_head_or_length_costs_one_record_at_most() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    log.append(&["aaaa", "bbbb", "cccc"], at(1)).expect("taken");
    let (path, bytes) = disk.files().into_iter().next().expect("a segment");
    disk.flip(&path, 3);
    assert_eq!(payloads(&mut open(&disk).expect("opens")).len(), 3);
    let hit = bytes.windows(4).position(|window| window == b"aaaa").expect("is there");
    // The length field of the second record.
    disk.flip(&path, (hit + 4 + 4) * 8 + 5);
    assert_eq!(payloads(&mut open(&disk).expect("opens")), ["aaaa", "cccc"]);
}

#[test]
fn a_sequence_that_somebody_remembers_is_not_used_again() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    log.append(&["a", "b", "c"], at(1)).expect("taken");
    log.settle(3);
    log.save_cursor().expect("saved");
    // The records were never synced; the cursor was.
    disk.lose_power(|_| 0);
    let mut log = open(&disk).expect("opens");
    assert_eq!(log.next_seq(), 3);
    log.append(&["d"], at(1)).expect("taken");
    assert_eq!(payloads(&mut log), ["d"]);
    log.reserve(10);
    log.append(&["e"], at(1)).expect("taken");
    assert_eq!(log.next_seq(), 11);
    assert_eq!(payloads(&mut open(&disk).expect("opens")), ["d", "e"]);
}

#[test]
fn a_place_that_cannot_be_read_is_given_up_after_some_tries() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    for n in 0..10 {
        log.append(&[format!("record number {n}")], at(n)).expect("taken");
    }
    disk.fail(Fault::Read, 8);
    let mut position = Position::at(0);
    let mut failures = 0;
    let records = loop {
        match log.read(&mut position, ALL) {
            Ok(records) => break records,
            Err(_) => failures += 1,
        }
        assert!(failures < 100, "reading ends");
    };
    assert!(failures > 0);
    assert!(!records.is_empty() && records[0].seq > 0, "the next segment is read");
    assert_eq!(log.counters().lost, records[0].seq);
}

#[test]
fn a_log_of_a_newer_program_is_left_alone() {
    use crate::fs::Fs as _;
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    log.append(&["a"], at(1)).expect("taken");
    let mut head = segment::head();
    head[8] = 2;
    let crc = crc32c::crc32c(&head[..12]).to_le_bytes();
    head[12..].copy_from_slice(&crc);
    let path = std::path::Path::new("/log/0000000009-00000000000000000009.seg");
    disk.create(path).and_then(|mut file| file.append(&head)).expect("written");
    assert!(matches!(open(&disk), Err(OpenError::Foreign { version: 2, .. })));
}

#[test]
fn the_oldest_open_record_is_known() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    assert_eq!(log.oldest(None).expect("reads"), None);
    for n in 1..=9 {
        log.append(&[format!("record {n}")], at(n)).expect("taken");
    }
    assert_eq!(log.oldest_known(), Some(at(1)));
    log.settle(4);
    assert_eq!((log.oldest_known(), log.oldest(None).expect("reads")), (None, Some(at(5))));
    let mut log = open(&disk).expect("opens");
    assert_eq!(log.oldest(None).expect("reads"), Some(at(1)), "the cursor was not saved");
    log.settle(9);
    assert_eq!((log.oldest(None).expect("reads"), log.backlog_bytes()), (None, 0));
}

#[test]
fn a_trickle_of_records_does_not_keep_old_ones() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    let add = |log: &mut SegmentLog, micros| {
        log.append(&["x"], at(micros)).expect("appends");
        log.settle(log.next_seq());
    };
    add(&mut log, 1);
    add(&mut log, 10);
    // The newest record is too young, and its segment gets no others.
    assert_eq!(log.trim(Some(at(5))).expect("trims"), 0);
    add(&mut log, 11);
    assert_eq!(log.trim(Some(at(11))).expect("trims"), 2);
    assert_eq!(log.len(), 1);
}

#[test]
fn settled_records_can_be_forgotten_at_once() {
    let disk = FakeDisk::default();
    let mut log = open(&disk).expect("opens");
    log.append(&["settled"], at(1)).expect("appends");
    log.settle(log.next_seq());
    assert_eq!(log.forget_settled().expect("forgets"), 1);
    assert!(disk.files().iter().all(|(_, bytes)| !bytes.windows(7).any(|bytes| bytes == b"settled")));
    log.append(&["open"], at(2)).expect("appends");
    assert_eq!(log.forget_settled().expect("forgets"), 0);
    assert_eq!(payloads(&mut log), ["open"]);
}
