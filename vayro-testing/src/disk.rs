//! A small file system of one's own, to be filled up.

use std::io::Write as _;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;
use tempfile::TempDir;

/// Name of the file that takes all the room.
const BALLAST: &str = "ballast";
/// Bytes written at once when the disk is filled; first many, then few.
const PIECES: [usize; 3] = [1 << 20, 4096, 1];

/// A file system in memory, seen only by the thread that mounted it and by whatever that thread starts.
#[derive(Debug)]
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Mounts a file system of `bytes`. Call it before the runtime is made, so that its threads see it too.
    ///
    /// # Errors
    ///
    /// When the system does not allow that, as a rule to anybody but root.
    ///
    /// # Panics
    ///
    /// When no temporary folder can be made.
    pub fn mount(bytes: u64) -> nix::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none = None::<&str>;
        // Nothing that is mounted here must reach the rest of the system.
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let options = format!("size={bytes},mode=755");
        mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))?;
        Ok(Self { dir })
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes all the room that is left, to the last byte.
    ///
    /// # Panics
    ///
    /// When the file that takes it cannot be opened.
    pub fn fill(&self) {
        let path = self.dir.path().join(BALLAST);
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).expect("it opens");
        for piece in PIECES {
            let zeros = vec![0; piece];
            while file.write(&zeros).is_ok_and(|written| written > 0) {}
        }
    }

    /// Takes all the room but so many bytes.
    ///
    /// # Panics
    ///
    /// As [`SmallDisk::fill`].
    pub fn fill_but(&self, bytes: u64) {
        self.fill();
        let path = self.dir.path().join(BALLAST);
        let ballast = std::fs::OpenOptions::new().write(true).open(path).expect("it opens");
        let len = ballast.metadata().expect("it has a length").len();
        ballast.set_len(len.saturating_sub(bytes)).expect("it can be cut");
    }

    /// Returns how many bytes it still takes.
    ///
    /// # Panics
    ///
    /// When it does not say.
    pub fn room(&self) -> u64 {
        let stat = statvfs(self.dir.path()).expect("a mounted file system tells its size");
        stat.blocks_available() * stat.fragment_size()
    }

    /// Gives the room back.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn free(&self) {
        match std::fs::remove_file(self.dir.path().join(BALLAST)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("the disk: {error}"),
            _ => {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The folder below is removed by its own.
        let _ = umount2(self.dir.path(), MntFlags::MNT_DETACH);
    }
}
