//! A TCP proxy that breaks connections at the worst moment: after the server did what it was asked and
//! before the answer arrives.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A proxy on a port of its own; dropped, it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    cuts: Arc<AtomicU32>,
    accepting: AbortHandle,
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
        let cuts = Arc::new(AtomicU32::new(0));
        let shared = Arc::clone(&cuts);
        let target = Arc::new(Mutex::new(target));
        let current = Arc::clone(&target);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let target = *current.lock().unwrap_or_else(PoisonError::into_inner);
                connections.spawn(carry(client, target, Arc::clone(&shared)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, target, cuts, accepting: accepting.abort_handle() }
    }

    /// Returns where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads connections that are made from now on to `target`.
    pub fn point_at(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Swallows the next `count` pieces of answers, and breaks the connection of each.
    pub fn cut_answers(&self, count: u32) {
        self.cuts.store(count, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(client: TcpStream, target: SocketAddr, cuts: Arc<AtomicU32>) {
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
        loop {
            let Ok(len @ 1..) = from_server.read(&mut buffer).await else { return };
            let is_cut = cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
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
