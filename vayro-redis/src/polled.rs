//! A connection that is looked at now and then instead of waking who waits for it.
//!
//! The server answers a long pipeline in dozens of pieces, and each would wake the thread that waits: on a busy machine
//! that takes the core away from who serves visitors. Here all of them are there at the next look.

use std::fmt;
use std::io::{ErrorKind, Read, Result, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// First and longest pause between two looks. The first one is what a server nearby takes for some hundred commands.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));

/// Bytes asked of the socket at a time: the answers to several hundred commands.
const READ_LEN: usize = 16 * 1024;

/// What can be read and written without waiting.
trait Socket: Read + Write + Send + Sync {}

impl<S: Read + Write + Send + Sync> Socket for S {}

/// A connection that does not block.
pub(crate) struct Polled {
    socket: Box<dyn Socket>,
    input: Box<[u8; READ_LEN]>,
    looks: Looks,
}

/// When the connection is looked at.
struct Looks {
    next: Pin<Box<Sleep>>,
    pause: Duration,
    is_waiting: bool,
}

impl Polled {
    /// Takes over `socket`, which must not block.
    pub(crate) fn new(socket: impl Read + Write + Send + Sync + 'static) -> Self {
        let looks = Looks { next: Box::pin(sleep(Duration::ZERO)), pause: PAUSES.0, is_waiting: false };
        Self { socket: Box::new(socket), input: Box::new([0; READ_LEN]), looks }
    }
}

impl Looks {
    /// Tries `transfer` now, and again after a pause for as long as it would have to wait.
    fn poll<T>(&mut self, cx: &mut Context<'_>, mut transfer: impl FnMut() -> Result<T>) -> Poll<Result<T>> {
        loop {
            if self.is_waiting {
                ready!(self.next.as_mut().poll(cx));
                self.is_waiting = false;
            }
            match transfer() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.next.as_mut().reset(Instant::now() + self.pause);
                    self.is_waiting = true;
                    self.pause = (self.pause * 2).min(PAUSES.1);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => {
                    self.pause = PAUSES.0;
                    return Poll::Ready(done);
                }
            }
        }
    }
}

impl AsyncRead for Polled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let Self { socket, input, looks } = &mut *self;
        let room = READ_LEN.min(buffer.remaining());
        let count = ready!(looks.poll(cx, || socket.read(&mut input[..room])))?;
        buffer.put_slice(&input[..count]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Polled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let Self { socket, looks, .. } = &mut *self;
        looks.poll(cx, || socket.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        // Closed when dropped; nobody waits for the end of what was sent.
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Polled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polled").field("is_waiting", &self.looks.is_waiting).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn pair() -> (Polled, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("sockets can be made");
        ours.set_nonblocking(true).expect("the socket is open");
        (Polled::new(ours), theirs)
    }

    #[tokio::test]
    async fn what_comes_later_is_found() {
        let (mut ours, mut theirs) = pair();
        let sender = std::thread::spawn(move || {
            for piece in [&b"one"[..], b"two", b"three"] {
                std::thread::sleep(Duration::from_millis(5));
                theirs.write_all(piece).expect("the other end is open");
            }
        });
        let mut all = Vec::new();
        ours.read_to_end(&mut all).await.expect("the other end closes");
        assert_eq!(all, b"onetwothree");
        sender.join().expect("it sends");
    }

    #[tokio::test]
    async fn what_does_not_fit_waits_for_room() {
        let (mut ours, mut theirs) = pair();
        let bytes = vec![7; 4 << 20];
        let expected = bytes.len();
        let reader = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).map(|_| all.len())
        });
        ours.write_all(&bytes).await.expect("the other end reads");
        drop(ours);
        assert_eq!(reader.join().expect("it reads").expect("all comes"), expected);
    }

    #[tokio::test]
    async fn a_closed_end_is_an_error_at_once() {
        let (mut ours, theirs) = pair();
        drop(theirs);
        assert_eq!(ours.read(&mut [0; 8]).await.expect("an end is no error"), 0);
        assert!(ours.write_all(b"x").await.is_err());
    }
}
