//! The few things the log asks of a file system, so that tests can put a hostile one under it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Mode of every file: clicks hold visitors' addresses.
pub(crate) const FILE_MODE: u32 = 0o600;
/// Mode of every directory, for the same reason.
const DIR_MODE: u32 = 0o700;

/// A file that is only ever appended to.
pub(crate) trait AppendFile: Send {
    /// Writes all of `bytes` at the end. After an error any part of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Forces what was written to the disk. After an error the kernel may have dropped the bytes and
    /// will report success next time, so it is never called again on the same file.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file system.
pub(crate) trait Fs: Send {
    /// Makes `dir` and its parents where missing.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Lists the names of the files in `dir`.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes a file that does not exist yet.
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;
    /// Returns the length of a file.
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// Reads up to `len` bytes at `offset`, fewer only at the end of the file.
    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Cuts a file.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;
    /// Forces what earlier processes wrote to a file to the disk.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Renames a file over whatever has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Forces creations, renames and removals in `dir` to the disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// Whether [`replace`] waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It survives a crash of the process.
    Process,
    /// It survives a loss of power.
    Power,
}

/// Replaces the file `name` in `dir` as a whole: afterwards it has the old content or the new one.
pub(crate) fn replace(
    fs: &dyn Fs,
    dir: &Path,
    name: &str,
    bytes: &[u8],
    durability: Durability,
) -> io::Result<()> {
    let path = dir.join(name);
    let temporary = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
    match fs.remove(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs.create(&temporary)?;
    let mut write = || {
        file.append(bytes)?;
        if durability == Durability::Power {
            file.sync()?;
        }
        fs.rename(&temporary, &path)
    };
    if let Err(error) = write() {
        // On a full disk what was written of it would stand in the way of everything else.
        drop(fs.remove(&temporary));
        return Err(error);
    }
    if durability == Durability::Power {
        fs.sync_dir(dir)?;
    }
    Ok(())
}

/// End of the names of files that are not finished.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// The real file system.
#[derive(Debug, Default)]
pub(crate) struct RealFs;

impl AppendFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Fs for RealFs {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(FILE_MODE).open(path)?;
        Ok(Box::new(file))
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.set_len(len)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        OpenOptions::new().append(true).open(path)?.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

/// Holds a directory for one process, until dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Name of the file that is locked.
    const NAME: &str = "lock";

    /// Takes the directory, which must exist.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] when another process has it.
    pub(crate) fn take(dir: &Path) -> io::Result<Self> {
        let path = dir.join(Self::NAME);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }
}
