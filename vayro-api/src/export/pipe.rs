//! From pages of clicks to a body: encoded on other threads, as fast as the client takes it.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::encode::{EncodeError, Encoder};
use crate::events::EventView;
use crate::slots::Slot;

/// Pieces that wait for the client.
const PIECES_MAX: usize = 2;
/// How long a client may take nothing before its export ends.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A piece of the file, or its proper end.
enum Piece {
    Bytes(Bytes),
    End,
}

/// Why a file ends early.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the client took nothing for too long")]
    Idle,
    #[error("the client has gone")]
    Gone,
    #[error("clicks cannot be read")]
    Read(#[source] EncodeError),
    #[error("clicks cannot be written")]
    Encode(#[source] EncodeError),
}

/// Encodes `pages` into a body; `slot` is given back at the end of it, however that comes.
pub(super) fn start<E>(
    pages: impl Stream<Item = Result<Vec<EventView>, E>> + Send + 'static,
    encoder: Encoder,
    slot: Slot,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static
where
    E: Into<EncodeError> + Send + 'static,
{
    start_with(pages, encoder, slot, IDLE_MAX)
}

fn start_with<E>(
    pages: impl Stream<Item = Result<Vec<EventView>, E>> + Send + 'static,
    encoder: Encoder,
    slot: Slot,
    idle_max: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static
where
    E: Into<EncodeError> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let task = async move {
        let outlet = Outlet { sender, idle_max };
        match write(pages, encoder, &outlet).await {
            Ok(()) => {}
            Err(cut @ (Cut::Gone | Cut::Idle)) => tracing::debug!("an export ended early: {cut}"),
            Err(cut) => tracing::error!(error = &cut as &dyn std::error::Error, "an export ended early"),
        }
        drop((outlet, slot));
    };
    tokio::spawn(task.in_current_span());
    body(receiver)
}

/// Turns pieces into a body that fails unless the file came to its end.
fn body(receiver: mpsc::Receiver<Piece>) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures::stream::unfold(Some(receiver), async |receiver| {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(Piece::End) => None,
            None => Some((Err(io::Error::other("the export was cut short")), None)),
        }
    })
}

async fn write<E>(
    pages: impl Stream<Item = Result<Vec<EventView>, E>>,
    mut encoder: Encoder,
    outlet: &Outlet,
) -> Result<(), Cut>
where
    E: Into<EncodeError>,
{
    let mut pages = pin!(pages);
    while let Some(page) = pages.next().await {
        let events = page.map_err(|error| Cut::Read(error.into()))?;
        let (back, bytes) = blocking(move || {
            let bytes = encoder.push(events)?;
            Ok((encoder, bytes))
        })
        .await?;
        encoder = back;
        outlet.send(bytes).await?;
    }
    let bytes = blocking(move || encoder.finish()).await?;
    outlet.send(bytes).await?;
    outlet.hand_over(Piece::End).await
}

/// Encoding a page takes milliseconds of a processor, which other requests should not wait for.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EncodeError> + Send + 'static,
) -> Result<T, Cut> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Cut::Encode(error.into()))?.map_err(Cut::Encode)
}

/// Where pieces go.
struct Outlet {
    sender: mpsc::Sender<Piece>,
    idle_max: Duration,
}

impl Outlet {
    async fn send(&self, bytes: Vec<u8>) -> Result<(), Cut> {
        if bytes.is_empty() { Ok(()) } else { self.hand_over(Piece::Bytes(bytes.into())).await }
    }

    async fn hand_over(&self, piece: Piece) -> Result<(), Cut> {
        match tokio::time::timeout(self.idle_max, self.sender.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Cut::Gone),
            Err(_) => Err(Cut::Idle),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use vayro_core::ids::WorkspaceId;

    use super::*;
    use crate::events::sample;
    use crate::export::encode::Format;
    use crate::slots::Slots;

    const PAGE_LEN: usize = 1000;

    fn slot() -> (Arc<Slots>, Slot) {
        let slots = Slots::new(1, 1);
        let slot = slots.take(WorkspaceId::from_uuid(uuid::Uuid::nil())).expect("free");
        (slots, slot)
    }

    /// Pages of a thousand clicks, which count how many were read.
    fn pages(
        count: usize,
        read: &Arc<AtomicUsize>,
    ) -> impl Stream<Item = Result<Vec<EventView>, io::Error>> + Send + 'static {
        let read = Arc::clone(read);
        futures::stream::iter(0..count).map(move |page| {
            read.fetch_add(1, Ordering::SeqCst);
            Ok((0..PAGE_LEN).map(|row| sample((page * PAGE_LEN + row) as u128)).collect())
        })
    }

    #[tokio::test]
    async fn no_more_is_read_than_the_client_takes() {
        for format in Format::ALL {
            let (_, slot) = slot();
            let read = Arc::new(AtomicUsize::new(0));
            let encoder = format.encoder().expect("begins");
            let mut body = pin!(start(pages(150, &read), encoder, slot));
            // Pages of one piece: a row group of Parquet, otherwise one.
            let pages_of_piece = if format == Format::Parquet { 20 } else { 1 };
            let mut pieces = 0;
            while let Some(piece) = body.next().await {
                piece.expect("a whole file");
                pieces += 1;
                // Taken, waiting, waiting for its place, and being read.
                let ahead = (pieces + PIECES_MAX + 2) * pages_of_piece;
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                let count = read.load(Ordering::SeqCst);
                assert!(count <= ahead, "{format:?}: {count} pages read, {pieces} pieces taken");
            }
            assert_eq!(read.load(Ordering::SeqCst), 150);
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_whole_ends_with_an_error() {
        let (_, slot) = slot();
        let page: Vec<Result<Vec<EventView>, io::Error>> =
            vec![Ok(vec![sample(1)]), Err(io::Error::other("the database is away"))];
        let encoder = Format::Jsonl.encoder().expect("begins");
        let pieces: Vec<_> = start(futures::stream::iter(page), encoder, slot).collect().await;
        assert_eq!(pieces.len(), 2);
        assert!(pieces[0].is_ok());
        assert!(pieces[1].is_err(), "{pieces:?}");
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off_and_gives_its_place_back() {
        let (slots, slot) = slot();
        let read = Arc::new(AtomicUsize::new(0));
        let encoder = Format::Csv.encoder().expect("begins");
        let mut body = pin!(start_with(pages(100, &read), encoder, slot, Duration::from_millis(50)));
        let place = || slots.take(WorkspaceId::from_uuid(uuid::Uuid::nil()));
        while place().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut last = None;
        while let Some(piece) = body.next().await {
            last = Some(piece);
        }
        assert!(last.expect("something").is_err());
    }
}
