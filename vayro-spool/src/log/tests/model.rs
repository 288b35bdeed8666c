//! The log against a model, under random faults.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;

use super::{ALL, at, open, payloads};
use crate::log::disk::{Errno, FakeDisk, Fault};
use crate::log::{Position, ReadLimit, SegmentLog};
use crate::record::{self, HEADER_LEN};

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: usize,
        len: usize,
    },
    Sync,
    /// Reads this many records and settles them.
    Settle(usize),
    SaveCursor,
    Trim,
    /// Trims what is old, which everything is.
    TrimOld,
    ForgetSettled,
    /// The process ends without warning; the disk keeps what was written.
    Kill,
    /// The disk keeps only what was forced to it, and by chance a part of the rest.
    PowerLoss(Vec<u16>),
    Fail(Fault, u32, Errno),
    /// There is room for so many bytes and no more.
    FillDisk(usize),
    /// Reading fails so many times, then works.
    FailRead(u32, Errno),
    Repair,
    Flip {
        file: usize,
        bit: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let errno = prop::sample::select(vec![Errno::NoSpace, Errno::Io]);
    let fault = prop::sample::select(vec![
        Fault::Append,
        Fault::Sync,
        Fault::Create,
        Fault::SyncDir,
        Fault::Remove,
        Fault::Truncate,
        Fault::Rename,
    ]);
    prop_oneof![
        8 => (1_usize..6, 0_usize..60).prop_map(|(count, len)| Step::Append { count, len }),
        4 => Just(Step::Sync),
        4 => (0_usize..8).prop_map(Step::Settle),
        2 => Just(Step::SaveCursor),
        2 => Just(Step::Trim),
        1 => Just(Step::TrimOld),
        1 => Just(Step::ForgetSettled),
        1 => Just(Step::Kill),
        2 => prop::collection::vec(any::<u16>(), 1..12).prop_map(Step::PowerLoss),
        3 => (fault, 1_u32..4, errno.clone()).prop_map(|(fault, times, errno)| Step::Fail(fault, times, errno)),
        2 => (0_usize..400).prop_map(Step::FillDisk),
        1 => (1_u32..8, errno).prop_map(|(times, errno)| Step::FailRead(times, errno)),
        2 => Just(Step::Repair),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(file, bit)| Step::Flip { file, bit }),
    ]
}

/// What must hold, told by payloads, which are all different.
#[derive(Default)]
struct Model {
    offered: Vec<String>,
    /// Taken and not settled: must be read while the process lives.
    live: BTreeSet<String>,
    /// Of these, forced to the disk: must be read also after a loss of power.
    durable: BTreeSet<String>,
    /// Settled, and the cursor is on the disk: must never be read again.
    buried: BTreeSet<String>,
    settled: BTreeSet<String>,
    /// Hit by a flipped bit: may be missing.
    rotten: BTreeSet<String>,
    /// Found after a crash during failures: the kernel may have them without ever writing them.
    doubtful: BTreeSet<String>,
    /// Something failed since the last good sync, so that a part may be only in memory.
    is_shaken: bool,
}

impl Model {
    fn check(&self, read: &[String], must: &BTreeSet<String>, after: &Step) -> Result<(), TestCaseError> {
        let set: BTreeSet<String> = read.iter().cloned().collect();
        prop_assert_eq!(set.len(), read.len(), "read twice");
        for payload in must.difference(&self.rotten) {
            prop_assert!(set.contains(payload), "{} is missing after {:?}", payload, after);
        }
        for payload in read {
            prop_assert!(self.offered.contains(payload), "{payload} was never offered");
            prop_assert!(!self.buried.contains(payload), "{payload} came back after {after:?}");
        }
        prop_assert!(read.is_sorted(), "order is lost: {read:?}");
        Ok(())
    }

    /// Takes over what a restarted log really has.
    fn restart(&mut self, read: &[String]) {
        self.live = read.iter().cloned().collect();
        if self.is_shaken {
            self.doubtful.extend(self.live.difference(&self.durable).cloned());
        }
        self.durable.retain(|payload| self.live.contains(payload));
        self.settled.clear();
        self.is_shaken = false;
    }
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let disk = FakeDisk::default();
    let mut log = open(&disk).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let mut model = Model::default();
    let mut failures = 0;
    for step in steps {
        apply(&step, &mut log, &disk, &mut model)?;
        if disk.failures() > failures {
            failures = disk.failures();
            model.is_shaken = true;
        }
        if matches!(step, Step::Kill | Step::PowerLoss(_)) {
            let must = match step {
                Step::Kill if !model.is_shaken => model.live.clone(),
                _ => model.durable.clone(),
            };
            disk.repair();
            log = open(&disk).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let read = payloads(&mut log);
            model.check(&read, &must, &step)?;
            model.restart(&read);
        } else {
            model.check(&payloads(&mut log), &model.live, &step)?;
        }
    }
    // Once the disk works, the log does.
    disk.repair();
    log.settle(log.next_seq());
    log.trim(None).map_err(|error| TestCaseError::fail(error.to_string()))?;
    log.append(&["zzz"], at(1)).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(payloads(&mut log), ["zzz"]);
    Ok(())
}

fn apply(step: &Step, log: &mut SegmentLog, disk: &FakeDisk, model: &mut Model) -> Result<(), TestCaseError> {
    match step {
        Step::Append { count, len } => {
            let first = model.offered.len();
            let new: Vec<String> =
                (first..first + count).map(|n| format!("{n:08}{}", "x".repeat(*len))).collect();
            model.offered.extend(new.clone());
            if log.append(&new, at(1)).is_ok() {
                model.live.extend(new);
            }
        }
        Step::Sync => {
            if log.sync().is_ok() {
                model.durable = model.live.difference(&model.doubtful).cloned().collect();
                model.is_shaken = false;
            }
        }
        Step::Settle(count) => {
            let mut position = Position::at(log.cursor());
            let limit = ReadLimit { records: *count, bytes: usize::MAX };
            let records =
                log.read(&mut position, limit).map_err(|error| TestCaseError::fail(error.to_string()))?;
            log.settle(position.seq);
            for record in records {
                let payload = String::from_utf8_lossy(&record.payload).into_owned();
                model.live.remove(&payload);
                model.durable.remove(&payload);
                model.settled.insert(payload);
            }
        }
        Step::SaveCursor => {
            if log.save_cursor().is_ok() {
                model.buried.extend(model.settled.clone());
            }
        }
        Step::Trim => drop(log.trim(None)),
        Step::TrimOld => drop(log.trim(Some(at(2)))),
        Step::ForgetSettled => {
            let is_settled = log.cursor() == log.next_seq();
            if log.forget_settled().is_ok() && is_settled {
                prop_assert_eq!(log.disk_bytes(), 0, "nothing of what is settled is left");
            }
        }
        Step::Kill | Step::Repair => disk.repair(),
        Step::PowerLoss(chances) => {
            let mut chances = chances.iter().cycle().map(|chance| usize::from(*chance));
            disk.lose_power(|below| chances.next().unwrap_or(0) % below);
        }
        Step::Fail(fault, times, errno) => disk.fail_with(*fault, *times, *errno),
        Step::FillDisk(room) => disk.leave_room(*room),
        Step::FailRead(times, errno) => {
            disk.fail_with(Fault::Read, *times, *errno);
            let mut position = Position::at(log.cursor());
            while log.read(&mut position, ALL).is_err() {}
            disk.forget(Fault::Read);
        }
        Step::Flip { file, bit } => flip(disk, model, *file, *bit),
    }
    Ok(())
}

/// Flips a bit and notes whose record it hit.
fn flip(disk: &FakeDisk, model: &mut Model, file: usize, bit: usize) {
    let files = disk.files();
    if files.is_empty() {
        return;
    }
    let (path, bytes): &(PathBuf, Vec<u8>) = &files[file % files.len()];
    if bytes.is_empty() {
        return;
    }
    let bit = bit % (bytes.len() * 8);
    if path.ends_with("cursor") {
        // Nobody knows any more what was settled.
        model.buried.clear();
        model.settled.clear();
    }
    for start in 0..bytes.len() {
        if let Some((record, len)) = record::decode(&bytes[start..])
            && (start * 8..(start + len) * 8).contains(&bit)
        {
            assert!(len >= HEADER_LEN);
            model.rotten.insert(String::from_utf8_lossy(&record.payload).into_owned());
        }
    }
    disk.flip(path, bit);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_confirmed_is_lost_and_nothing_settled_comes_back(steps in prop::collection::vec(step(), 1..60)) {
        run(steps)?;
    }
}
