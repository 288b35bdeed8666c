//! Dead letters as files: one each, whole or not at all.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use vayro_core::stream::{DeadLetter, ERROR_LEN_MAX, NewDeadLetter};

use crate::fs::{Durability, Fs, TEMPORARY_SUFFIX, replace};
use crate::payload;

/// Most dead letters kept; beyond, entries stay in the stream until letters are replayed or purged.
pub(super) const LETTERS_MAX: usize = 10_000;
/// Longest letter that is read: a record with its text escaped, and then some.
const LETTER_LEN_MAX: usize = 1 << 20;
/// End of the names of letters.
const SUFFIX: &str = ".json";

/// The folder of the dead letters.
pub(super) struct Letters {
    dir: PathBuf,
    /// Ids, oldest first.
    ids: BTreeSet<String>,
}

impl Letters {
    pub(super) fn open(fs: &dyn Fs, dir: PathBuf) -> io::Result<Self> {
        fs.create_dir(&dir)?;
        let mut ids = BTreeSet::new();
        for name in fs.list(&dir)? {
            if name.ends_with(TEMPORARY_SUFFIX) {
                fs.remove(&dir.join(&name))?;
            } else if let Some(id) = name.strip_suffix(SUFFIX) {
                ids.insert(id.to_owned());
            }
        }
        Ok(Self { dir, ids })
    }

    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Returns the ids after `after`, oldest first.
    pub(super) fn ids_after(&self, after: Option<&str>) -> Vec<String> {
        self.ids.iter().filter(|id| after.is_none_or(|after| id.as_str() > after)).cloned().collect()
    }

    /// Writes a letter. Writing the same entry twice, as after a crash before it was settled, makes one.
    pub(super) fn write(&mut self, fs: &dyn Fs, new: &NewDeadLetter) -> io::Result<()> {
        let letter = letter(new);
        if !self.ids.contains(&letter.id) && self.ids.len() >= LETTERS_MAX {
            let message = format!("{LETTERS_MAX} dead letters are kept; replay or purge some");
            return Err(io::Error::new(ErrorKind::QuotaExceeded, message));
        }
        let bytes = serde_json::to_vec(&letter).map_err(io::Error::other)?;
        replace(fs, &self.dir, &format!("{}{SUFFIX}", letter.id), &bytes, Durability::Power)?;
        self.ids.insert(letter.id);
        Ok(())
    }

    /// Reads a letter; `None` if there is none.
    pub(super) fn read(&self, fs: &dyn Fs, id: &str) -> io::Result<Option<DeadLetter>> {
        // Only ids that were listed or made here become part of a path.
        if !self.ids.contains(id) {
            return Ok(None);
        }
        let bytes = fs.read_at(&self.dir.join(format!("{id}{SUFFIX}")), 0, LETTER_LEN_MAX)?;
        match serde_json::from_slice(&bytes) {
            Ok(letter) => Ok(Some(letter)),
            Err(error) => {
                tracing::error!(letter.id = id, error = %error, "a dead letter's file is damaged");
                Ok(None)
            }
        }
    }

    /// Removes a letter and tells whether there was one.
    pub(super) fn remove(&mut self, fs: &dyn Fs, id: &str) -> io::Result<bool> {
        if !self.ids.contains(id) {
            return Ok(false);
        }
        fs.remove(&self.dir.join(format!("{id}{SUFFIX}")))?;
        self.ids.remove(id);
        Ok(true)
    }

    /// Forces removals to the disk.
    pub(super) fn sync(&self, fs: &dyn Fs) -> io::Result<()> {
        fs.sync_dir(&self.dir)
    }
}

fn letter(new: &NewDeadLetter) -> DeadLetter {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let fields: Vec<(String, String)> =
        new.delivery.fields.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let stream_id = new.delivery.id.0.clone();
    // The sequence sorts, and the checksum tells letters of different logs apart.
    let id = format!("{stream_id:0>20}-{:08x}", crc32c::crc32c(&payload::of_fields(&fields)));
    let error = &new.error[..new.error.floor_char_boundary(ERROR_LEN_MAX)];
    DeadLetter {
        id,
        stream_id,
        reason: new.reason,
        error: error.to_owned(),
        attempts: new.delivery.attempts,
        dead_at: new.at,
        fields,
    }
}
