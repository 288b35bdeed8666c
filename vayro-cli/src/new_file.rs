//! Files that appear whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::CommandError;

/// A file under another name beside its place, so that nothing half-written ever has its name. Dropping it
/// removes it.
#[derive(Debug)]
pub struct NewFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl NewFile {
    /// Begins the file that will be at `path`.
    ///
    /// # Errors
    ///
    /// Says that nothing can be written there.
    pub fn begin(path: &Path) -> Result<Self, CommandError> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Readable as the umask says; a temporary file would be for its owner alone.
        let mut builder = tempfile::Builder::new();
        builder.permissions(fs::Permissions::from_mode(0o666));
        let file = builder.tempfile_in(dir).map_err(|error| unwritable(path, error))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Adds to it.
    ///
    /// # Errors
    ///
    /// Says that it cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        self.file.write_all(bytes).map_err(|error| unwritable(&self.path, error))
    }

    /// Puts it in its place, over what was there, and returns where that is.
    ///
    /// # Errors
    ///
    /// Says that it cannot be put there.
    pub fn finish(self) -> Result<PathBuf, CommandError> {
        self.file.persist(&self.path).map_err(|error| unwritable(&self.path, error.error))?;
        Ok(self.path)
    }
}

fn unwritable(path: &Path, error: io::Error) -> CommandError {
    CommandError::failed(format!("cannot write `{}`", path.display())).caused_by(error)
}
