//! Room held back on the disk for the small files beside the segments.
//!
//! The cursor has to be on the disk before a segment may be removed. On a disk that is full to the last
//! byte it would not get there, and the disk would stay full for ever.

use std::io::{self, ErrorKind};

use super::SegmentLog;
use crate::fs::{Durability, replace};

/// Name of the file that holds the room.
const NAME: &str = "reserve";

/// Tells whether there is no room on the disk.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl SegmentLog {
    /// Takes the room, if it is not taken and there is some.
    pub(super) fn hold_reserve(&mut self) {
        if self.has_reserve {
            return;
        }
        let (path, len) = (self.dir.join(NAME), self.sizes.reserve_len);
        self.has_reserve = self.fs.len(&path).is_ok_and(|found| found == len as u64)
            || replace(&*self.fs, &self.dir, NAME, &vec![0; len], Durability::Process).is_ok();
    }

    /// Replaces a small file beside the segments as a whole, on a full disk in the room held back.
    ///
    /// # Errors
    ///
    /// When the disk fails; the file is as it was then.
    pub(crate) fn replace_side_file(
        &mut self,
        name: &str,
        bytes: &[u8],
        durability: Durability,
    ) -> io::Result<()> {
        match replace(&*self.fs, &self.dir, name, bytes, durability) {
            Err(error) if is_full(&error) && self.give_reserve() => {
                let result = replace(&*self.fs, &self.dir, name, bytes, durability);
                // The file took the place of its predecessor, so there is as much room as before: records must
                // not get it, or the next cursor would find none.
                self.hold_reserve();
                result
            }
            other => other,
        }
    }

    /// Gives the room back to the disk; tells whether there was some.
    fn give_reserve(&mut self) -> bool {
        // It may be there though it was never noticed: an earlier process held it.
        self.has_reserve = false;
        let is_given = self.fs.remove(&self.dir.join(NAME)).is_ok();
        // File systems with a journal free the blocks only when the removal is on the disk.
        is_given && self.fs.sync_dir(&self.dir).is_ok()
    }
}
