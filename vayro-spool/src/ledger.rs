//! The file an edge keeps its own count of clicks in.
//!
//! One file for each start of an edge, of a fixed length so that a full disk cannot refuse a change. It
//! holds the figures twice: a change overwrites the older of the two places, and each has a number that
//! rises and a checksum. Whatever instant the process dies at, one of them is whole.

mod page;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use vayro_core::ledger::{EDGE_LEN_MAX, EdgeLedger};
use vayro_core::ports::{LedgerError, LedgerFile};

use crate::fs::{FILE_MODE, Fs as _, RealFs};
use page::{PAGE_LEN, Page};

/// Files of earlier starts that are read; more only gather while no database takes their figures.
const EARLIER_MAX: usize = 256;
/// End of the names of the files.
const SUFFIX: &str = ".ledger";
/// How long the disk may take before the caller goes on without it.
const SAVE_TIMEOUT: Duration = Duration::from_millis(250);

/// The ledgers in one directory, which one process uses at a time.
#[derive(Debug)]
pub struct DiskLedger {
    dir: PathBuf,
    own: PathBuf,
    file: Arc<Mutex<Written>>,
    earlier: Mutex<Vec<EdgeLedger>>,
}

#[derive(Debug)]
struct Written {
    file: File,
    /// Changes so far.
    number: u64,
}

impl DiskLedger {
    /// Makes the file of the start called `edge` in `dir` and takes over what earlier starts left there. Call it only
    /// while something else keeps other processes out, such as the lock of the edge's spool.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn open(dir: PathBuf, edge: &str) -> io::Result<Self> {
        let ledger = Self::beside_another(dir, edge)?;
        ledger.take_over()?;
        Ok(ledger)
    }

    /// Makes the file of the start called `edge` in `dir` while another process may still count there.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn beside_another(dir: PathBuf, edge: &str) -> io::Result<Self> {
        RealFs.create_dir(&dir)?;
        let own = path_of(&dir, edge);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&own)?;
        file.write_all_at(&[0; 2 * PAGE_LEN], 0)?;
        let file = Arc::new(Mutex::new(Written { file, number: 0 }));
        Ok(Self { dir, own, file, earlier: Mutex::default() })
    }

    /// Reads what others left; from then on they are [`LedgerFile::earlier`]. As with [`DiskLedger::open`], nobody
    /// else may count in the directory any more.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn take_over(&self) -> io::Result<()> {
        let mut earlier = Vec::new();
        for name in RealFs.list(&self.dir)?.iter().filter(|name| name.ends_with(SUFFIX)).take(EARLIER_MAX) {
            let path = self.dir.join(name);
            if path == self.own {
                continue;
            }
            if let Some(ledger) = read(&path)? {
                earlier.push(EdgeLedger { is_over: true, ..ledger });
            } else {
                // Made by a process that died before it counted anything.
                RealFs.remove(&path)?;
            }
        }
        *self.earlier.lock() = earlier;
        Ok(())
    }
}

fn path_of(dir: &Path, edge: &str) -> PathBuf {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') { c } else { '+' };
    let name: String = edge.chars().take(EDGE_LEN_MAX).map(safe).collect();
    dir.join(format!("{name}{SUFFIX}"))
}

fn read(path: &Path) -> io::Result<Option<EdgeLedger>> {
    let bytes = RealFs.read_at(path, 0, 2 * PAGE_LEN)?;
    let newest = bytes.chunks(PAGE_LEN).filter_map(Page::decode).max_by_key(|page| page.number);
    Ok(newest.map(|page| page.ledger))
}

impl Written {
    fn save(&mut self, ledger: &EdgeLedger) -> io::Result<()> {
        let number = self.number + 1;
        let bytes = page::encode(number, ledger);
        self.file.write_all_at(&bytes, (number % 2) * PAGE_LEN as u64)?;
        self.number = number;
        Ok(())
    }
}

#[async_trait]
impl LedgerFile for DiskLedger {
    async fn save(&self, ledger: &EdgeLedger) -> Result<(), LedgerError> {
        let (file, ledger) = (Arc::clone(&self.file), ledger.clone());
        // A write of some hundred bytes into the page cache; but a disk that hangs must not hang the edge.
        let write = tokio::task::spawn_blocking(move || file.lock().save(&ledger));
        match tokio::time::timeout(SAVE_TIMEOUT, write).await {
            Ok(Ok(saved)) => saved.map_err(|error| LedgerError(error.into())),
            Ok(Err(error)) => Err(LedgerError(error.into())),
            Err(elapsed) => Err(LedgerError(elapsed.into())),
        }
    }

    fn earlier(&self) -> Vec<EdgeLedger> {
        self.earlier.lock().clone()
    }

    async fn forget(&self, edges: &[String]) {
        let paths: Vec<PathBuf> = edges.iter().map(|edge| path_of(&self.dir, edge)).collect();
        let removed = tokio::task::spawn_blocking(move || {
            paths.iter().try_for_each(|path| match RealFs.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            })
        })
        .await;
        if let Ok(Err(error)) = removed {
            // It is told once more after the next start, which changes nothing.
            tracing::warn!(error = %error, "an old ledger cannot be removed");
        }
        self.earlier.lock().retain(|ledger| !edges.contains(&ledger.edge));
    }
}

#[cfg(test)]
mod tests {
    use vayro_core::day::Day;
    use vayro_core::ledger::DayCounts;
    use vayro_core::timestamp::Timestamp;

    use super::*;

    fn ledger(edge: &str, accepted: u64) -> EdgeLedger {
        let counts = DayCounts { accepted, shipped: 1, ring_full: 2, shutdown: 3, disk: 4 };
        EdgeLedger {
            edge: edge.to_owned(),
            is_over: false,
            at: Timestamp::from_millis(1_790_000_000_123).expect("in range"),
            days: vec![(Day::from_number(20_000).expect("a day"), counts)],
        }
    }

    #[tokio::test]
    async fn figures_survive_the_process_until_they_are_forgotten() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = DiskLedger::open(dir.path().join("ledger"), "host:one").expect("opens");
        assert_eq!(first.earlier(), []);
        for accepted in 1..=5 {
            first.save(&ledger("host:one", accepted)).await.expect("saved");
        }
        drop(first);
        let second = DiskLedger::open(dir.path().join("ledger"), "host:two").expect("opens");
        let expected = EdgeLedger { is_over: true, ..ledger("host:one", 5) };
        assert_eq!(second.earlier(), std::slice::from_ref(&expected));
        second.save(&ledger("host:two", 7)).await.expect("saved");
        drop(second);

        let third = DiskLedger::open(dir.path().join("ledger"), "host:three").expect("opens");
        assert_eq!(third.earlier().len(), 2, "nobody forgot them");
        third.forget(&["host:one".to_owned()]).await;
        assert_eq!(third.earlier().len(), 1);
        drop(third);
        let fourth = DiskLedger::open(dir.path().join("ledger"), "host:four").expect("opens");
        let edges: Vec<String> = fourth.earlier().into_iter().map(|ledger| ledger.edge).collect();
        assert_eq!(edges, ["host:two"], "the third never counted");
    }

    #[tokio::test]
    async fn a_successor_counts_beside_the_one_before_and_takes_its_figures_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = DiskLedger::open(dir.path().to_owned(), "host:one").expect("opens");
        let second = DiskLedger::beside_another(dir.path().to_owned(), "host:two").expect("opens");
        second.save(&ledger("host:two", 1)).await.expect("saved");
        assert_eq!(second.earlier(), [], "the first one still counts");
        first.save(&ledger("host:one", 5)).await.expect("saved");
        drop(first);
        second.take_over().expect("readable");
        assert_eq!(second.earlier(), [EdgeLedger { is_over: true, ..ledger("host:one", 5) }]);
    }

    #[tokio::test]
    async fn a_change_that_was_torn_leaves_the_one_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let written = DiskLedger::open(dir.path().to_owned(), "one").expect("opens");
        for accepted in 1..=4 {
            written.save(&ledger("one", accepted)).await.expect("saved");
        }
        drop(written);
        let path = path_of(dir.path(), "one");
        let whole = std::fs::read(&path).expect("readable");
        for cut in 0..PAGE_LEN {
            // The fourth change lies in the first place.
            let mut torn = whole.clone();
            torn[cut] ^= 0x10;
            std::fs::write(&path, &torn).expect("writable");
            let accepted = read(&path).expect("readable").expect("a ledger").days[0].1.accepted;
            assert!(accepted == 3 || accepted == 4, "byte {cut}: {accepted}");
        }
    }
}
