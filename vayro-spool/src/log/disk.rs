//! A disk that forgets what was not forced to it, tears what was being written, and fails when told.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::fs::{AppendFile, Fs};

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Writing, after some of the bytes.
    Append,
    /// Forcing a file to the disk.
    Sync,
    /// Making a file.
    Create,
    /// Forcing a directory to the disk.
    SyncDir,
    /// Removing a file.
    Remove,
    /// Cutting a file.
    Truncate,
    /// Renaming a file.
    Rename,
    /// Reading.
    Read,
}

/// What the system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
    NoSpace,
    Io,
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NoSpace => ErrorKind::StorageFull.into(),
            Errno::Io => io::Error::other("EIO"),
        }
    }
}

#[derive(Default)]
struct Inode {
    /// What programs see.
    seen: Vec<u8>,
    /// What survives a loss of power.
    durable: Vec<u8>,
    /// A sync failed: the kernel forgot what was not durable and will not say so again.
    is_broken: bool,
}

#[derive(Clone)]
enum DirChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    seen: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    /// Changes of the directory that are not durable, in order.
    pending: Vec<DirChange>,
    /// How often each operation fails from now on, and with what.
    faults: Vec<(Fault, u32, Errno)>,
    /// Most bytes of all files.
    capacity: Option<usize>,
    /// How often something failed.
    failures: u64,
}

/// Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct FakeDisk(Arc<Mutex<State>>);

struct FakeFile {
    disk: FakeDisk,
    inode: usize,
    has_failed: bool,
}

impl State {
    /// Takes one planned failure of `fault`.
    fn fails(&mut self, fault: Fault) -> Option<Errno> {
        let planned = self.faults.iter_mut().find(|(f, times, _)| *f == fault && *times > 0)?;
        planned.1 -= 1;
        self.failures += 1;
        Some(planned.2)
    }

    fn check(&mut self, fault: Fault) -> io::Result<()> {
        self.fails(fault).map_or(Ok(()), |errno| Err(errno.into()))
    }

    /// Bytes that files may still take.
    fn room(&self) -> usize {
        let used: usize = self.seen.values().map(|inode| self.inodes[*inode].seen.len()).sum();
        self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(used))
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.seen.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl FakeDisk {
    /// Makes `fault` happen the next `times` times, as on a full disk.
    pub(crate) fn fail(&self, fault: Fault, times: u32) {
        self.fail_with(fault, times, Errno::NoSpace);
    }

    /// Makes `fault` happen the next `times` times.
    pub(crate) fn fail_with(&self, fault: Fault, times: u32, errno: Errno) {
        self.0.lock().faults.push((fault, times, errno));
    }

    /// Leaves room for so many bytes and no more; what is removed makes room again.
    pub(crate) fn leave_room(&self, bytes: usize) {
        let mut state = self.0.lock();
        state.capacity = None;
        let used: usize = state.seen.values().map(|inode| state.inodes[*inode].seen.len()).sum();
        state.capacity = Some(used + bytes);
    }

    /// Makes everything work again.
    pub(crate) fn repair(&self) {
        let mut state = self.0.lock();
        state.faults.clear();
        state.capacity = None;
    }

    /// Makes one operation work again.
    pub(crate) fn forget(&self, fault: Fault) {
        self.0.lock().faults.retain(|(planned, ..)| *planned != fault);
    }

    /// Returns how often something failed.
    pub(crate) fn failures(&self) -> u64 {
        self.0.lock().failures
    }

    /// Loses power: of what was not forced to the disk, a part chosen by `chance` survives.
    pub(crate) fn lose_power(&self, mut chance: impl FnMut(usize) -> usize) {
        let mut state = self.0.lock();
        let kept = chance(state.pending.len() + 1);
        let changes: Vec<_> = state.pending.drain(..).take(kept).collect();
        for change in changes {
            match change {
                DirChange::Link(path, inode) => drop(state.durable.insert(path, inode)),
                DirChange::Unlink(path) => drop(state.durable.remove(&path)),
            }
        }
        state.seen = state.durable.clone();
        for inode in &mut state.inodes {
            if !inode.is_broken && inode.seen.starts_with(&inode.durable) {
                let tail = &inode.seen[inode.durable.len()..];
                let mut kept = tail[..chance(tail.len() + 1)].to_vec();
                // Blocks reach the disk in any order: one of them may be missing in between.
                if chance(3) == 0 && !kept.is_empty() {
                    let hole = chance(kept.len());
                    let end = (hole + 1 + chance(16)).min(kept.len());
                    kept[hole..end].fill(0);
                }
                inode.durable.extend(kept);
            } else if !inode.is_broken && chance(2) == 0 {
                // It was cut, and the cut reached the disk.
                inode.durable = inode.seen.clone();
            }
            inode.seen = inode.durable.clone();
            inode.is_broken = false;
        }
    }

    /// Returns the names of the files and their contents.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.0.lock();
        state.seen.iter().map(|(path, inode)| (path.clone(), state.inodes[*inode].seen.clone())).collect()
    }

    /// Flips one bit of a file.
    pub(crate) fn flip(&self, path: &Path, bit: usize) {
        let mut state = self.0.lock();
        let inode = state.find(path).expect("the file is there");
        let inode = &mut state.inodes[inode];
        for bytes in [&mut inode.seen, &mut inode.durable] {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }
}

impl AppendFile for FakeFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let planned = state.fails(Fault::Append);
        let room = state.room();
        // A failing write leaves its first part behind.
        let (written, errno) = match planned {
            Some(errno) => (room.min(bytes.len() / 2), Some(errno)),
            None if room < bytes.len() => (room, Some(Errno::NoSpace)),
            None => (bytes.len(), None),
        };
        state.failures += u64::from(planned.is_none() && errno.is_some());
        state.inodes[self.inode].seen.extend_from_slice(&bytes[..written]);
        errno.map_or(Ok(()), |errno| Err(errno.into()))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let failing = state.fails(Fault::Sync);
        let inode = &mut state.inodes[self.inode];
        assert!(!self.has_failed, "a sync that failed is never tried again on the same file");
        if let Some(errno) = failing {
            self.has_failed = true;
            inode.is_broken = true;
            return Err(errno.into());
        }
        if !inode.is_broken {
            inode.durable = inode.seen.clone();
        }
        Ok(())
    }
}

impl Fs for FakeDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        Ok(state.seen.keys().map(|path| path.file_name().expect("named").to_string_lossy().into()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let mut state = self.0.lock();
        state.check(Fault::Create)?;
        if state.seen.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.seen.insert(path.to_owned(), inode);
        state.pending.push(DirChange::Link(path.to_owned(), inode));
        drop(state);
        Ok(Box::new(FakeFile { disk: self.clone(), inode, has_failed: false }))
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let state = self.0.lock();
        let inode = state.find(path)?;
        Ok(state.inodes[inode].seen.len() as u64)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut state = self.0.lock();
        let inode = state.find(path)?;
        state.check(Fault::Read)?;
        let bytes = &state.inodes[inode].seen;
        let from = usize::try_from(offset).expect("small").min(bytes.len());
        Ok(bytes[from..bytes.len().min(from.saturating_add(len))].to_vec())
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        let inode = state.find(path)?;
        state.check(Fault::Truncate)?;
        state.inodes[inode].seen.truncate(usize::try_from(len).expect("small"));
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let inode = self.0.lock().find(path)?;
        FakeFile { disk: self.clone(), inode, has_failed: false }.sync()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let inode = state.find(from)?;
        state.check(Fault::Rename)?;
        state.seen.remove(from);
        state.seen.insert(to.to_owned(), inode);
        // One step: a loss of power keeps both halves or none.
        state.pending.retain(|change| !matches!(change, DirChange::Link(path, _) if path == from));
        state.pending.push(DirChange::Link(to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.find(path)?;
        state.check(Fault::Remove)?;
        state.seen.remove(path);
        state.pending.push(DirChange::Unlink(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Fault::SyncDir)?;
        state.pending.clear();
        state.durable = state.seen.clone();
        Ok(())
    }
}
