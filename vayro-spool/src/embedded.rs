//! The click stream of the embedded set: one log, one consumer, dead letters beside it.

mod consumer;
mod dead_letters;
mod letters;
mod progress;
mod sink;
mod stream;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use vayro_core::timestamp::Timestamp;

use crate::log::SegmentLog;
use crate::spool::{Spool, SpoolError, SpoolOptions};
use consumer::Consumer;
pub use dead_letters::SpoolDeadLetters;
use letters::Letters;
pub use sink::SpoolClickSink;
pub use stream::SpoolClickStream;

/// Folder of the dead letters inside the log's.
const DEAD_FOLDER: &str = "dead";

/// The click stream of the embedded set. Its three ends may be shared freely; they work as long as the
/// stream is not closed.
#[derive(Clone)]
pub struct EmbeddedClicks {
    spool: Spool,
    state: Arc<Mutex<State>>,
    /// Told when entries were settled, so that a consumer that held as many as it may can go on, and when it is
    /// to be handed some again.
    available: Arc<Notify>,
    name: Arc<str>,
}

/// What the ends share. Only the log's thread locks it, so nobody ever waits for the lock.
struct State {
    consumer: Consumer,
    letters: Letters,
    clock: fn() -> Timestamp,
}

impl fmt::Debug for EmbeddedClicks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedClicks").field("spool", &self.spool).finish_non_exhaustive()
    }
}

impl EmbeddedClicks {
    /// Opens the stream with its dead letters; `name` is what the one consumer is called in statistics.
    ///
    /// Entries that a process held when it ended are reclaimable at once, with their attempts: nobody
    /// else can hold them.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] when another process has the directory, a newer program wrote there, or the disk
    /// fails.
    pub async fn open(options: SpoolOptions, name: &str) -> Result<Self, SpoolError> {
        let clock = options.clock;
        let dead_dir = options.dir.join(DEAD_FOLDER);
        let spool = Spool::open(options).await?;
        let opened = spool
            .run(move |log| {
                let letters = Letters::open(log.side_files().0, dead_dir)?;
                Ok::<_, std::io::Error>(State { consumer: Consumer::open(log)?, letters, clock })
            })
            .await?;
        Ok(Self {
            spool,
            state: Arc::new(Mutex::new(opened?)),
            available: Arc::new(Notify::new()),
            name: name.into(),
        })
    }

    /// Returns the end clicks go in at.
    pub fn sink(&self) -> SpoolClickSink {
        SpoolClickSink::new(self.spool.clone())
    }

    /// Returns the end clicks come out at. All of them are the same consumer.
    pub fn stream(&self) -> SpoolClickStream {
        SpoolClickStream::new(self.clone())
    }

    /// Returns the dead letters.
    pub fn dead_letters(&self) -> SpoolDeadLetters {
        SpoolDeadLetters::new(self.clone())
    }

    /// Forces everything to the disk and frees the directory; afterwards every call fails.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Disk`] when not everything could be forced to the disk.
    pub async fn close(&self) -> Result<(), SpoolError> {
        self.spool.close().await
    }

    /// Runs `work` on the log's thread with everything it may need.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SegmentLog, &mut State) -> T + Send + 'static,
    ) -> Result<T, SpoolError> {
        let state = Arc::clone(&self.state);
        self.spool.run(move |log| work(log, &mut state.lock())).await
    }
}
