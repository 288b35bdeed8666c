//! A TCP proxy that breaks connections at the worst moment, after the server did what it was asked and before
//! the answer arrives, or that answers late or not at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A proxy on a port of its own; dropped, it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    trouble: Arc<Trouble>,
    accepting: AbortHandle,
}

/// What is wrong with answers.
#[derive(Debug, Default)]
struct Trouble {
    /// How many are still to be lost with their connections.
    cuts: AtomicU32,
    /// How late they come, in milliseconds.
    delay_ms: AtomicU32,
    /// Whether none comes.
    is_silent: AtomicBool,
}

impl Proxy {
    /// Starts a proxy in front of `target`.
    ///
    /// # Panics
    ///
    /// When the system has no free port.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("the system has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let trouble = Arc::<Trouble>::default();
        let shared = Arc::clone(&trouble);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, target, Arc::clone(&shared)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, trouble, accepting: accepting.abort_handle() }
    }

    /// Returns where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Swallows the next `count` pieces of answers, and breaks the connection of each.
    pub fn cut_answers(&self, count: u32) {
        self.trouble.cuts.store(count, Ordering::SeqCst);
    }

    /// Holds every piece of an answer back for so many milliseconds.
    pub fn delay_answers(&self, millis: u32) {
        self.trouble.delay_ms.store(millis, Ordering::SeqCst);
    }

    /// Swallows answers and leaves connections open, as if the other end had vanished from the network. A
    /// connection that missed an answer gets none afterwards either.
    pub fn swallow_answers(&self, is_silent: bool) {
        self.trouble.is_silent.store(is_silent, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(client: TcpStream, target: SocketAddr, trouble: Arc<Trouble>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        drop(tokio::io::copy(&mut from_client, &mut to_server).await);
        drop(to_server.shutdown().await);
    };
    let answering = async {
        let mut buffer = vec![0; 16 * 1024];
        let mut has_missed = false;
        loop {
            let Ok(len @ 1..) = from_server.read(&mut buffer).await else { return };
            has_missed |= trouble.is_silent.load(Ordering::SeqCst);
            if has_missed {
                continue;
            }
            let cuts = &trouble.cuts;
            let is_cut = cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            let delay = trouble.delay_ms.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(delay.into())).await;
            if is_cut.is_ok() || to_client.write_all(&buffer[..len]).await.is_err() {
                return;
            }
        }
    };
    // Whichever side ends first, both ends are closed.
    tokio::select! {
        () = asking => {}
        () = answering => {}
    }
}
