//! The log on a thread of its own, for async callers.

mod thread;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use vayro_core::timestamp::Timestamp;

use crate::log::{AppendError, OpenError, SegmentLog};
use thread::Command;

/// Most commands waiting for the thread; callers beyond wait for their turn.
const COMMANDS_MAX: usize = 256;

/// How a spool is kept.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// Directory, made if missing; one process holds it at a time.
    pub dir: PathBuf,
    /// Bytes after which a new segment begins; disk is given back in whole segments.
    pub segment_bytes: u64,
    /// Most bytes of all segments; more is refused.
    pub bytes_max: u64,
    /// How often what was written is forced to the disk; zero means before every answer.
    pub sync_every: Duration,
    /// The time.
    pub clock: fn() -> Timestamp,
}

/// Why a spool does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has the directory.
    #[error("`{}` is in use by another process", .0.display())]
    Locked(PathBuf),
    /// A newer program wrote there.
    #[error("segment `{name}` was written by a newer program (layout {version})")]
    Foreign {
        /// The file.
        name: String,
        /// Its layout.
        version: u32,
    },
    /// It holds its limit of bytes.
    #[error("the spool holds its limit of {0} bytes")]
    Full(u64),
    /// One record is longer than any record may be; given in bytes.
    #[error("a record of {0} bytes is too long")]
    TooLong(usize),
    /// The disk failed.
    #[error("the spool's disk failed")]
    Disk(#[from] io::Error),
    /// It was closed.
    #[error("the spool is closed")]
    Closed,
}

impl From<AppendError> for SpoolError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full(limit) => Self::Full(limit),
            AppendError::TooLong(len) => Self::TooLong(len),
            AppendError::Disk(error) => Self::Disk(error),
        }
    }
}

impl From<OpenError> for SpoolError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Disk(error) => Self::Disk(error),
            OpenError::Foreign { name, version } => Self::Foreign { name, version },
        }
    }
}

/// What a spool holds and what went wrong since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolLevel {
    /// Bytes of records that are not settled, within one segment by their share.
    pub backlog_bytes: u64,
    /// Records that are not settled; gaps in the numbering count too.
    pub backlog: u64,
    /// When the oldest of them was appended, if known.
    pub oldest: Option<Timestamp>,
    /// Bytes of all segments.
    pub disk_bytes: u64,
    /// Records that were taken and cannot be read any more.
    pub lost: u64,
    /// Records refused because the limit was reached.
    pub refused_full: u64,
    /// Records refused because the disk failed.
    pub refused_disk: u64,
}

/// A segment log behind its thread. Cheap to clone; the last clone closes it when dropped.
#[derive(Clone)]
pub struct Spool(Arc<Shared>);

struct Shared {
    commands: mpsc::Sender<Command>,
    level: Arc<Mutex<SpoolLevel>>,
    /// Sequence that the next record will get; rises with every append.
    end: watch::Receiver<u64>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("level", &self.level()).finish_non_exhaustive()
    }
}

impl Spool {
    /// Opens the log and starts its thread.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] when another process has the directory, a newer program wrote there, or the disk
    /// fails.
    pub async fn open(options: SpoolOptions) -> Result<Self, SpoolError> {
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let level = Arc::new(Mutex::new(SpoolLevel::default()));
        let (end_sender, end) = watch::channel(0);
        let (opened, is_open) = oneshot::channel();
        let thread = thread::start(options, queue, Arc::clone(&level), end_sender, opened)?;
        is_open.await.map_err(|_| SpoolError::Closed)??;
        Ok(Self(Arc::new(Shared { commands, level, end, thread: Mutex::new(Some(thread)) })))
    }

    /// Appends all of `payloads` in order or, on an error, perhaps none. Dropping the future does not
    /// take the append back.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] when the log is full or the disk fails.
    pub(crate) async fn append(&self, payloads: Vec<Vec<u8>>) -> Result<(), SpoolError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Append { payloads, reply }).await?;
        answer.await.map_err(|_| SpoolError::Closed)?
    }

    /// Runs `work` on the log's thread, after everything that was asked before.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Closed`].
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SegmentLog) -> T + Send + 'static,
    ) -> Result<T, SpoolError> {
        let (reply, answer) = oneshot::channel();
        let work = move |log: &mut SegmentLog| {
            // Nobody waits any more if the caller was dropped; the work is done all the same.
            drop(reply.send(work(log)));
        };
        self.send(Command::Run(Box::new(work))).await?;
        answer.await.map_err(|_| SpoolError::Closed)
    }

    async fn send(&self, command: Command) -> Result<(), SpoolError> {
        self.0.commands.send(command).await.map_err(|_| SpoolError::Closed)
    }

    /// Returns what it holds, as of the last change.
    pub fn level(&self) -> SpoolLevel {
        *self.0.level.lock()
    }

    /// Returns a receiver that hears of every append.
    pub(crate) fn end(&self) -> watch::Receiver<u64> {
        self.0.end.clone()
    }

    /// Forces everything to the disk, ends the thread and frees the directory. Afterwards every call
    /// answers [`SpoolError::Closed`].
    ///
    /// # Errors
    ///
    /// [`SpoolError::Disk`] when not everything could be forced to the disk.
    pub async fn close(&self) -> Result<(), SpoolError> {
        let (reply, answer) = oneshot::channel();
        if self.send(Command::Close(reply)).await.is_err() {
            return Ok(());
        }
        let result = answer.await.unwrap_or(Ok(()));
        let thread = self.0.thread.lock().take();
        if let Some(thread) = thread
            && tokio::task::spawn_blocking(move || thread.join()).await.is_ok_and(|ended| ended.is_err())
        {
            tracing::error!("the spool's thread panicked");
        }
        result.map_err(SpoolError::Disk)
    }
}
