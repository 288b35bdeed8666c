//! The thread that does all file work of a spool.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use vayro_core::timestamp::Timestamp;

use super::{SpoolError, SpoolLevel, SpoolOptions};
use crate::fs::{DirLock, Fs as _, RealFs};
use crate::log::{LogSizes, SegmentLog};

/// Most appends that share one wait for the disk.
const GROUP_MAX: usize = 64;
/// Shortest time between two forced writes that nobody waits for, such as those of the cursor.
const SYNC_PAUSE_MIN: Duration = Duration::from_millis(50);
/// Room held back for the cursor and the longest progress file, each in two versions at a time.
const RESERVE_LEN: usize = 512 * 1024;
/// Pause after the disk failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

pub(super) type Reply = oneshot::Sender<Result<(), SpoolError>>;

/// What the thread is asked for.
pub(super) enum Command {
    Append { payloads: Vec<Vec<u8>>, reply: Reply },
    Run(Box<dyn FnOnce(&mut SegmentLog) + Send>),
    Close(oneshot::Sender<io::Result<()>>),
}

/// Starts the thread; it says on `opened` whether the log could be opened.
pub(super) fn start(
    options: SpoolOptions,
    queue: mpsc::Receiver<Command>,
    level: Arc<Mutex<SpoolLevel>>,
    end: watch::Sender<u64>,
    opened: oneshot::Sender<Result<(), SpoolError>>,
) -> io::Result<std::thread::JoinHandle<()>> {
    let timer = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new().name("vayro-spool".to_owned()).spawn(move || {
        let (lock, mut log) = match open(&options) {
            Ok(open) => open,
            Err(error) => {
                drop(opened.send(Err(error)));
                return;
            }
        };
        if let Err(error) = log.oldest(None) {
            tracing::warn!(error = %error, "cannot read the oldest spool record");
        }
        let mut worker = Worker {
            log,
            level,
            end,
            sync_every: options.sync_every,
            clock: options.clock,
            sync_at: None,
            is_failing: false,
        };
        worker.publish();
        drop(opened.send(Ok(())));
        timer.block_on(worker.run(queue));
        // Held until the last byte is written.
        drop(lock);
    })
}

fn open(options: &SpoolOptions) -> Result<(DirLock, SegmentLog), SpoolError> {
    RealFs.create_dir(&options.dir)?;
    let lock = DirLock::take(&options.dir).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => SpoolError::Locked(options.dir.clone()),
        _ => SpoolError::Disk(error),
    })?;
    let sizes = LogSizes {
        segment_bytes: options.segment_bytes,
        bytes_max: options.bytes_max,
        reserve_len: RESERVE_LEN,
    };
    let log = SegmentLog::open(Box::new(RealFs), options.dir.clone(), sizes)?;
    Ok((lock, log))
}

struct Worker {
    log: SegmentLog,
    level: Arc<Mutex<SpoolLevel>>,
    end: watch::Sender<u64>,
    sync_every: Duration,
    clock: fn() -> Timestamp,
    /// When to force to the disk what was written.
    sync_at: Option<Instant>,
    is_failing: bool,
}

impl Worker {
    async fn run(&mut self, mut queue: mpsc::Receiver<Command>) {
        loop {
            let command = match self.sync_at {
                None => queue.recv().await,
                Some(at) => {
                    if let Ok(command) = tokio::time::timeout_at(at, queue.recv()).await {
                        command
                    } else {
                        drop(self.force());
                        self.publish();
                        continue;
                    }
                }
            };
            let Some(mut command) = command else { break };
            let mut answers: Vec<(Reply, Result<(), SpoolError>)> = Vec::new();
            loop {
                match command {
                    Command::Append { payloads, reply } => {
                        let result = self.log.append(&payloads, (self.clock)());
                        answers.push((reply, result.map_err(Into::into)));
                    }
                    Command::Run(work) => {
                        // What waits for its answer was written before, and `work` may read it.
                        self.answer(&mut answers);
                        work(&mut self.log);
                    }
                    Command::Close(reply) => {
                        self.answer(&mut answers);
                        drop(reply.send(self.force()));
                        self.publish();
                        return;
                    }
                }
                if answers.len() >= GROUP_MAX {
                    break;
                }
                match queue.try_recv() {
                    Ok(next) => command = next,
                    Err(_) => break,
                }
            }
            self.answer(&mut answers);
            if self.sync_at.is_some_and(|at| at <= Instant::now()) {
                drop(self.force());
            }
            self.publish();
            if self.sync_at.is_none() && self.log.is_dirty() {
                self.sync_at = Some(Instant::now() + self.sync_every.max(SYNC_PAUSE_MIN));
            }
        }
        drop(self.force());
    }

    /// Answers appends, all after one wait for the disk if that was promised.
    fn answer(&mut self, answers: &mut Vec<(Reply, Result<(), SpoolError>)>) {
        if answers.is_empty() {
            return;
        }
        if self.sync_every.is_zero()
            && let Err(error) = self.log.sync()
        {
            for (_, result) in answers.iter_mut().filter(|(_, result)| result.is_ok()) {
                *result = Err(SpoolError::Disk(io::Error::new(error.kind(), error.to_string())));
            }
        }
        // Before the answers, so that whoever gets one sees what it did.
        self.publish();
        for (reply, result) in answers.drain(..) {
            drop(reply.send(result));
        }
    }

    /// Forces records and cursor to the disk, in this order.
    fn force(&mut self) -> io::Result<()> {
        let result = self.log.sync().and_then(|()| self.log.save_cursor());
        self.sync_at = None;
        match &result {
            Ok(()) if self.is_failing => {
                self.is_failing = false;
                tracing::info!("the spool's disk works again");
            }
            Err(error) => {
                // Said once: while the disk is broken this comes round every second.
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(error = %error, "the spool's disk failed; clicks stay in memory");
                }
                self.sync_at = Some(Instant::now() + FAILURE_PAUSE);
            }
            Ok(()) => {}
        }
        result
    }

    fn publish(&mut self) {
        let counters = self.log.counters();
        *self.level.lock() = SpoolLevel {
            backlog_bytes: self.log.backlog_bytes(),
            backlog: self.log.next_seq().saturating_sub(self.log.cursor()),
            oldest: self.log.oldest_known(),
            disk_bytes: self.log.disk_bytes(),
            lost: counters.lost,
            refused_full: counters.refused_full,
            refused_disk: counters.refused_disk,
        };
        self.end.send_if_modified(|end| std::mem::replace(end, self.log.next_seq()) != self.log.next_seq());
    }
}
